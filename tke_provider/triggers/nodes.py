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
    :param closed_by: the mark of those to open again, unless they are empty, when a person ends the wait; none if left
        out.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    """

    arguments = ("nodes", "closed_by", "cluster_id", "region")

    def __init__(
        self,
        *,
        nodes: Sequence[str],
        closed_by: str = "",
        cluster_id: str | None = None,
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.nodes = list(nodes)
        self.closed_by = closed_by
        self.cluster_id = cluster_id
        self.region = region

    async def look(self) -> Verdict:
        """Ask every pod once to go that has to."""
        from tke_provider.clients.nodes import evict

        async with await self._kubernetes().cluster() as cluster:
            return await evict(cluster, self.nodes)

    async def ended_by_person(self) -> None:
        """Open the nodes again that the task closed, but for those that are empty."""
        from tke_provider.clients.nodes import uncordon_occupied

        if self.closed_by:
            async with await self._kubernetes().cluster() as cluster:
                opened = await uncordon_occupied(cluster, self.nodes, self.closed_by)
            self.log.info("Ended by a person: opened %s again", ", ".join(opened) or "no node")

    def _kubernetes(self) -> TkeKubernetesHook:
        return TkeKubernetesHook(self.tke_conn_id, self.cluster_id, self.region)
