"""Which module answers which service and API version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tke_provider.emulator import (
    autoscaling,
    autoscaling_rules,
    monitor,
    sts,
    tcr,
    tcss,
    tke_2018_autoscaler,
    tke_2018_cluster_life,
    tke_2018_clusters,
    tke_2018_instances,
    tke_2018_node_pools,
    tke_2018_releases,
    tke_2018_super_nodes,
    tke_2022,
)

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Handler

SERVICES: dict[tuple[str, str], dict[str, Handler]] = {
    ("sts", "2018-08-13"): sts.ACTIONS,
    ("tke", "2018-05-25"): {
        **tke_2018_autoscaler.ACTIONS,
        **tke_2018_clusters.ACTIONS,
        **tke_2018_cluster_life.ACTIONS,
        **tke_2018_node_pools.ACTIONS,
        **tke_2018_instances.ACTIONS,
        **tke_2018_super_nodes.ACTIONS,
        **tke_2018_releases.ACTIONS,
    },
    ("tke", "2022-05-01"): tke_2022.ACTIONS,
    ("as", "2018-04-19"): {**autoscaling.ACTIONS, **autoscaling_rules.ACTIONS},
    ("monitor", "2018-07-24"): monitor.ACTIONS,
    ("tcr", "2019-09-24"): tcr.ACTIONS,
    ("tcss", "2020-11-01"): tcss.ACTIONS,
}
