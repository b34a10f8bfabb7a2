"""Clusters that come and go: settle, tell, delete, and what a cluster under way refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tke_provider.emulator import pools
from tke_provider.emulator.clock import finish
from tke_provider.emulator.errors import CloudError

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Cloud
    from tke_provider.emulator.models import Cluster


def settle(cloud: Cloud, *, look: bool = False) -> None:
    """Let due changes of clusters come true, and drop those that are gone by that.

    :param look: Somebody looks: counts for a clock that runs by looks.
    """
    for cluster in list(cloud.state.clusters.values()):
        cloud.clock.settle(cluster, look=look)
    _drop(cloud)


def tell(cloud: Cloud, wanted: str) -> int:
    """Finish what is on its way: of the cluster or kind called ``wanted``, or of all for ``*``."""
    due = [each for each in cloud.state.clusters.values() if each.change and wanted in {"*", "cluster", each.id}]
    for cluster in due:
        finish(cluster)
    _drop(cloud)
    return len(due)


def delete(cloud: Cloud, cluster: Cluster) -> None:
    """Delete a cluster: its machines leave it whatever becomes of them, and its pools end with it."""
    cluster.state = "Deleting"
    cloud.clock.begin(cluster, "gone", "cluster")
    for node in cluster.nodes.values():
        pools.retire(cloud, node)
    _drop(cloud)


def refuse_busy(cluster: Cluster, code: str = "ResourceUnavailable.ClusterState") -> None:
    """Only a running cluster takes a change. The message is as met in practice [O].

    :param code: What the action answers.
    """
    if cluster.state != "Running":
        raise CloudError(code, f"CLUSTER_STATE_ERROR(cluster is in {cluster.state.lower()})")


def _drop(cloud: Cloud) -> None:
    for cluster in list(cloud.state.clusters.values()):
        if cluster.state == "gone":
            del cloud.state.clusters[cluster.id]
