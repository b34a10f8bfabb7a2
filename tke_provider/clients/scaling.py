"""Writing sizes: look, write, look again, so that a lost answer or a death in between is healed by the next look."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from tke_provider.clients.objects import autoscalers
from tke_provider.domain.demand import SIZED_AT
from tke_provider.domain.manifests import ObjectRef, annotation
from tke_provider.domain.operations import OPERATION, SIZED_BY
from tke_provider.domain.owners import Owner, find_owner, floor
from tke_provider.domain.scaling import SIZE_BEFORE, SetSize, at_rest, owned
from tke_provider.domain.verdicts import State
from tke_provider.exceptions import BusyError, ConflictError, DeadlineError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.clients.tke import Tke
    from tke_provider.domain.clusters import NodePool
    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.scaling import SetBounds

log = logging.getLogger(__name__)

APPS = "apps/v1"


class Number(NamedTuple):
    """The one number that decides a workload's size: its own, or the lower bound of whoever owns it."""

    ref: ObjectRef
    live: Manifest
    value: int
    owner: Owner | None = None


async def find_number(cluster: Cluster, workload: ObjectRef) -> Number:
    """Return where the size of a workload is written.

    :raises NotFoundError: when there is no such workload.
    """
    live = await cluster.get(workload)
    if live is None:
        raise NotFoundError(f"There is no {workload} in cluster {cluster.name}", way_out="check name and namespace")
    scalers = await autoscalers(cluster, workload.namespace)
    owner = find_owner(workload.kind, workload.name, scalers)
    if owner is None:
        return Number(workload, live, await _replicas(cluster, workload, live))
    ref = ObjectRef(owner.api_version, owner.kind, workload.namespace, owner.name)
    live = next(each for each in scalers if ObjectRef.of(each) == ref)
    return Number(ref, live, owner.bounds.minimum if owner.bounds else 0, owner)


async def _replicas(cluster: Cluster, workload: ObjectRef, live: Manifest) -> int:
    if workload.api_version == APPS:
        return int(live["spec"].get("replicas", 1))
    return int((await cluster.get_scale(workload))["spec"].get("replicas", 0))


async def resize(
    cluster: Cluster, workload: ObjectRef, size: int, operation: str, *, through_bounds: bool = False
) -> None:
    """Give a workload a size, and mark who did. Writes nothing where both are so already.

    :param through_bounds: where it has an owner, set the lower bound of that instead of refusing.
    :raises OwnedError: when it has an owner that may not, or cannot, be changed.
    :raises InputError: when the size lies above the owner's upper bound.
    """
    number = await find_number(cluster, workload)
    change: dict[str, Any] = {"spec": {"replicas": size}}
    if number.owner:
        if not through_bounds:
            raise owned(str(workload), number.owner)
        change = floor(number.owner, size, str(workload))
    # A size that is right by chance is claimed too: the next deployment would otherwise set that of its manifest.
    if number.value == size and annotation(number.live, SIZED_BY):
        log.info("%s is at %d already", number.ref, size)
        return
    log.info("Changing %s from %d to %d", number.ref, number.value, size)
    marks = {OPERATION: operation, SIZED_BY: operation, SIZE_BEFORE: str(number.value), SIZED_AT: str(int(time.time()))}
    if number.ref == workload and workload.api_version != APPS:
        # Where its number of replicas is written, only its kind knows.
        await cluster.patch(workload, {"metadata": {"annotations": marks}})
        await cluster.scale(workload, size)
        return
    await cluster.patch(number.ref, {"metadata": {"annotations": marks}, **change})


async def resize_pool(
    tke: Tke,
    cluster_id: str,
    pool: NodePool,
    plan: Callable[[NodePool], tuple[SetBounds | SetSize, ...]],
    *,
    deadline: float,
    poll_interval: float,
) -> NodePool:
    """Make the writes that a plan asks for, one at a time, each on a pool at rest, until it asks for none.

    :param plan: from the pool as it is to the writes that remain, such as :func:`tke_provider.domain.scaling.steps`.
    :param deadline: until when to write and to wait between two writes; :func:`time.monotonic`.
    :return: the pool after the last write, at rest. Its nodes come and go later.
    :raises ConflictError: when it is being deleted.
    :raises DeadlineError: when it does not come to rest in time.
    """
    pool = await settle(tke, cluster_id, pool.id, deadline=deadline, poll_interval=poll_interval)
    while writes := plan(pool):
        if time.monotonic() > deadline:
            raise DeadlineError(
                f"Node pool {pool.id} does not take its size",
                cause=f"it is still {pool.desired} in {pool.minimum} to {pool.maximum}",
                way_out="find out who else changes it, and run the task again",
            )
        try:
            await _write(tke, cluster_id, pool, writes[0])
        except (BusyError, UnavailableError) as error:
            if time.monotonic() > deadline:
                raise
            log.warning("%s Looking at what became of it.", error)
            await asyncio.sleep(poll_interval)
        pool = await settle(tke, cluster_id, pool.id, deadline=deadline, poll_interval=poll_interval)
        if plan(pool)[:1] == writes[:1]:
            await asyncio.sleep(poll_interval)  # the list may lag behind the write, and somebody may undo it
    return pool


async def settle(tke: Tke, cluster_id: str, pool_id: str, *, deadline: float, poll_interval: float) -> NodePool:
    """Return the pool once it takes a write; errors as :func:`resize_pool`."""
    said = ""
    while True:
        pool = await tke.node_pool(cluster_id, pool_id)
        rest = at_rest(pool)
        if rest.state is State.PASSED:
            return pool
        problem = f"Node pool {pool.id} takes no change"
        if rest.final:
            raise ConflictError(problem, cause=rest.reason, way_out="name another pool")
        if time.monotonic() > deadline:
            raise DeadlineError(problem, cause=rest.reason, way_out="find out who changes it, and run the task again")
        if rest.reason != said:
            said = rest.reason
            log.info("Waiting: %s", said)
        await asyncio.sleep(poll_interval)


async def _write(tke: Tke, cluster_id: str, pool: NodePool, write: SetBounds | SetSize) -> None:
    if isinstance(write, SetSize):
        log.info("Node pool %s: size from %d to %d", pool.id, pool.desired, write.size)
        await tke.set_pool_desired(cluster_id, pool, write.size)
    else:
        low, high = write.bounds.minimum, write.bounds.maximum
        log.info("Node pool %s: bounds from %d–%d to %d–%d", pool.id, pool.minimum, pool.maximum, low, high)  # noqa: RUF001
        await tke.set_pool_bounds(cluster_id, pool, low, high, write.size)
