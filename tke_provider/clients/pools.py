"""Node pools of a plan: found once, and brought to their size by one operation at a time."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import time
from collections import Counter, defaultdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from tke_provider.clients import leases
from tke_provider.clients.nodes import CORDONED_BY, closed_by_marks, drain, uncordon
from tke_provider.clients.scaling import resize_pool, settle
from tke_provider.domain.manifests import ObjectRef, annotation
from tke_provider.domain.nodes import assess_joined, least_missed, names_in_cluster, to_evict
from tke_provider.domain.operations import OPERATION
from tke_provider.domain.phrases import some
from tke_provider.domain.plans import least
from tke_provider.domain.pools import came, fell_back, gave_up, settled_for
from tke_provider.domain.proposals import Began, Present, named_once
from tke_provider.domain.scaling import (
    AUTOSCALER,
    SIZE_BEFORE,
    Bounds,
    SetBounds,
    SetSize,
    assess_pool,
    shortage,
    sizeless,
    steps,
    written,
)
from tke_provider.domain.verdicts import State, Verdict, expired, passed
from tke_provider.exceptions import CapacityError, TkeError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from tke_provider.clients.kubernetes import Cluster, Objects
    from tke_provider.clients.tke import Tke
    from tke_provider.domain.clusters import NodePool, PoolNode
    from tke_provider.domain.plans import Size, Target
    from tke_provider.domain.pools import GroupRule
    from tke_provider.domain.proposals import Direction, Row

log = logging.getLogger(__name__)

_MOST_REMOVED = 100  # in one call
_TO_FALL_BACK = 300.0  # seconds
_LARGE, _LISTED_SECONDS = 100, 60.0
_LARGE_CLUSTER, _LOOKED_SECONDS = 1000, 15.0


def whole_pool(pool_id: str) -> ObjectRef:
    """Return what the lease of a node pool is held for; it lies in ``default``, for a pool belongs to no namespace."""
    return ObjectRef("tke", "NodePool", "default", pool_id)


def shrinking(pool_id: str) -> str:
    """Return the mark of nodes that are closed because their pool shrinks; whoever holds its lease may open them."""
    return f"shrinking {pool_id}"


async def reopen(cluster: Cluster, pool_id: str, but: Container[str] = ()) -> None:
    """Open the nodes again that an earlier shrinking of the pool closed and did not take out, for it was killed.

    :param but: names of those that stay closed.
    """
    left = [name for name, by in (await closed_by_marks(cluster)).items() if by == shrinking(pool_id)]
    if opened := await uncordon(cluster, [name for name in left if name not in but], shrinking(pool_id)):
        log.info("Node pool %s: opened again, left closed by a shrinking that died: %s", pool_id, some(opened, _LARGE))


@dataclasses.dataclass(frozen=True, slots=True)
class FoundPool:
    """A node pool that a plan sizes.

    :param left_closed: whether an earlier shrinking that was killed left nodes of it closed.
    """

    present: Present
    pool: NodePool
    left_closed: bool = False

    def moves(self, row: Row) -> Direction:
        """Return whether its nodes come or go; also where an earlier try wrote the size, and they still do.

        A range may rise and take nodes away, where its upper bound is less than there are.
        """
        if row.direction == "none" and (self.left_closed or self.pool.ready != self.pool.desired):
            return "up" if self.pool.ready <= self.pool.desired else "down"
        return "down" if self.leaving(row) else row.direction

    def leaving(self, row: Row) -> int:
        """Return how many nodes would be drained and taken away."""
        return _leaving(self.pool, row.after)


async def find_pools(
    tke: Tke, cluster: Cluster, cluster_id: str, targets: Iterable[Target], operation: str
) -> tuple[list[FoundPool], list[str]]:
    """Return the node pools of the targets, and in words what was not found.

    :param operation: whose earlier tries are known by what they noted.
    """
    pools, marks = await tke.node_pools(cluster_id), set((await closed_by_marks(cluster)).values())
    found, missing = [], []
    for target in targets:
        named = [pool for pool in pools if target.object_name == pool.id]
        named = named or [pool for pool in pools if target.object_name == pool.name]
        if len(named) != 1:
            there = ", ".join(f"{pool.id} ({pool.name})" for pool in pools) or "none"
            missing.append(f"cluster {cluster_id} has {len(named)} node pools {target.object_name}; there are: {there}")
            continue
        (pool,) = named
        began = await _began(cluster, pool, operation) if target.step is not None else None
        present = _present(target, pool, await rules_of(tke, pool), began)
        found.append(FoundPool(present, pool, shrinking(pool.id) in marks))
    names = defaultdict(list)
    for each in found:
        names[each.pool.id].append(each.present.target)
    return [dataclasses.replace(each, present=named_once(each.present, names[each.pool.id])) for each in found], missing


async def _began(cluster: Cluster, pool: NodePool, operation: str) -> Began | None:
    """Return which size an earlier try of the operation found; it is noted on the pool's lease."""
    live = await cluster.get(leases.lease_of(whole_pool(pool.id).namespace, pool.id))
    if live is None or annotation(live, OPERATION) != operation:
        return None
    try:
        size, minimum, maximum = map(int, annotation(live, SIZE_BEFORE).split())
        return Began(size, Bounds(minimum, maximum))
    except (TkeError, ValueError):  # somebody else wrote it
        return None


