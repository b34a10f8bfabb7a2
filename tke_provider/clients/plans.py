"""Writing what a plan wants: each object as its only writer, many at a time, each seen through."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tke_provider.clients import leases
from tke_provider.clients.scaling import APPS
from tke_provider.domain.cron_rules import resized
from tke_provider.domain.demand import SIZED_AT
from tke_provider.domain.manifests import annotation
from tke_provider.domain.operations import OPERATION, SIZED_BY
from tke_provider.domain.owners import bound
from tke_provider.domain.plans import USUAL, least, show_size
from tke_provider.domain.scaling import SIZE_BEFORE, Bounds, assess_size
from tke_provider.domain.verdicts import State, Verdict, expired, failed, passed
from tke_provider.exceptions import BusyError, ConflictError, NotFoundError, TkeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.clients.plan_targets import Found
    from tke_provider.domain.manifests import Manifest, ObjectRef
    from tke_provider.domain.proposals import Row


_ATTEMPTS = 10


class Pace:
    """Lets so many through in a second, and no more.

    :param per_second: how many.
    """

    def __init__(self, per_second: float) -> None:
        self._interval = 1 / per_second
        self._next = 0.0

    async def turn(self) -> None:
        """Return when it is the caller's turn."""
        now = time.monotonic()
        self._next = max(now, self._next + self._interval)
        await asyncio.sleep(self._next - now)


class Workloads:
    """Live workloads, listed once for everybody who waits for one of them.

    :param interval: seconds between two lists.
    """

    def __init__(self, cluster: Cluster, interval: float) -> None:
        self._cluster = cluster
        self._interval = interval
        self._listed: dict[tuple[str, str], tuple[float, dict[str, Manifest]]] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, ref: ObjectRef, since: float) -> Manifest | None:
        """Return the workload as it was at some time after ``since`` (:func:`time.monotonic`)."""
        key = (ref.kind, ref.namespace)
        async with self._locks[key]:
            at, listed = self._listed.get(key, (0.0, {}))
            if at <= since:
                await asyncio.sleep(max(0.0, at + self._interval - time.monotonic()))
                at = time.monotonic()
                listed = {
                    each["metadata"]["name"]: each for each in await self._cluster.list(APPS, ref.kind, ref.namespace)
                }
                self._listed[key] = (at, listed)
        return listed.get(ref.name)


async def bring(
    cluster: Cluster, found: Found, row: Row, operation: str, *, workloads: Workloads, pace: Pace, timeout: float
) -> Verdict:
    """Give one object its size as its only writer, and wait until it has it. Repeating it changes nothing.

    :param timeout: seconds to wait for its pods.
    :raises BusyError: when somebody else is changing the service.
    """
    await pace.turn()
    async with leases.kept(cluster, found.lease, operation):
        if row.direction != "none" or claims(found, row):
            await _write(cluster, found, row, operation)
        if found.rule:
            rule = f"rule {found.rule} of {found.number}"
            return passed(f"{rule} gives {show_size(row.after)} from its next time on")
        if found.workload is None:
            return passed(f"{found.number} moves between {show_size(row.after)}")
        return await _wait(cluster, found, row, workloads, timeout)


async def _write(cluster: Cluster, found: Found, row: Row, operation: str) -> None:
    """Write the size into the very object that is read now: what the plan saw of it may be minutes old.

    :raises BusyError: when its size is no longer the one that the change was computed from, or it is fought over.
    """
    for attempt in range(_ATTEMPTS):
        live = await cluster.get(found.number)
        if live is None:
            raise NotFoundError(f"{found.number} was deleted meanwhile", way_out="-")
        ours = annotation(live, OPERATION) == operation and found.sizes(live)[0] == row.after
        if ours and (attempt or row.direction != "none"):
            return  # the answer to the write was lost
        _check_as_seen(live, found, row)
        with contextlib.suppress(ConflictError):  # its status moves all the time
            await cluster.patch(found.number, _patch(live, found, row, operation))
            return
        await asyncio.sleep(0.1 * attempt)
    raise BusyError(f"{found.number} is fought over", way_out="try again in a minute")


