"""What a plan finds in a cluster, and writing what it wants: in bulk, by one look a namespace, not one a service."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tke_provider.clients import leases
from tke_provider.clients.objects import autoscalers
from tke_provider.domain.demand import SIZED_AT
from tke_provider.domain.manifests import ObjectRef, annotation
from tke_provider.domain.operations import OPERATION, SIZED_BY
from tke_provider.domain.plans import USUAL, Kind, least, read_size, show_size
from tke_provider.domain.proposals import Present
from tke_provider.domain.scaling import SIZE_BEFORE, Bounds, assess_size, bound, find_owner, owner_of
from tke_provider.domain.verdicts import State, Verdict, expired, failed, passed
from tke_provider.exceptions import ForbiddenError, TkeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tke_provider.clients.kubernetes import Cluster, Objects
    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.plans import Size, Target
    from tke_provider.domain.proposals import Row
    from tke_provider.domain.scaling import Owner

log = logging.getLogger(__name__)

_APPS = "apps/v1"
_HPA = ("autoscaling/v2", "HorizontalPodAutoscaler")


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """One object of a cluster that a plan sizes.

    :param number: the object in which the size is written: the workload, or its autoscaler.
    :param workload: whose pods come and go; none of an HPA that is a target itself.
    :param lease: whose lease keeps everybody else away.
    :param owner: the autoscaler that is written instead of the workload.
    :param marked: whether it says already that a task sized it.
    :param operation: that changed it last.
    """

    present: Present
    number: ObjectRef
    workload: ObjectRef | None
    lease: ObjectRef
    owner: Owner | None = None
    marked: bool = False
    operation: str = ""


# --- looking ----------------------------------------------------------------------------------------------------------


async def find(
    cluster: Cluster, targets: Iterable[Target], operation: str, *, closely: bool = False
) -> tuple[list[Found], list[str]]:
    """Return every object of the targets, and in words what was not found.

    :param operation: whose leases do not stand against a change.
    :param closely: look also for who is changing one, and for what would keep pods from coming: quotas, and pods that
        wait already.
    """
    by_namespace: dict[str, list[Target]] = defaultdict(list)
    for target in targets:
        by_namespace[target.namespace].append(target)
    looks = [
        _Namespace(cluster, name, operation, closely).find(wanted) for name, wanted in sorted(by_namespace.items())
    ]
    found, missing = [], []
    for objects, absent in await asyncio.gather(*looks):
        found += objects
        missing += absent
    return found, missing


class _Namespace:
    """What one namespace holds."""

    def __init__(self, cluster: Cluster, name: str, operation: str, closely: bool) -> None:
        self.cluster = cluster
        self.name = name
        self.operation = operation
        self.closely = closely
        self.scalers: Objects = []
        self.held: dict[str, str] = {}
        self.waiting: Objects = []
        self.quotas: Objects = []
        self._every_of: dict[str, dict[str, Manifest]] = {}

    async def find(self, targets: Sequence[Target]) -> tuple[list[Found], list[str]]:
        self.scalers = await autoscalers(self.cluster, self.name)
        if self.closely:
            self.held, self.waiting, self.quotas = await self._held(), await self._waiting(), await self._quotas()
        found, missing = [], []
        for target in targets:
            objects = await self._objects(target)
            if not objects and not target.selector:
                missing.append(f"there is no {target} in cluster {self.cluster.name}")
            found += [self._found(target, each) for each in objects]
        return found, missing

    async def _objects(self, target: Target) -> Objects:
        if target.kind is Kind.HPA:
            kind = _HPA[1]
            return [each for each in self.scalers if (each["kind"], _name(each)) == (kind, target.object_name)]
        if target.selector:
            return await self.cluster.list(_APPS, target.workload, self.name, label_selector=target.selector)
        live = await self._every(target.workload)
        return [live[target.object_name]] if target.object_name in live else []

    async def _every(self, kind: str) -> dict[str, Manifest]:
        if kind not in self._every_of:
            listed = await self.cluster.list(_APPS, kind, self.name)
            self._every_of[kind] = {_name(each): each for each in listed}
        return self._every_of[kind]

    def _found(self, target: Target, live: Manifest) -> Found:
        ref = ObjectRef.of(live)
        workload = None if target.kind is Kind.HPA else ref
        owner = owner_of(live) if workload is None else find_owner(ref.kind, ref.name, self.scalers)
        number, size, blockers = live, int(live["spec"].get("replicas", 1)), []
        if owner and workload:
            number = next(each for each in self.scalers if (each["kind"], _name(each)) == (owner.kind, owner.name))
            if target.on_owner == "refuse" or owner.bounds is None:
                blockers.append(f"its size is written by {owner}")
        if owner and owner.bounds:
            size = owner.bounds.minimum
        scaled = ((live.get("spec") or {}).get("scaleTargetRef") or {}).get("name", ref.name)
        lease = ObjectRef(_APPS, target.workload, self.name, scaled)
        if holder := self.held.get(lease.name):
            blockers.append(f"it is being changed by {holder}")
        present = Present(
            target=target.name,
            ref=str(ref),
            size=size,
            bounds=owner.bounds if owner else None,
            recorded=_recorded(number),
            owner=str(owner) if owner and workload else "",
            blockers=tuple(blockers),
            growth_blockers=tuple(self._against_growth(ref)),
        )
        return Found(
            present,
            ObjectRef.of(number),
            workload,
            lease,
            owner,
            marked=bool(annotation(number, SIZED_BY)),
            operation=annotation(number, OPERATION),
        )

    def _against_growth(self, ref: ObjectRef) -> list[str]:
        pending = [pod for pod in self.waiting if _name(pod).startswith(f"{ref.name}-")]
        said = [f"{len(pending)} of its pods wait for a node"] if pending else []
        return said + [f"quota {_name(quota)} has no pod left" for quota in self.quotas if _used_up(quota)]

    async def _held(self) -> dict[str, str]:
        """Service to who changes it, where that is not us."""
        listed = await self.cluster.list("coordination.k8s.io/v1", "Lease", self.name)
        return {
            _name(lease).removeprefix("tke-"): holder
            for lease in listed
            if (holder := leases.holder_of(lease)) not in {"", self.operation}
        }

    async def _waiting(self) -> Objects:
        pods = await self._if_allowed("v1", "Pod", field_selector="status.phase=Pending")
        return [pod for pod in pods if not pod["spec"].get("nodeName")]

    async def _quotas(self) -> Objects:
        return await self._if_allowed("v1", "ResourceQuota")

    async def _if_allowed(self, api_version: str, kind: str, **more: str) -> Objects:
        try:
            return await self.cluster.list(api_version, kind, self.name, **more)
        except ForbiddenError as error:
            log.warning("What could stand against growing is not fully known. %s", error)
            return []


def _name(live: Manifest) -> str:
    return str(live["metadata"]["name"])


def _recorded(live: Manifest) -> Size | None:
    text = annotation(live, USUAL)
    try:
        return read_size(text) if text else None
    except (TkeError, ValueError):
        log.warning("%s has %r as its usual size, which is none; its present one counts", ObjectRef.of(live), text)
        return None


def _used_up(quota: Manifest) -> bool:
    status = quota.get("status") or {}
    hard, used = ((status.get(each) or {}).get("pods") for each in ("hard", "used"))
    return hard is not None and int(used or 0) >= int(hard)


# --- writing ----------------------------------------------------------------------------------------------------------


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
                listed = {_name(each): each for each in await self._cluster.list(_APPS, ref.kind, ref.namespace)}
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
            await cluster.patch(found.number, change(found, row, operation))
        if found.workload is None:
            return passed(f"{found.number} moves between {show_size(row.after)}")
        return await _wait(cluster, found, row, workloads, timeout)


def change(found: Found, row: Row, operation: str) -> dict[str, Any]:
    """Return the one patch that sets the size, says who did, and keeps the usual size for as long as it is left."""
    back = not row.window and row.after == row.wanted
    marks: dict[str, str | None] = {
        OPERATION: operation,
        SIZE_BEFORE: str(least(row.before)),
        SIZED_AT: f"{time.time():.0f}",
        # Back at the usual size, the number belongs to the manifests again.
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
        await cluster.list(_APPS, "ReplicaSet", namespace),
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

    async def one(found: Found, row: Row) -> tuple[Row, Verdict | TkeError]:
        async with gate:
            try:
                return row, await bring(cluster, found, row, operation, workloads=workloads, pace=pace, timeout=timeout)
            except TkeError as error:
                return row, error

    return list(await asyncio.gather(*(one(*each) for each in work)))
