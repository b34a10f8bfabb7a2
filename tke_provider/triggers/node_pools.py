"""Waiting for a node pool to be there whole, or to be gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.domain.clusters import PoolKind
from tke_provider.domain.node_pools import assess_absence, assess_super
from tke_provider.hooks.tke import TkeHook
from tke_provider.triggers.base import TkeBaseTrigger
from tke_provider.triggers.scaling import NodePoolTrigger

if TYPE_CHECKING:
    from tke_provider.domain.verdicts import Verdict


class NewPoolTrigger(NodePoolTrigger):
    """Waits until a new node pool has all its nodes; one of super nodes, until it takes pods."""

    async def look(self) -> Verdict:
        """Look at the pool, and at its nodes where it has some."""
        hook = TkeHook(self.tke_conn_id, self.region)
        async with await hook.tke() as tke:
            pool = await tke.node_pool(str(self.cluster_id), self.node_pool)
        return assess_super(pool) if pool.kind is PoolKind.SUPER else await super().look()


class PoolGoneTrigger(TkeBaseTrigger):
    """Waits until a node pool is gone.

    :param cluster_id: ``cls-xxxxxxxx``.
    :param node_pool: its id.
    :param region: default: the connection's.
    """

    arguments = ("cluster_id", "node_pool", "region")

    def __init__(self, *, cluster_id: str, node_pool: str, region: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cluster_id = cluster_id
        self.node_pool = node_pool
        self.region = region

    async def look(self) -> Verdict:
        """Look whether the cluster still lists it."""
        async with await TkeHook(self.tke_conn_id, self.region).tke() as tke:
            return assess_absence(await tke.node_pools(self.cluster_id), self.node_pool)