async def _note(cluster: Cluster, pool: NodePool, operation: str) -> None:
    """Note which size the operation found, before it changes it; what a retry finds is what its first try made."""
    ref = leases.lease_of(whole_pool(pool.id).namespace, pool.id)
    live = await cluster.get(ref)
    if live is not None and annotation(live, OPERATION) != operation:
        found = f"{written(pool)} {pool.minimum} {pool.maximum}"
        await cluster.patch(ref, {"metadata": {"annotations": {OPERATION: operation, SIZE_BEFORE: found}}})


async def rules_of(tke: Tke, pool: NodePool) -> list[GroupRule]:
    """Return what else moves the size of a regular pool: rules of its scaling group that will happen again."""
    if not pool.autoscaling_group_id:
        return []
    now = datetime.now(timezone.utc)
    return [rule for rule in await tke.group_rules(pool.autoscaling_group_id) if not rule.is_over(now)]


def _present(target: Target, pool: NodePool, rules: Iterable[GroupRule], began: Began | None) -> Present:
    autoscaler = AUTOSCALER if pool.autoscaling else ""
    refused = [autoscaler] if autoscaler and target.on_owner == "refuse" else []
    blockers = [f"its size is written by {owner}" for owner in (*refused, *rules)]
    return Present(
        target=target.name,
        ref=f"node pool {pool.id} ({pool.name})",
        size=written(pool),
        bounds=Bounds(pool.minimum, pool.maximum),
        owner=autoscaler,
        blockers=(*blockers, *filter(None, [sizeless(pool)])),
        began=began,
    )


class PoolNodes:
    """The nodes of a pool, for whoever looks again and again: of a large one all pages are dozens of calls."""

    def __init__(self) -> None:
        self._listed: list[PoolNode] = []
        self._next = -math.inf
        self._live: Objects = []
        self._next_live = -math.inf

    async def get(self, tke: Tke, cluster_id: str, pool: NodePool) -> list[PoolNode]:
        """Return the nodes; of a large pool that is still moving, as they were a minute ago at most."""
        moving = pool.desired > _LARGE and pool.ready != pool.desired
        if not moving or time.monotonic() >= self._next:
            self._listed = await tke.nodes(cluster_id, pool.id)
            self._next = time.monotonic() + _LISTED_SECONDS
        return self._listed

    async def joined(self, cluster: Cluster, pool: NodePool, wanted: int) -> Verdict:
        """Return what Kubernetes says of the nodes that were last listed; a large cluster is asked every 15 s at most.

        :param wanted: how many must take pods.
        """
        if time.monotonic() >= self._next_live:
            self._live = await cluster.list("v1", "Node")
            self._next_live = time.monotonic() + (_LOOKED_SECONDS if len(self._live) > _LARGE_CLUSTER else 0)
        return assess_joined(pool.id, self._listed, self._live, wanted)


