"""The managed cluster autoscaler: pods that no node can take let a pool grow, machines that idle let it shrink.

It sees what the real one sees: the pods and nodes of the real cluster. Only pools with autoscaling on, only within
their bounds. What it does about a regular pool are activities of its scaling group: it raises the group's desired
capacity, and removes chosen machines (``ModifyAutoScalingGroup`` and ``RemoveInstances``, the actions that the cluster
autoscaler's own tencentcloud provider has to be allowed [O kubernetes/autoscaler]).

Simpler than the real one: of several pools that would do, the first takes the pods (the cloud's default is a random
one [M]), and only a machine without any pod but a DaemonSet's is idle, whatever the utilization threshold says.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tke_provider.emulator import pools
from tke_provider.emulator.capacity import Machine, alive, idle, lacking, place, waiting
from tke_provider.emulator.nodes import OWNER, template_of

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Cloud
    from tke_provider.emulator.models import Cluster, Json, Node, Pool

log = logging.getLogger(__name__)

ACTION = "ClusterAutoscaler"
"""What a ``sold_out`` trouble calls its purchases."""
# The real one looks every 10 seconds (its flag --scan-interval).
_ROUND_SECONDS = 2
UNNEEDED_MINUTES = 10
"""How long a machine idles before it goes: the default of ``ScaleDownUnneededTime`` [M]."""


class ClusterAutoscaler:
    """Looks again and again, in a thread of its own.

    :param cloud: Whose pools.
    :param api: A ``kubernetes.client.CoreV1Api``.
    """

    def __init__(self, cloud: Cloud, api: Any) -> None:
        self._cloud = cloud
        self._api = api
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cluster-autoscaler", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the round that is under way."""
        self._stopped.set()
        self._thread.join()

    def look(self) -> None:
        """One round."""
        with self._cloud.lock:
            if not any(_scaled(cluster) for cluster in self._cloud.state.clusters.values()):
                return
        # Asked without the lock: the cluster may take its time.
        pods, nodes = (self._list(what) for what in ("list_pod_for_all_namespaces", "list_node"))
        with self._cloud.lock:
            for cluster in self._cloud.state.clusters.values():
                pools.settle(self._cloud, cluster)
                # All clusters of this cloud are the one real cluster: its pods are waited for once.
                if _scaled(cluster) and decide(self._cloud, cluster, [pod for pod in pods if alive(pod)], nodes):
                    break
            self._cloud.save()

    def _list(self, what: str) -> list[Json]:
        # The client's own objects would take many times as long to make, and be thrown away.
        return list(json.loads(getattr(self._api, what)(_preload_content=False).data)["items"])

    def _run(self) -> None:
        while not self._stopped.wait(_ROUND_SECONDS):
            self._try_to_look()

    def _try_to_look(self) -> None:
        try:
            self.look()
        except Exception as e:  # noqa: BLE001 - the cluster may be down; the next round tries again
            log.warning("the cluster autoscaler cannot look, next try in %ss: %s", _ROUND_SECONDS, e)


def decide(cloud: Cloud, cluster: Cluster, pods: list[Json], nodes: list[Json]) -> bool:
    """Size the pools of a cluster for what is there, and return whether one grew.

    :param pods: Those that are alive, as the API server has them.
    :param nodes: All of them.
    """
    on = defaultdict(list)
    for pod in pods:
        on[pod["spec"].get("nodeName", "")].append(pod)
    grown = _grow(cloud, cluster, on, nodes)
    if not grown:
        # Nothing shrinks while something grows, as with the real one.
        _shrink(cloud, cluster, on)
    return grown


def _grow(cloud: Cloud, cluster: Cluster, on: dict[str, list[Json]], nodes: list[Json]) -> bool:
    left = place([pod for pod in on[""] if waiting(pod)], _machines(cloud, on, nodes))
    grown = False
    for pool in _scaled(cluster):
        number, left = lacking(left, template_of(cloud.state.owner, cluster, pool), pool.maximum - pool.desired)
        if number:
            log.info("%s grows by %s to %s: pods wait for a node", pool.id, number, pool.desired + number)
            pools.resize(cloud, cluster, pool, pool.desired + number, ACTION)
            grown = True
    return grown


def _machines(cloud: Cloud, on: dict[str, list[Json]], nodes: list[Json]) -> list[Machine]:
    """The nodes that are there, and those that were ordered and are not there yet.

    While machines are sold out, they count as ordered: more of them would not come any sooner.
    """
    mine = {node.id for cluster in cloud.state.clusters.values() for node in cluster.nodes.values()}
    machines = [Machine.of(_started(node, mine), on[node["metadata"]["name"]]) for node in nodes]
    named = {node["metadata"]["name"] for node in nodes}
    for cluster in cloud.state.clusters.values():
        for pool in cluster.pools.values():
            there = [node for node in cluster.nodes_of(pool) if node.id in named and node.state != "leaving"]
            new = template_of(cloud.state.owner, cluster, pool)
            machines += [Machine.of(new) for _ in range(pool.desired - len(there))]
    return machines


def _shrink(cloud: Cloud, cluster: Cluster, on: dict[str, list[Json]]) -> None:
    now, patience = cloud.clock.now(), _patience(cloud, cluster)
    for pool in _scaled(cluster):
        for node in cluster.nodes_of(pool):
            if node.state != "normal" or not idle(on[node.id]):
                node.idle_since = 0
                continue
            node.idle_since = node.idle_since or now
            if _may_go(cluster, pool, node) and now - node.idle_since >= patience:
                log.info("%s shrinks by 1 to %s: %s idles", pool.id, pool.desired - 1, node.id)
                pools.remove(cloud, pool, node)


def _may_go(cluster: Cluster, pool: Pool, node: Node) -> bool:
    allowed = cluster.autoscaler.get("IsScaleDownEnabled", True)
    return bool(allowed) and pool.desired > pool.minimum and not node.protected


def _patience(cloud: Cloud, cluster: Cluster) -> float:
    """Seconds: what the clock says of ``idle``, else the cluster's own option."""
    pace = cloud.state.paces.get("idle")
    if pace is None:
        return 60 * float(cluster.autoscaler.get("ScaleDownUnneededTime", UNNEEDED_MINUTES))
    if pace.mode == "seconds":
        return pace.amount
    # Nobody looks at idleness, and nobody is told of it: by these paces it never ends.
    return 0.0 if pace.mode == "at once" else float("inf")


def _scaled(cluster: Cluster) -> list[Pool]:
    return [pool for pool in cluster.pools.values() if pool.autoscaling and pool.state == "normal"]


def _started(node: Json, mine: set[str]) -> Json:
    """A node without what Kubernetes says of its start: one of ours that is there will be ready."""
    if node["metadata"]["name"] not in mine or OWNER not in (node["metadata"].get("labels") or {}):
        return node
    taints = [each for each in node["spec"].get("taints") or [] if not each["key"].startswith("node.kubernetes.io/not")]
    return {**node, "spec": {**node["spec"], "taints": taints}}
