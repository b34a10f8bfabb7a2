"""Bring a service or a node pool to a size, as the one writer of that number."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Literal, get_args

from tke_provider.clients import leases
from tke_provider.clients.pools import newest_activity, reopen, rules_of, whole_pool
from tke_provider.clients.rehearsals import look_at_pool, look_at_service
from tke_provider.clients.scaling import APPS, find_number, resize, resize_pool
from tke_provider.domain.choices import check_choice
from tke_provider.domain.manifests import ObjectRef, annotation
from tke_provider.domain.operations import SIZED_BY
from tke_provider.domain.pools import gave_up, ruled
from tke_provider.domain.scaling import (
    AUTOSCALER,
    SIZE_BEFORE,
    Bounds,
    Decision,
    Direction,
    SetBounds,
    SetSize,
    against,
    shortage,
    steps,
    whole_number,
    written,
)
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import ConflictError, DeadlineError, InconclusiveError, InputError, RolloutError, TkeError
from tke_provider.links.console import ClusterLink, NodePoolLink, WorkloadLink
from tke_provider.operators.base import TkeWaitingOperator, first_found, open_cluster, open_tke, operation_of, recall
from tke_provider.operators.rehearsals import TkeRehearsableOperator
from tke_provider.triggers.scaling import NodePoolTrigger, ScaleTrigger, SizeTrigger

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.tke import Tke
    from tke_provider.domain.clusters import NodePool
    from tke_provider.domain.rehearsals import Line

OnOwner = Literal["refuse", "bounds"]

_BEFORE = "before"
_KINDS = ("Deployment", "StatefulSet")


class TkeScaleServiceOperator(TkeRehearsableOperator, TkeWaitingOperator):
    """Set the number of pods of a service, and wait until every one of them is available.

    Looks before it writes, and writes nothing where the size is right. The workload is annotated with the operation
    that sized it, so that later deployments keep the size.

    :param namespace: where the service runs.
    :param name: of its Deployment or StatefulSet.
    :param replicas: how many pods; a number, or a template that renders to one.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param kind: ``Deployment``, ``StatefulSet``, or with ``api_version`` whatever has a scale subresource.
    :param api_version: of the kind, such as ``argoproj.io/v1alpha1`` of a ``Rollout``.
    :param minimum: the least that ``replicas`` may be, whatever it was computed from; default: 0.
    :param maximum: the most that it may be; default: no limit.
    :param on_owner: where an HPA or KEDA writes the size, ``refuse`` and name it, or set its lower ``bounds`` to
        ``replicas``. Its upper bound is never raised.
    :param region: of the cluster; default: the connection's.
    :param timeout: seconds to wait until the pods are available.
    :param dry_run: only say what would be changed; see
        :class:`~tke_provider.operators.rehearsals.TkeRehearsableOperator`.
    :returns: a :class:`~tke_provider.domain.scaling.Decision`.
    :raises InputError: when the size lies outside the bounds, or there is no such service. Nothing was changed.
    :raises OwnedError: when something else writes the size. Nothing was changed.
    :raises RolloutError: when the new pods do not come up; the size stays as it was asked for.
    :raises DeadlineError: when they are not available in time; the message says why, and the size stays.
    """

    template_fields: Collection[str] = (
        "cluster_id",
        "kind",
        "maximum",
        "minimum",
        "name",
        "namespace",
        "region",
        "replicas",
        "tke_conn_id",
    )
    operator_extra_links = (ClusterLink(), WorkloadLink())

    def __init__(
        self,
        *,
        namespace: str,
        name: str,
        replicas: int | str,
        cluster_id: str | None = None,
        kind: str = "Deployment",
        api_version: str = APPS,
        minimum: int | str | None = None,
        maximum: int | str | None = None,
        on_owner: OnOwner = "refuse",
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.namespace = namespace
        self.name = name
        self.replicas = replicas
        self.cluster_id = cluster_id
        self.kind = kind
        self.api_version = api_version
        self.minimum = minimum
        self.maximum = maximum
        check_choice("on_owner", on_owner, get_args(OnOwner))
        self.on_owner = on_owner
        self.region = region

    @property
    def service(self) -> str:
        """The workload, as the console link calls it."""
        return self.name

    @property
    def size(self) -> int:
        """The checked number of pods."""
        size = whole_number("replicas", self.replicas)
        minimum = 0 if self.minimum is None else whole_number("minimum", self.minimum)
        maximum = max(size, minimum) if self.maximum is None else whole_number("maximum", self.maximum)
        Bounds(minimum, maximum).check(size, str(self.ref))
        return size

    @property
    def ref(self) -> ObjectRef:
        """The workload."""
        if self.api_version == APPS and self.kind not in _KINDS:
            raise InputError(f"{self.kind} {self.name} is no service", way_out=f"name a {' or a '.join(_KINDS)}")
        return ObjectRef(self.api_version, self.kind, self.namespace, self.name)

    async def rehearse(self, context: Context) -> list[Line]:
        """Say what would become of the size, or of its owner's bounds."""
        ref, size, operation = self.ref, self.size, operation_of(context).id
        async with await open_cluster(self) as cluster:
            return [await look_at_service(cluster, ref, size, operation, on_owner=self.on_owner)]

    async def perform(self, context: Context) -> Any:
        """Resize and wait; a task that is killed meanwhile gives its lease back."""
        try:
            return await super().perform(context)
        except asyncio.CancelledError:
            async with await open_cluster(self) as cluster:
                await leases.release(cluster, self.namespace, self.name, operation_of(context).id)
            raise

    async def change(self, context: Context) -> None:
        """Write the size, or its owner's lower bound, unless it is there already."""
        size, operation = self.size, operation_of(context).id
        async with await open_cluster(self) as cluster:
            await find_number(cluster, self.ref)
            await leases.acquire(cluster, self.namespace, self.name, operation)
            try:
                await resize(cluster, self.ref, size, operation, through_bounds=self.on_owner == "bounds")
            except BaseException:
                await leases.release(cluster, self.namespace, self.name, operation)
                raise

    def trigger(self, context: Context, deadline: float) -> SizeTrigger | ScaleTrigger:
        """Return what waits for the pods."""
        shared: dict[str, Any] = {
            "tke_conn_id": self.tke_conn_id,
            "cluster_id": self.cluster_id,
            "region": self.region,
            "namespace": self.namespace,
            "operation": operation_of(context).id,
            "size": self.size,
            "at_least": self.on_owner == "bounds",
            "deadline": deadline,
            "poll_interval": self.poll_interval,
        }
        if self.api_version != APPS:
            return ScaleTrigger(api_version=self.api_version, kind=self.kind, name=self.name, **shared)
        return SizeTrigger(workloads=[f"{self.kind}/{self.name}"], service=self.name, **shared)

    async def conclude(self, context: Context, verdict: Verdict) -> Decision:
        """Give the lease back, and say what was decided."""
        operation = operation_of(context).id
        async with await open_cluster(self) as cluster:
            try:
                number = await find_number(cluster, self.ref)
            finally:
                await leases.release(cluster, self.namespace, self.name, operation)
        if verdict.state is not State.PASSED:
            raise failure(f"{self.ref} does not come to {self.replicas} pods", verdict, RolloutError)
        ours = annotation(number.live, SIZED_BY) == operation
        return {
            "target": str(self.ref),
            "from": int(annotation(number.live, SIZE_BEFORE)) if ours else self.size,
            "to": self.size,
            "reason": verdict.reason,
            "owner": str(number.owner or ""),
        }


