"""Nodes that leave: which pods have to go first, what keeps them, and which nodes are best missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.phrases import count, some
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tke_provider.domain.clusters import PoolNode
    from tke_provider.domain.manifests import Manifest

_MIRROR = "kubernetes.io/config.mirror"
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


def still_there(pods: Sequence[Manifest], kept: Sequence[str]) -> str:
    """Return what is still to happen, in one sentence."""
    nodes = len({pod["spec"].get("nodeName") for pod in pods})
    said = f"{count(len(pods), 'pod')} still to leave {count(nodes, 'node')}"
    if not kept:
        return said
    return f"{said}; {some(kept, _MOST_TOLD, '; ')}"


def names_in_cluster(machines: Iterable[PoolNode], live: Iterable[Manifest]) -> dict[str, str]:
    """Return the names of the machines' Nodes, by the machine's id, for those that have joined.

    The provider id of a Node ends with the machine's id; a Node is named after the machine or its address.
    """
    known: dict[str, str] = {}
    for node in live:
        name = str(node["metadata"]["name"])
        known[name] = known[str(node["spec"].get("providerID") or name).rpartition("/")[2]] = name
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


def _stays(pod: Manifest) -> bool:
    controller = _controller(pod) or {}
    annotations = pod["metadata"].get("annotations") or {}
    ended = (pod.get("status") or {}).get("phase") in _ENDED
    return ended or controller.get("kind") == "DaemonSet" or _MIRROR in annotations


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
