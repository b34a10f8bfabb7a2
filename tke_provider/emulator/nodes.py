"""The machines in the state as Node objects in the real cluster, which a kwok controller makes Ready.

One thread compares and corrects, after every write and every few seconds: whatever was missed (a cluster that was
down, an object deleted by hand) is mended by the next round. Only Node objects with this state's own label are touched.
"""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tke_provider.emulator import pools
from tke_provider.emulator.kubeconfig import access
from tke_provider.emulator.models import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tke_provider.emulator.cloud import Cloud
    from tke_provider.emulator.models import Cluster, Json, Pool

log = logging.getLogger(__name__)


class UnreachableError(RuntimeError):
    """The real cluster cannot be used."""


OWNER = "emulator.tke-provider/owner"
POOL = "tke.cloud.tencent.com/nodepool-id"
KWOK_TAINT = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}
_ROUND_SECONDS = 5
_HELLO_SECONDS = 10
_AT_ONCE = 8
_SIZE = {"cpu": "4", "memory": "8Gi", "pods": "110"}


class NodeKeeper:
    """Keeps the cluster's Node objects equal to the state's machines.

    :param cloud: Whose machines.
    :param api: A ``kubernetes.client.CoreV1Api``.
    """

    def __init__(self, cloud: Cloud, api: Any) -> None:
        self._cloud = cloud
        self.api = self._api = api
        self._woken = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="node-keeper", daemon=True)

    @classmethod
    def connect(cls, cloud: Cloud, kubeconfig: str) -> NodeKeeper:
        """A keeper for the cluster of a kubeconfig, which answered.

        :raises UnreachableError: It does not, or not to this kubeconfig.
        :raises ValueError: The file is no kubeconfig.
        """
        from kubernetes import client, config
        from urllib3.exceptions import HTTPError

        access(Path(kubeconfig))
        try:
            api = client.CoreV1Api(config.new_client_from_config(kubeconfig))
            api.list_node(limit=1, _request_timeout=_HELLO_SECONDS)
        except config.ConfigException as e:
            # What it says may quote the file, which holds keys.
            raise UnreachableError(f"{kubeconfig} cannot be used as a kubeconfig ({type(e).__name__})") from None
        except (client.ApiException, HTTPError) as e:
            why = f"HTTP {e.status} {e.reason}" if isinstance(e, client.ApiException) else str(e)
            raise UnreachableError(f"the cluster of {kubeconfig} does not let its nodes be listed: {why}") from e
        return cls(cloud, api)

    def start(self) -> None:
        """Begin to keep."""
        self._thread.start()

    def stop(self, *, remove: bool = False) -> None:
        """End, after the round that is under way; ``remove`` takes the Node objects away."""
        self._stopped = True
        self._woken.set()
        self._thread.join()
        try:
            if remove:
                with ThreadPoolExecutor(_AT_ONCE) as several:
                    list(several.map(self._delete, self._found()))
        except Exception as e:  # noqa: BLE001 - the cluster may be gone already, and its nodes with it
            log.warning("cannot remove the nodes labelled %s=%s: %s", OWNER, self._cloud.state.owner, e)
        finally:
            self._api.api_client.close()

    def wake(self) -> None:
        """Something was written: look now."""
        self._woken.set()

    def has_pods(self, node: str) -> bool:
        """Whether pods other than those of a DaemonSet are on a node."""
        found = self._api.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={node}").items
        owners = [[each.kind for each in pod.metadata.owner_references or []] for pod in found]
        return any("DaemonSet" not in kinds for kinds in owners)

    def reconcile(self) -> None:
        """One round: make what is missing, mend labels and taints, cordon what leaves, delete what is gone."""
        wanted = self._wanted()
        found = self._found()
        with ThreadPoolExecutor(_AT_ONCE) as several:

            def each(work: Callable[[str], None], names: Iterable[str]) -> None:
                for _ in several.map(work, names):
                    pass  # what went wrong is raised here

            each(lambda name: self._create(wanted[name]), wanted.keys() - found.keys())
            each(lambda name: self._mend(found[name], wanted[name]), wanted.keys() & found.keys())
            each(self._take_away, found.keys() - wanted.keys())

    def _found(self) -> dict[str, Json]:
        # The client's own objects would take many times as long to make.
        mine = self._api.list_node(label_selector=f"{OWNER}={self._cloud.state.owner}", _preload_content=False)
        return {node["metadata"]["name"]: node for node in json.loads(mine.data)["items"]}

    def _mend(self, found: Json, wanted: Json) -> None:
        if change := _difference(found, wanted):
            self._api.patch_node(found["metadata"]["name"], change)

    def _take_away(self, name: str) -> None:
        self._api.patch_node(name, {"spec": {"unschedulable": True}})
        self._delete(name)

    def _wanted(self) -> dict[str, Json]:
        with self._cloud.lock:
            wanted = {}
            for cluster in self._cloud.state.clusters.values():
                pools.settle(self._cloud, cluster)
                for node in cluster.nodes.values():
                    # A machine that is still joining has no Node object yet.
                    if node.state != "joining":
                        wanted[node.id] = _manifest(self._cloud.state.owner, cluster, node)
            self._cloud.file.save(self._cloud.state)
            return wanted

    def _create(self, body: Json) -> None:
        from kubernetes.client import ApiException

        try:
            self._api.create_node(body)
        except ApiException as e:
            # Somebody else's node of that name: leave it alone, and say so.
            if e.status != 409:  # noqa: PLR2004 - Conflict
                raise
            log.warning("node %s exists and is not the emulator's; it is left as it is", body["metadata"]["name"])

    def _delete(self, name: str) -> None:
        from kubernetes.client import ApiException

        try:
            self._api.delete_node(name)
        except ApiException as e:
            if e.status != 404:  # noqa: PLR2004 - it is gone already
                raise

    def _run(self) -> None:
        while not self._stopped:
            self._woken.clear()
            try:
                self.reconcile()
            except Exception as e:  # noqa: BLE001 - the cluster may be down; the next round tries again
                log.warning("cannot bring the cluster's nodes up to date, next try in %ss: %s", _ROUND_SECONDS, e)
            self._woken.wait(_ROUND_SECONDS)


