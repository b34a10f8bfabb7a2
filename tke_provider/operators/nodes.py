"""Empty chosen nodes, so that they may leave."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypedDict

from tke_provider.clients.nodes import cordon, keep_closed, uncordon_occupied
from tke_provider.clients.rehearsals import look_at_nodes
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import ConflictError, InputError, TkeError
from tke_provider.links.console import ClusterLink
from tke_provider.operators.base import TkeWaitingOperator, is_last_try, open_cluster, operation_of
from tke_provider.operators.rehearsals import TkeRehearsableOperator
from tke_provider.operators.scaling import failure
from tke_provider.triggers.nodes import DrainTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.domain.rehearsals import Line


class Drained(TypedDict):
    """Nodes that hold no pod any more which would have to go, as it lies in XCom."""

    nodes: list[str]
    reason: str


class TkeDrainNodesOperator(TkeRehearsableOperator, TkeWaitingOperator):
    """Close nodes to new pods and evict those that they have, as their disruption budgets allow.

    Pods of DaemonSets and of the kubelet itself stay. What would be lost is refused before anything is changed.

    The write that closes a node marks it (annotation ``tke.airflow/cordoned-by``), so that a retry of a killed try, or
    a Clear, goes on with it. Where the task ends without success, by a last error or by a person, the nodes that it
    closed and did not empty are open again; those that were emptied, and those that somebody else had closed, stay
    closed. A worker that dies with no retry left cannot do that: clear the task, or ``kubectl uncordon`` them.

    :param nodes: names as ``kubectl get nodes`` has them; a list, or a template that renders to names with commas.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param force: evict also pods that no controller would start anew.
    :param delete_empty_dir: evict also pods that keep data on the node (``emptyDir``).
    :param uncordon_on_failure: whether to open nodes again as said; if not, they stay closed, as ``kubectl drain``
        leaves them. Evicted pods stay where they went.
    :param region: of the cluster; default: the connection's.
    :param timeout: seconds for the pods to go.
    :param dry_run: only say what would be changed, and which disruption budgets keep pods; see
        :class:`~tke_provider.operators.rehearsals.TkeRehearsableOperator`.
    :returns: the nodes, and one sentence.
    :raises NotFoundError: when there is no such node. Nothing was changed.
    :raises InputError: when a pod would be lost. Nothing was changed.
    :raises DeadlineError: when they are not empty in time; names the disruption budget that keeps a pod, and why.
    """

    template_fields = ("cluster_id", "nodes", "region", "tke_conn_id")
    operator_extra_links = (ClusterLink(),)

    def __init__(
        self,
        *,
        nodes: Sequence[str] | str,
        cluster_id: str | None = None,
        force: bool = False,
        delete_empty_dir: bool = False,
        uncordon_on_failure: bool = True,
        region: str | None = None,
        timeout: float = 900.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.nodes = nodes
        self.cluster_id = cluster_id
        self.force = force
        self.delete_empty_dir = delete_empty_dir
        self.uncordon_on_failure = uncordon_on_failure
        self.region = region

    @property
    def names(self) -> list[str]:
        """The nodes, each once."""
        said = self.nodes.split(",") if isinstance(self.nodes, str) else self.nodes
        names = list(dict.fromkeys(name.strip() for name in said if name.strip()))
        if not names:
            raise InputError("No node is named", way_out="name at least one")
        return names

    async def rehearse(self, context: Context) -> list[Line]:  # noqa: ARG002  # whoever does it
        """Say which pods would go, and which are kept."""
        async with await open_cluster(self) as cluster:
            return await look_at_nodes(cluster, self.names, force=self.force, delete_empty_dir=self.delete_empty_dir)

    async def perform(self, context: Context) -> Any:
        """Drain; where that ends without a conclusion, and no retry will go on with it, undo what was begun."""
        names, self._concluded = ", ".join(self.names), False
        try:
            return await super().perform(context)
        except asyncio.CancelledError:
            self.log.warning("Killed while it drained %s; %s", names, await self._open(context))
            raise
        except TkeError as error:
            if not self._concluded and (not error.retryable or is_last_try(context)):
                self.log.warning("Failed to drain %s; %s", names, await self._open(context))
            raise

    async def change(self, context: Context) -> None:
        """Close the nodes to new pods."""
        operation = operation_of(context)
        async with await open_cluster(self) as cluster:
            await cordon(
                cluster,
                self.names,
                operation.id,
                closed_by=operation.lasting_id,
                force=self.force,
                delete_empty_dir=self.delete_empty_dir,
            )

    def trigger(self, context: Context, deadline: float) -> DrainTrigger:
        """Return what evicts the pods and waits until they are gone."""
        return DrainTrigger(
            tke_conn_id=self.tke_conn_id,
            nodes=self.names,
            closed_by=operation_of(context).lasting_id if self.uncordon_on_failure else "",
            cluster_id=self.cluster_id,
            region=self.region,
            deadline=deadline,
            poll_interval=self.poll_interval,
        )

    async def conclude(self, context: Context, verdict: Verdict) -> Drained:
        """Say what was drained, or what keeps it."""
        if verdict.state is State.PASSED:
            async with await open_cluster(self) as cluster:
                await keep_closed(cluster, self.names, operation_of(context).lasting_id)
            return {"nodes": self.names, "reason": verdict.reason}
        self._concluded = True  # what is raised below says how the nodes are
        problem = f"Nodes {', '.join(self.names)} are not drained, and {await self._open(context)}"
        raise failure(problem, verdict, ConflictError, "let the budget allow a disruption, and run the task again")

    async def _open(self, context: Context) -> str:
        """Open the nodes again that this task closed and did not empty; return how all of them are, as a clause."""
        if not self.uncordon_on_failure:
            return "they stay closed to new pods"
        try:
            async with await open_cluster(self) as cluster:
                opened = await uncordon_occupied(cluster, self.names, operation_of(context).lasting_id)
        except TkeError as error:
            self.log.warning("%s", error)
            return "they could not be opened again: kubectl uncordon those that are to take pods"
        if set(opened) == set(self.names):
            return "they are open again"
        return f"open again are {', '.join(opened) or 'none'} of them"