class Brought(NamedTuple):
    """What became of a pool.

    :param missing: how many nodes fewer than planned it was left with, because the cloud had no more.
    """

    verdict: Verdict
    missing: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class PoolWork:
    """Brings node pools of one cluster to their sizes, for one operation.

    :param deadline: until when; :func:`time.monotonic`.
    """

    tke: Tke
    cluster: Cluster
    cluster_id: str
    operation: str
    deadline: float
    poll_interval: float

    async def bring(self, pool: NodePool, row: Row, target: Target) -> Brought:
        """Give a node pool its size as its only writer, and wait until every node of it is ready and open to pods.

        :raises BusyError: when another operation is changing the pool.
        :raises CapacityError: when the cloud gave up on more nodes, and the plan has nothing to fall back to.
        """
        through_bounds = target.on_owner == "bounds"
        async with leases.kept(self.cluster, whole_pool(pool.id), self.operation):
            if target.step is not None:
                await _note(self.cluster, pool, self.operation)
            outcome: Verdict | CapacityError
            try:
                outcome = await self._bring(pool, row, through_bounds)
            except CapacityError as error:
                outcome = error
            if (why := _lacking(outcome)) and target.fallback != "keep" and row.direction != "down":
                longer = dataclasses.replace(self, deadline=max(self.deadline, time.monotonic() + _TO_FALL_BACK))
                if fallen := await longer.fall_back(pool, row.after, through_bounds, why):
                    return fallen
            if isinstance(outcome, CapacityError):
                raise outcome
            return Brought(outcome)

    async def _bring(self, pool: NodePool, row: Row, through_bounds: bool) -> Verdict:
        seen = await newest_activity(self.tke, pool) if _steps(pool, row.after, through_bounds) else ""
        if _leaving(pool, row.after):
            if isinstance(row.after, Bounds):
                # What leaves lowers the size: not below the minimum that the pool still has.
                lowest = Bounds(min(row.after.minimum, pool.minimum), pool.maximum)
                pool = await self._resize(pool, lowest, through_bounds)
            await self._empty(pool, _number(pool, row.after))
        else:
            await reopen(self.cluster, pool.id)
        await self._resize(pool, row.after, through_bounds)
        return await self._wait(pool.id, row.after, through_bounds, seen)

    async def _wait(self, pool_id: str, size: Size, through_bounds: bool, seen: str) -> Verdict:
        at_least, nodes = through_bounds or isinstance(size, Bounds), PoolNodes()
        while True:
            pool = await self.tke.node_pool(self.cluster_id, pool_id)
            there = await nodes.get(self.tke, self.cluster_id, pool)
            verdict = assess_pool(pool, there, least(size), at_least=at_least)
            if verdict.state is State.PASSED:
                verdict = await nodes.joined(self.cluster, pool, least(size) if at_least else pool.desired)
            if verdict.final:
                return verdict
            if why := await self._shortage(pool, seen):
                raise gave_up(pool, why)
            if time.monotonic() > self.deadline:
                return expired(verdict.reason)
            await asyncio.sleep(self.poll_interval)

    async def _shortage(self, pool: NodePool, seen: str) -> str:
        if pool.ready >= pool.desired or not pool.autoscaling_group_id:
            return ""
        return shortage(pool, await self.tke.scaling_activities(pool.autoscaling_group_id), seen)

    async def fall_back(self, pool: NodePool, wanted: Size, through_bounds: bool, why: str) -> Brought | None:
        """Make do with the nodes that came, so that nobody goes on asking for more; nothing where all are on their way.

        Of a pool that lacks nodes below its minimum even so, the minimum remains its size.
        """
        pool = await settle(
            self.tke, self.cluster_id, pool.id, deadline=self.deadline, poll_interval=self.poll_interval
        )
        there = came(await self.tke.nodes(self.cluster_id, pool.id))
        if (missing := least(wanted) - there) <= 0:
            return None
        reduced = settled_for(wanted, max(there, 0 if through_bounds else pool.minimum))
        pool = await self._resize(pool, reduced, through_bounds)
        verdict = passed(fell_back(f"node pool {pool.id}", there, missing, why))
        if there < least(reduced):
            return Brought(verdict, missing)
        arrived = await self._wait(pool.id, reduced, through_bounds, await newest_activity(self.tke, pool))
        return Brought(verdict if arrived.state is State.PASSED else arrived, missing)

    async def _resize(self, pool: NodePool, size: Size, through_bounds: bool) -> NodePool:
        def remaining(now: NodePool) -> tuple[SetBounds | SetSize, ...]:
            return _steps(now, size, through_bounds)

        return await resize_pool(
            self.tke, self.cluster_id, pool, remaining, deadline=self.deadline, poll_interval=self.poll_interval
        )

    async def _empty(self, pool: NodePool, size: int) -> None:
        """Drain the nodes that are least missed, and take these very nodes out of the pool."""
        pool = await settle(
            self.tke, self.cluster_id, pool.id, deadline=self.deadline, poll_interval=self.poll_interval
        )
        machines = await self.tke.nodes(self.cluster_id, pool.id)
        if (there := max(len(machines), size)) < pool.desired:
            # Nodes that never came are given up first: the pool would go on replacing those that leave.
            pool = await self._resize(pool, there, through_bounds=False)
        live = await self.cluster.list("v1", "Node")
        pods = to_evict(await self.cluster.list("v1", "Pod"))
        chosen, joined = first_to_go(machines, live, pods, pool.id, len(machines) - size)
        await reopen(self.cluster, pool.id, but=joined)
        if joined:
            await drain(
                self.cluster,
                joined,
                self.operation,
                closed_by=shrinking(pool.id),
                deadline=self.deadline,
                poll_interval=self.poll_interval,
            )
        for start in range(0, len(chosen), _MOST_REMOVED):
            await self.tke.remove_nodes(self.cluster_id, pool, chosen[start : start + _MOST_REMOVED])


