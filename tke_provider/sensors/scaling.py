"""Whether a node pool has its size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.links.console import ClusterLink, NodePoolLink
from tke_provider.sensors.base import TkeBaseSensor
from tke_provider.triggers.scaling import NodePoolTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence


class TkeNodePoolSensor(TkeBaseSensor):
    """Waits until a node pool is at rest, with every node that it is set to ready and open to pods.

    Fails at once when the cloud gave up on more nodes, with its reason, or when there is no such pool.

    :param node_pool: id (``np-xxxxxxxx``) or name.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param region: of the cluster; default: the connection's.
    """

    template_fields: Sequence[str] = ("cluster_id", "node_pool", "region", "tke_conn_id")
    operator_extra_links = (ClusterLink(), NodePoolLink())

    def __init__(
        self, *, node_pool: str, cluster_id: str | None = None, region: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.node_pool = node_pool
        self.cluster_id = cluster_id
        self.region = region

    @property
    def node_pool_id(self) -> str:
        """The pool, as the console link calls it."""
        return self.node_pool

    def trigger(self, deadline: float) -> NodePoolTrigger:
        """Return what looks at the pool."""
        return NodePoolTrigger(
            tke_conn_id=self.tke_conn_id,
            cluster_id=self.cluster_id,
            node_pool=self.node_pool,
            region=self.region,
            deadline=deadline,
            poll_interval=self.poke_interval,
        )
