"""Waiting until nodes are empty, which takes asking their pods again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.triggers.base import TkeBaseTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tke_provider.domain.verdicts import Verdict


class DrainTrigger(TkeBaseTrigger):
    """Evicts the pods of closed nodes, as fast as their disruption budgets allow, until none is left that has to go.

    :param nodes: their names in the cluster.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    """

    arguments = ("nodes", "cluster_id", "region")

    def __init__(
        self, *, nodes: Sequence[str], cluster_id: str | None = None, region: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.nodes = list(nodes)
        self.cluster_id = cluster_id
        self.region = region

    async def look(self) -> Verdict:
        """Ask every pod once to go that has to."""
        from tke_provider.clients.nodes import evict

        async with await TkeKubernetesHook(self.tke_conn_id, self.cluster_id, self.region).cluster() as cluster:
            return await evict(cluster, self.nodes)