def _check_as_seen(live: Manifest, found: Found, row: Row) -> None:
    size, recorded = found.sizes(live)
    if (size, recorded) == (row.before, found.present.recorded):
        return
    raise BusyError(
        f"{found.number} was changed meanwhile",
        cause=f"{row.ref} had {show_size(row.before)} when the plan looked at it, and has {show_size(size)} now",
        way_out="try again: the plan looks anew",
    )


def _patch(live: Manifest, found: Found, row: Row, operation: str) -> dict[str, Any]:
    """Return the one patch, which holds for the very object that was read."""
    if found.rule:
        return resized(live, found.rule, row.after, None if _is_back(row) else row.usual, operation)
    patch = change(found, row, operation)
    patch["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
    return patch


def _is_back(row: Row) -> bool:
    """Whether an object returns to its usual size, so that its number belongs to the manifests again."""
    return not row.window and row.after == row.wanted


def change(found: Found, row: Row, operation: str) -> dict[str, Any]:
    """Return the one patch that sets the size, says who did, and keeps the usual size for as long as it is left."""
    back = _is_back(row)
    marks: dict[str, str | None] = {
        OPERATION: operation,
        SIZE_BEFORE: show_size(row.before if row.began is None else row.began),
        SIZED_AT: str(int(time.time())),
        SIZED_BY: None if back else operation,
        USUAL: None if back else show_size(row.usual),
    }
    spec: dict[str, Any] = {"spec": {"replicas": row.after}}
    if found.owner:
        bounds = row.after if isinstance(row.after, Bounds) else Bounds(row.after, row.after)
        spec = bound(found.owner, bounds, str(found.number))
    return {"metadata": {"annotations": marks}, **spec}


def is_due(found: Found, row: Row, operation: str) -> bool:
    """Whether there is something to do: to write, or to see through what an earlier try of this operation wrote."""
    if row.blockers:
        return False
    return row.direction != "none" or claims(found, row) or found.operation == operation


def claims(found: Found, row: Row) -> bool:
    """Whether a size that is right is still to be marked as the plan's: a deployment would undo it otherwise."""
    return row.direction == "none" and bool(row.window) and not found.marked and not row.blockers


async def _wait(cluster: Cluster, found: Found, row: Row, workloads: Workloads, timeout: float) -> Verdict:
    assert found.workload is not None  # noqa: S101  # nothing else has pods to wait for
    written = looked = time.monotonic()
    while True:
        live = await workloads.get(found.workload, looked)
        looked = time.monotonic()
        if live is None:
            return failed(f"{found.workload} was deleted meanwhile")
        verdict = assess_size(live, least(row.after), at_least=found.owner is not None)
        if verdict.final:
            return verdict
        if looked - written > timeout:
            return await _why(cluster, live, row, found)


async def _why(cluster: Cluster, live: Manifest, row: Row, found: Found) -> Verdict:
    """Look closely at what is late."""
    namespace = live["metadata"]["namespace"]
    clues = (
        await cluster.list("v1", "Pod", namespace),
        await cluster.list(APPS, "ReplicaSet", namespace),
        await cluster.list("v1", "Event", namespace, field_selector="type=Warning"),
    )
    verdict = assess_size(live, least(row.after), *clues, at_least=found.owner is not None)
    return verdict if verdict.state is State.FAILED else expired(verdict.reason)


async def bring_all(
    cluster: Cluster,
    work: Sequence[tuple[Found, Row]],
    operation: str,
    *,
    concurrency: int,
    per_second: float,
    timeout: float,
    poll_interval: float,
) -> list[tuple[Row, Verdict | TkeError]]:
    """Bring every object to its size, so many at a time; what fails keeps nothing else from being done.

    :param concurrency: how many objects at a time.
    :param per_second: how many are begun in a second.
    :param timeout: seconds to wait for the pods of each.
    """
    workloads, pace, gate = Workloads(cluster, poll_interval), Pace(per_second), asyncio.Semaphore(concurrency)
    # One operation holds a lease once: what shares one (a service and its HPA, the rules of one scaler) takes turns.
    turns: dict[ObjectRef, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def one(found: Found, row: Row) -> tuple[Row, Verdict | TkeError]:
        async with gate, turns[found.lease]:
            try:
                return row, await bring(cluster, found, row, operation, workloads=workloads, pace=pace, timeout=timeout)
            except TkeError as error:
                return row, error

    return list(await asyncio.gather(*(one(*each) for each in work)))