def first_to_go(
    machines: Sequence[PoolNode], live: Objects, pods: Objects, pool_id: str, number: int
) -> tuple[list[str], list[str]]:
    """Choose the nodes of a pool that are least missed; return the ids of the machines, and the names of their Nodes.

    :param live: Nodes of the cluster.
    :param pods: that would have to be evicted, of the whole cluster.
    :param pool_id: whose choice of before holds: nodes that an earlier shrinking has closed go first.
    """
    names = names_in_cluster(machines, live)
    closed = {node["metadata"]["name"] for node in live if annotation(node, CORDONED_BY) == shrinking(pool_id)}
    leaving = {machine for machine, name in names.items() if name in closed}
    load = Counter(pod["spec"].get("nodeName") for pod in pods)
    by_id = {machine: load[name] for machine, name in names.items()}
    chosen = [machine.id for machine in least_missed(machines, by_id, leaving, number)]
    return chosen, [names[machine] for machine in chosen if machine in names]


def _lacking(outcome: Verdict | CapacityError) -> str:
    """Return why nodes may be missing for good; empty where none are."""
    if isinstance(outcome, CapacityError):
        return outcome.cause or outcome.problem
    return outcome.reason if outcome.state is State.EXPIRED else ""


def _steps(pool: NodePool, size: Size, through_bounds: bool) -> tuple[SetBounds | SetSize, ...]:
    if isinstance(size, int):
        return steps(pool, size, through_bounds=through_bounds)
    low, high = None if pool.autoscaling else size.minimum, size.maximum
    return steps(pool, _number(pool, size), low, high, through_bounds=through_bounds)


def _number(pool: NodePool, size: Size) -> int:
    """Return the number that is written: of a range, where the pool's size is moved to."""
    if isinstance(size, int):
        return size
    return size.minimum if pool.autoscaling else min(max(pool.desired, size.minimum), size.maximum)


def _leaving(pool: NodePool, size: Size) -> int:
    """Return how many nodes have to go, which only the cluster autoscaler chooses and drains by itself."""
    return 0 if pool.autoscaling else max(0, pool.desired - _number(pool, size))


async def newest_activity(tke: Tke, pool: NodePool) -> str:
    """Return the id of what the scaling group did last, to tell what follows from what was."""
    if not pool.autoscaling_group_id:
        return ""
    activities = await tke.scaling_activities(pool.autoscaling_group_id, limit=1)
    return activities[0].id if activities else ""
