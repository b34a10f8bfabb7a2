"""Node pools of a plan: found once, and brought to their size by one operation at a time."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from typing import TYPE_CHECKING

from tke_provider.clients import leases
from tke_provider.clients.nodes import CORDONED_BY, drain
from tke_provider.clients.scaling import resize_pool, settle
from tke_provider.domain.manifests import ObjectRef, annotation
from tke_provider.domain.nodes import least_missed, names_in_cluster, to_evict
from tke_provider.domain.plans import least
from tke_provider.domain.proposals import Present
from tke_provider.domain.scaling import (
    AUTOSCALER,
    Bounds,
    SetBounds,
    SetSize,
    assess_pool,
    shortage,
    sizeless,
    steps,
    written,
)
from tke_provider.domain.verdicts import Verdict, expired
from tke_provider.exceptions import CapacityError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.clients.tke import Tke
    from tke_provider.domain.clusters import NodePool
    from tke_provider.domain.plans import Target
    from tke_provider.domain.proposals import Direction, Row

_MOST_REMOVED = 100  # in one call
LEASE_NAMESPACE = "default"
"""Where the leases of node pools are, which belong to no namespace."""


@dataclasses.dataclass(frozen=True, slots=True)
class FoundPool:
    """A node pool that a plan sizes."""

    present: Present
    pool: NodePool

    def moves(self, direction: Direction) -> Direction:
        """Return whether its nodes come or go; also where an earlier try wrote the size, and they still do."""
        if direction == "none" and self.pool.ready != self.pool.desired:
            return "up" if self.pool.ready < self.pool.desired else "down"
        return direction


async def find_pools(tke: Tke, cluster_id: str, targets: Iterable[Target]) -> tuple[list[FoundPool], list[str]]:
    """Return the node pools of the targets, and in words what was not found."""
    pools = await tke.node_pools(cluster_id)
    found, missing = [], []
    for target in targets:
        named = [pool for pool in pools if target.object_name == pool.id]
        named = named or [pool for pool in pools if target.object_name == pool.name]
        if len(named) != 1:
            there = ", ".join(f"{pool.id} ({pool.name})" for pool in pools) or "none"
            missing.append(f"cluster {cluster_id} has {len(named)} node pools {target.object_name}; there are: {there}")
            continue
        found.append(FoundPool(_present(target, named[0]), named[0]))
    return found, missing


def _present(target: Target, pool: NodePool) -> Present:
    owner = AUTOSCALER if pool.autoscaling else ""
    blockers = [f"its size is written by {owner}"] if owner and target.on_owner == "refuse" else []
    return Present(
        target=target.name,
        ref=f"node pool {pool.id} ({pool.name})",
        size=written(pool),
        bounds=Bounds(pool.minimum, pool.maximum),
        owner=owner,
        blockers=(*blockers, *filter(None, [sizeless(pool)])),
    )


async def bring_pool(
    tke: Tke,
    cluster: Cluster,
    cluster_id: str,
    found: FoundPool,
    row: Row,
    operation: str,
    *,
    through_bounds: bool,
    deadline: float,
    poll_interval: float,
) -> Verdict:
    """Give a node pool its size as its only writer, and wait until every node of it is ready and open to pods.

    :param deadline: until when; :func:`time.monotonic`.
    :raises BusyError: when another operation is changing the pool.
    :raises CapacityError: when the cloud gave up on more nodes; in its words.
    """
    pool = found.pool

    def wanted(now: NodePool) -> tuple[SetBounds | SetSize, ...]:
        return _steps(now, row, through_bounds)

    async with leases.kept(cluster, ObjectRef("tke", "NodePool", LEASE_NAMESPACE, pool.id), operation):
        seen = await newest_activity(tke, pool) if wanted(pool) else ""
        if row.direction == "down" and isinstance(row.after, int) and not pool.autoscaling:
            await _empty(tke, cluster, cluster_id, pool, row.after, operation, deadline, poll_interval)
        pool = await resize_pool(tke, cluster_id, pool, wanted, deadline=deadline, poll_interval=poll_interval)
        at_least = through_bounds or isinstance(row.after, Bounds)
        while True:
            pool = await tke.node_pool(cluster_id, pool.id)
            verdict = assess_pool(pool, await tke.nodes(cluster_id, pool.id), least(row.after), at_least=at_least)
            if verdict.final:
                return verdict
            await _refuse_shortage(tke, pool, seen)
            if time.monotonic() > deadline:
                return expired(verdict.reason)
            await asyncio.sleep(poll_interval)


async def _empty(
    tke: Tke,
    cluster: Cluster,
    cluster_id: str,
    pool: NodePool,
    size: int,
    operation: str,
    deadline: float,
    poll_interval: float,
) -> None:
    """Drain the nodes that are least missed, and take these very nodes out of the pool."""
    pool = await settle(tke, cluster_id, pool.id, deadline=deadline, poll_interval=poll_interval)
    machines = await tke.nodes(cluster_id, pool.id)
    if (there := max(len(machines), size)) < pool.desired:
        # Nodes that never came are given up first: the pool would go on replacing those that leave.
        pool = await resize_pool(
            tke, cluster_id, pool, lambda now: steps(now, there), deadline=deadline, poll_interval=poll_interval
        )
    live = await cluster.list("v1", "Node")
    names = names_in_cluster(machines, live)
    closed = {node["metadata"]["name"] for node in live if annotation(node, CORDONED_BY) == operation}
    leaving = {machine for machine, name in names.items() if name in closed}
    pods = Counter(pod["spec"].get("nodeName") for pod in to_evict(await cluster.list("v1", "Pod")))
    load = {machine: pods[name] for machine, name in names.items()}
    chosen = [machine.id for machine in least_missed(machines, load, leaving, len(machines) - size)]
    if joined := [names[machine] for machine in chosen if machine in names]:
        await drain(cluster, joined, operation, deadline=deadline, poll_interval=poll_interval)
    for start in range(0, len(chosen), _MOST_REMOVED):
        await tke.remove_nodes(cluster_id, pool, chosen[start : start + _MOST_REMOVED])


def _steps(pool: NodePool, row: Row, through_bounds: bool) -> tuple[SetBounds | SetSize, ...]:
    if isinstance(row.after, int):
        return steps(pool, row.after, through_bounds=through_bounds)
    low, high = row.after.minimum, row.after.maximum
    size = low if pool.autoscaling else min(max(pool.desired, low), high)
    return steps(pool, size, None if pool.autoscaling else low, high, through_bounds=through_bounds)


async def _refuse_shortage(tke: Tke, pool: NodePool, seen: str) -> None:
    if pool.ready >= pool.desired or not pool.autoscaling_group_id:
        return
    if why := shortage(pool, await tke.scaling_activities(pool.autoscaling_group_id), seen):
        raise CapacityError(
            f"Node pool {pool.id} has {pool.ready} nodes of {pool.desired}, and the cloud gave up on more",
            cause=f"node pool {pool.id}: {why}",
            way_out="give the pool more instance types, zones or subnets, raise the quota, or ask for fewer nodes",
        )


async def newest_activity(tke: Tke, pool: NodePool) -> str:
    """Return the id of what the scaling group did last, to tell what follows from what was."""
    if not pool.autoscaling_group_id:
        return ""
    activities = await tke.scaling_activities(pool.autoscaling_group_id, limit=1)
    return activities[0].id if activities else ""
