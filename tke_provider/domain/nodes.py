"""Nodes that leave: which pods have to go first, what keeps them, and which nodes are best missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.phrases import count, some
from tke_provider.domain.verdicts import Verdict, passed, pending
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tke_provider.domain.clusters import PoolNode
    from tke_provider.domain.manifests import Manifest

_MIRROR = "kubernetes.io/config.mirror"
_STARTUP = (
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "startup-taint.cluster-autoscaler.kubernetes.io/",
    "tke.cloud.tencent.com/uninitialized",
    "tke.cloud.tencent.com/eni-ip-unavailable",
    "node.cilium.io/agent-not-ready",
)
"""Taints that go by themselves once a node works; those that a pool gives its nodes for good are no hindrance."""
_ENDED = frozenset({"Succeeded", "Failed"})
_MOST_TOLD = 3


def to_evict(pods: Iterable[Manifest]) -> list[Manifest]:
    """Return the pods that must leave a node before it does: not a DaemonSet's, not the kubelet's own, not ended ones.

    https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/
    """
    return [pod for pod in pods if not _stays(pod)]


def check_losses(pods: Iterable[Manifest], *, force: bool, delete_empty_dir: bool) -> None:
    """Refuse to evict what would be lost by it.

    :param force: let pods go that no controller would start anew.
    :param delete_empty_dir: let pods go whose data lies on the node (``emptyDir``).
    :raises InputError: naming the first such pod.
    """
    for pod in to_evict(pods):
        ref = ObjectRef.of(pod)
        if not force and _controller(pod) is None:
            raise InputError(
                f"{ref} has no controller, so nothing would start it anew",
                way_out="delete it yourself, or drain with force",
            )
        if not delete_empty_dir and any("emptyDir" in each for each in pod["spec"].get("volumes") or ()):
            raise InputError(
                f"{ref} keeps data on its node, which would be lost", way_out="drain with delete_empty_dir, or move it"
            )


def keeper(pod: Manifest, budgets: Iterable[Manifest]) -> str:
    """Return which disruption budgets keep a pod, and why, in one sentence."""
    ref = ObjectRef.of(pod)
    said = [_budget(each) for each in budgets if _selects(each, pod)]
    return f"{ref} is kept by {' and by '.join(said)}" if said else f"{ref} is kept by a disruption budget"


def used_up(budgets: Iterable[Manifest]) -> list[Manifest]:
    """Return the disruption budgets that let no pod go now."""
    return [each for each in budgets if not (each.get("status") or {}).get("disruptionsAllowed", 0)]


def kept_pods(pods: Iterable[Manifest], budgets: Iterable[Manifest]) -> list[str]:
    """Return in words which pods would not be let go now, because a disruption budget is used up."""
    spent = used_up(budgets)
    # Budgets are asked neither for pods that have not started yet nor for those on their way out.
    asked_for = [pod for pod in pods if not ("deletionTimestamp" in pod["metadata"] or _is_pending(pod))]
    return [keeper(pod, spent) for pod in asked_for if any(_selects(each, pod) for each in spent)]


def still_there(pods: Sequence[Manifest], kept: Sequence[str]) -> str:
    """Return what is still to happen, in one sentence."""
    nodes = len({pod["spec"].get("nodeName") for pod in pods})
    said = f"{count(len(pods), 'pod')} still to leave {count(nodes, 'node')}"
    if not kept:
        return said
    return f"{said}; {some(kept, _MOST_TOLD, '; ')}"


def names_in_cluster(machines: Iterable[PoolNode], live: Iterable[Manifest]) -> dict[str, str]:
    """Return the names of the machines' Nodes, by the machine's id, for those that have joined.

    The provider id of a Node ends with the machine's id, or a Node is named after the machine; one that is neither has
    the machine's address, as its name or within the cluster.
    """
    known: dict[str, str] = {}
    for node in live:
        name = str(node["metadata"]["name"])
        known[name] = known[str(node["spec"].get("providerID") or name).rpartition("/")[2]] = name
        known.update(dict.fromkeys(_internal_addresses(node), name))
    found = {machine.id: known.get(machine.id) or known.get(machine.ip) for machine in machines}
    return {machine: name for machine, name in found.items() if name}


def least_missed(nodes: Sequence[PoolNode], load: Mapping[str, int], leaving: set[str], number: int) -> list[PoolNode]:
    """Choose nodes to go: those on their way out already, those that do not work, then those with the fewest pods.

    Among equals the oldest goes. Asking again after some have gone gives the rest.

    :param load: pods to evict by the id of the node.
    :param leaving: ids of nodes that were chosen before.
    """

    def order(node: PoolNode) -> tuple[bool, bool, int, str, str]:
        return node.id not in leaving, node.state == "running", load.get(node.id, 0), node.created, node.id

    return sorted(nodes, key=order)[: max(0, number)]


def assess_joined(pool_id: str, machines: Sequence[PoolNode], live: Sequence[Manifest], wanted: int) -> Verdict:
    """Return whether so many machines of a pool are Nodes that take pods, as Kubernetes itself says.

    :param live: Nodes of the cluster, at least those of the pool.
    """
    by_name, names = {str(node["metadata"]["name"]): node for node in live}, names_in_cluster(machines, live)
    late = []
    for machine in machines:
        name = names.get(machine.id)
        if why := keeps_pods_out(by_name[name]) if name else "has not joined the cluster":
            late.append(f"{name or machine.id} {why}")
    if (ready := len(machines) - len(late)) >= wanted:
        return passed(f"node pool {pool_id} has {count(ready, 'node')}, all ready")
    told = f": {some(late, _MOST_TOLD, '; ')}" if late else ""
    return pending(f"node pool {pool_id} has {ready} of {count(wanted, 'node')} ready in Kubernetes{told}")


def keeps_pods_out(node: Manifest) -> str:
    """Return why a node takes no pods, in its own words; empty where it does."""
    if "deletionTimestamp" in node["metadata"]:
        return "is being deleted"
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = next((each for each in conditions if each["type"] == "Ready"), None)
    if ready is None:
        return "has not said yet that it is ready"
    if ready["status"] != "True":
        said = [text for text in (ready.get("reason"), ready.get("message")) if text]
        return ": ".join(["is not ready", *said])
    if node["spec"].get("unschedulable"):
        return "is cordoned"
    taints = [each for each in node["spec"].get("taints") or () if each["effect"] in {"NoSchedule", "NoExecute"}]
    return next((f"still has the taint {each['key']}" for each in taints if each["key"].startswith(_STARTUP)), "")


def _internal_addresses(node: Manifest) -> list[str]:
    addresses = (node.get("status") or {}).get("addresses") or ()
    return [str(each["address"]) for each in addresses if each["type"] == "InternalIP"]


def _stays(pod: Manifest) -> bool:
    controller = _controller(pod) or {}
    annotations = pod["metadata"].get("annotations") or {}
    ended = (pod.get("status") or {}).get("phase") in _ENDED
    return ended or controller.get("kind") == "DaemonSet" or _MIRROR in annotations


def _is_pending(pod: Manifest) -> bool:
    return (pod.get("status") or {}).get("phase") == "Pending"


def _controller(pod: Manifest) -> Mapping[str, Any] | None:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


def _budget(budget: Manifest) -> str:
    status = budget.get("status") or {}
    healthy, needed = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    name = f"PodDisruptionBudget {budget['metadata']['name']}"
    if status.get("disruptionsAllowed", 0):
        return f"{name}, which lets one pod go after the other"
    return f"{name}, which needs {needed} healthy pods and has {healthy}"


def _selects(budget: Manifest, pod: Manifest) -> bool:
    selector = budget["spec"].get("selector")
    if selector is None or budget["metadata"]["namespace"] != pod["metadata"]["namespace"]:
        return False
    labels = pod["metadata"].get("labels") or {}
    matched = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return matched and all(_meets(labels, each) for each in selector.get("matchExpressions") or ())


def _meets(labels: Mapping[str, str], expression: Mapping[str, Any]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    return {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }[expression["operator"]]