def template_of(owner: str, cluster: Cluster, pool: Pool) -> Json:
    """The Node object that one more machine of a pool would be."""
    new = Node(f"{pool.id}-new", pool.id, pool.type, "", 0, state="normal", labels=pool.labels, taints=pool.taints)
    return _manifest(owner, cluster, new)


def _manifest(owner: str, cluster: Cluster, node: Node) -> Json:
    labels = {
        OWNER: owner,
        "type": "kwok",
        "kubernetes.io/hostname": node.id,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/region": cluster.region,
        "topology.kubernetes.io/zone": f"{cluster.region}-3",
        **{label["Name"]: label["Value"] for label in node.labels},
    }
    if node.pool:
        labels[POOL] = node.pool
    taints = [
        {"key": taint.get("Key", ""), "value": taint.get("Value", ""), "effect": taint.get("Effect", "NoSchedule")}
        for taint in node.taints
    ]
    return {
        "metadata": {"name": node.id, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "spec": {
            "taints": [KWOK_TAINT, *taints],
            "unschedulable": node.state == "leaving",
            # As kubernetes/autoscaler's tencentcloud provider reads it [O].
            "providerID": f"qcloud:///100003/{node.id}",
        },
        "status": {
            "capacity": _SIZE,
            "allocatable": _SIZE,
            "addresses": [
                {"type": "InternalIP", "address": node.ip},
                {"type": "Hostname", "address": node.id},
            ],
        },
    }


def _difference(found: Json, wanted: Json) -> Json:
    """What to patch. A cordon by hand stays, and so do the taints that Kubernetes itself sets."""
    change: Json = {}
    labels = wanted["metadata"]["labels"]
    current = found["metadata"].get("labels") or {}
    stale = {POOL: None} if POOL in current and POOL not in labels else {}
    if stale or any(current.get(key) != value for key, value in labels.items()):
        change["metadata"] = {"labels": {**labels, **stale}}
    there = found["spec"].get("taints") or []
    taints = [{"key": each["key"], "value": each.get("value") or "", "effect": each["effect"]} for each in there]
    kept = [each for each in taints if each["key"].startswith("node.kubernetes.io/")]
    own = [each for each in taints if each not in kept]
    if sorted(map(str, own)) != sorted(map(str, wanted["spec"]["taints"])):
        change.setdefault("spec", {})["taints"] = [*wanted["spec"]["taints"], *kept]
    if wanted["spec"]["unschedulable"] and not found["spec"].get("unschedulable"):
        change.setdefault("spec", {})["unschedulable"] = True
    return change