class TkeScaleNodePoolOperator(TkeRehearsableOperator, TkeWaitingOperator):
    """Set the number of nodes of a pool, and wait until cloud and Kubernetes have each of them ready and open to pods.

    Works on regular and native pools. Looks before every write and writes nothing where the pool is right; a lost
    answer or a killed worker is looked up, never repeated blindly, and min ≤ size ≤ max holds after every write. It
    holds the pool's lease in the cluster meanwhile, as a plan does, so that only one of them changes the pool.

    Nodes that have to go are chosen by the cloud: in regular pools by the termination policy of the scaling group
    (the oldest by default), in native pools by their delete policy (the newest by default). Pods on them are not
    drained by this operator, so scale the pods down first.

    :param node_pool: id (``np-xxxxxxxx``) or name.
    :param desired: how many nodes; a number, or a template that renders to one.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param minimum: new lower bound of the pool; default: its present one.
    :param maximum: new upper bound of the pool; default: its present one.
    :param on_autoscaler: where the cluster autoscaler writes the size, ``refuse``, or make ``desired`` the lower of its
        ``bounds``; ``minimum`` is then the least that ``desired`` may be.
    :param direction: only ``up`` or only ``down``: a pool that lies beyond ``desired`` is left alone. Default: both.
    :param region: of the cluster; default: the connection's.
    :param timeout: seconds for all writes, and again for the nodes to come or go.
    :param dry_run: only say what would be changed; see
        :class:`~tke_provider.operators.rehearsals.TkeRehearsableOperator`.
    :returns: a :class:`~tke_provider.domain.scaling.Decision`.
    :raises InputError: when the size lies outside the bounds, or the pool does not exist or has no size. Nothing was
        changed.
    :raises OwnedError: when the cluster autoscaler writes the size, or a scheduled action or alarm policy of the pool's
        scaling group. Nothing was changed.
    :raises BusyError: while another task or plan changes the pool; a retry helps. Nothing was changed.
    :raises CapacityError: when the cloud gave up on more nodes; in its words: sold out, quota used up, subnet full. The
        size stays, and the scaling group may try again by its own policy.
    :raises DeadlineError: when the nodes are not there in time; the message says what was missing.
    """

    template_fields = (
        "cluster_id",
        "desired",
        "maximum",
        "minimum",
        "node_pool",
        "region",
        "tke_conn_id",
    )
    operator_extra_links = (ClusterLink(), NodePoolLink())
    # What the task finds out, for the console's link and for the trigger.
    node_pool_id = ""
    _seen = ""

    def __init__(
        self,
        *,
        node_pool: str,
        desired: int | str,
        cluster_id: str | None = None,
        minimum: int | str | None = None,
        maximum: int | str | None = None,
        on_autoscaler: OnOwner = "refuse",
        direction: Direction | None = None,
        region: str | None = None,
        timeout: float = 1800.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.node_pool = node_pool
        self.desired = desired
        self.cluster_id = cluster_id
        self.minimum = minimum
        self.maximum = maximum
        check_choice("on_autoscaler", on_autoscaler, get_args(OnOwner))
        check_choice("direction", direction, (None, *get_args(Direction)))
        self.on_autoscaler = on_autoscaler
        self.direction = direction
        self.region = region

    @property
    def size(self) -> int:
        """The checked number of nodes."""
        return whole_number("desired", self.desired)

    async def rehearse(self, context: Context) -> list[Line]:
        """Say what would become of the size and its bounds."""
        operation = operation_of(context).id
        async with await open_tke(self) as tke, await open_cluster(self) as cluster:
            return [await look_at_pool(tke, cluster, await self._find(tke), operation, self._allowed, self.size)]

    async def perform(self, context: Context) -> Decision:
        """Leave the pool alone where it lies beyond the size in the only direction allowed, else bring it there."""
        async with await open_tke(self) as tke:
            pool = await self._find(tke)
            if self._allowed(pool) and (rules := await rules_of(tke, pool)):
                raise ruled(pool, rules)
        if why := against(pool, self.size, self.direction):
            self.log.info("Nothing to do: %s", why)
            return self._decision(pool, written(pool), written(pool), why)
        try:
            decision: Decision = await super().perform(context)
        except asyncio.CancelledError:
            await self._give_back(context)
            raise
        return decision

    async def change(self, context: Context) -> None:
        """Make one write, look, make the next, until none is left."""
        lease, operation = whole_pool(self.node_pool_id), operation_of(context).id
        async with (
            await open_tke(self) as tke,
            await open_cluster(self) as cluster,
            leases.kept(cluster, lease, operation, and_beyond=True),
        ):
            pool = await self._find(tke)
            await reopen(cluster, pool.id)
            seen = await newest_activity(tke, pool) if self._steps(pool) else ""
            before = first_found(context, _BEFORE, {"size": written(pool), "seen": seen})
            self._seen = str(before["seen"])
            deadline = time.monotonic() + self.timeout
            await resize_pool(
                tke, str(self.cluster_id), pool, self._steps, deadline=deadline, poll_interval=self.poll_interval
            )

    def trigger(self, context: Context, deadline: float) -> NodePoolTrigger:
        """Return what waits for the nodes."""
        return NodePoolTrigger(
            tke_conn_id=self.tke_conn_id,
            cluster_id=self.cluster_id,
            node_pool=self.node_pool_id,
            region=self.region,
            desired=self.size,
            at_least=self.on_autoscaler == "bounds",
            seen=self._seen,
            operation=operation_of(context).id,
            deadline=deadline,
            poll_interval=self.poll_interval,
        )

    async def conclude(self, context: Context, verdict: Verdict) -> Decision:
        """Give the lease back, and say what was decided, or why the nodes did not come."""
        async with await open_tke(self) as tke:
            pool = await self._find(tke)
            await self._give_back(context)
            activities = await tke.scaling_activities(group) if (group := pool.autoscaling_group_id) else []
        before = recall(context, _BEFORE)
        if verdict.state is State.PASSED:
            return self._decision(pool, before["size"], self.size, verdict.reason)
        if why := shortage(pool, activities, before["seen"]):
            raise gave_up(pool, why)
        raise failure(f"Node pool {pool.id} does not come to {self.size} nodes", verdict, ConflictError)

    def _steps(self, pool: NodePool) -> tuple[SetBounds | SetSize, ...]:
        minimum, maximum = (
            None if value is None else whole_number(name, value)
            for name, value in (("minimum", self.minimum), ("maximum", self.maximum))
        )
        return steps(pool, self.size, minimum, maximum, through_bounds=self.on_autoscaler == "bounds")

    def _allowed(self, pool: NodePool) -> tuple[SetBounds | SetSize, ...]:
        """Return the writes that the direction allows; what is refused is refused in either."""
        writes = self._steps(pool)
        return () if against(pool, self.size, self.direction) else writes

    async def _give_back(self, context: Context) -> None:
        lease = whole_pool(self.node_pool_id)
        async with await open_cluster(self) as cluster:
            await leases.release(cluster, lease.namespace, lease.name, operation_of(context).id)

    async def _find(self, tke: Tke) -> NodePool:
        pool = await tke.node_pool(str(self.cluster_id), self.node_pool)
        self.node_pool_id = pool.id
        return pool

    def _decision(self, pool: NodePool, before: int, after: int, reason: str) -> Decision:
        return {
            "target": f"node pool {pool.id} ({pool.name})",
            "from": before,
            "to": after,
            "reason": reason,
            "owner": AUTOSCALER if pool.autoscaling else "",
        }


def failure(
    problem: str,
    verdict: Verdict,
    failed: type[TkeError],
    way_out: str = "remove the cause and run the task again; until then the size stays as it was asked for",
) -> TkeError:
    """Return the error for a verdict that is no pass.

    :param failed: its class where the verdict is certain.
    """
    kinds: dict[State, type[TkeError]] = {State.EXPIRED: DeadlineError, State.FAILED: failed}
    return kinds.get(verdict.state, InconclusiveError)(problem, cause=verdict.reason, way_out=way_out)
