"""One change of a service at a time: a Kubernetes ``Lease`` per service, held by deploys and scalers alike.

https://kubernetes.io/docs/concepts/architecture/leases/. Its holder is an operation's id, so a retry of the same
operation finds its own lease, and it is held across deferral: the trigger renews it. A holder that died loses it
when it expires. Clocks of workers may differ by far less than that.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import math
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from tke_provider.domain.manifests import ObjectRef
from tke_provider.exceptions import BusyError, ConflictError, ForbiddenError, TkeError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from tke_provider.clients.kubernetes import Cluster

log = logging.getLogger(__name__)

Service: TypeAlias = "tuple[str, str]"
"""Namespace and name."""

SECONDS = 180
"""How long a lease is held without being renewed: longer than a task waits for a free worker, as a rule."""
RENEW_SECONDS = 30.0
"""How often whoever waits should renew it."""

_ATTEMPTS = 5


def lease_of(namespace: str, service: str) -> ObjectRef:
    """Return the lease of a service."""
    return ObjectRef("coordination.k8s.io/v1", "Lease", namespace, f"tke-{service}")


async def acquire(cluster: Cluster, namespace: str, service: str, holder: str) -> None:
    """Take the lease, or renew it where the holder has it already.

    :param holder: the operation's id.
    :raises BusyError: when another operation holds it; names it, and says until when.
    """
    ref = lease_of(namespace, service)
    for attempt in range(_ATTEMPTS):
        live = await cluster.get(ref)
        spec = _spec(holder)
        if live is not None:
            _refuse_other(live, service, holder)
            if _holder(live) == holder:
                spec["acquireTime"] = live["spec"].get("acquireTime") or spec["acquireTime"]
        try:
            if live is None:
                metadata = {"name": ref.name, "namespace": namespace}
                await cluster.create(
                    {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata, "spec": spec}
                )
            else:
                version = live["metadata"]["resourceVersion"]
                await cluster.patch(ref, {"metadata": {"resourceVersion": version}, "spec": spec})
        except ConflictError:
            await asyncio.sleep(0.1 * attempt)  # somebody else was quicker: look who
        else:
            return
    raise BusyError(f"{service} in namespace {namespace} is fought over", way_out="try again in a minute")


async def renew(cluster: Cluster, namespace: str, service: str, holder: str) -> None:
    """Hold the lease for longer; takes it where nobody does.

    :raises BusyError: when it expired and another operation has it by now.
    """
    await acquire(cluster, namespace, service, holder)


async def release(cluster: Cluster, namespace: str, service: str, holder: str) -> None:
    """Give the lease back; does nothing where the holder does not have it."""
    ref = lease_of(namespace, service)
    live = await cluster.get(ref)
    if live is None or _holder(live) != holder:
        return
    given_back = {"holderIdentity": None, "renewTime": None, "acquireTime": None, "leaseDurationSeconds": None}
    try:
        version = live["metadata"]["resourceVersion"]
        await cluster.patch(ref, {"metadata": {"resourceVersion": version}, "spec": given_back})
    except ConflictError:
        await release(cluster, namespace, service, holder)


async def give_back(cluster: Cluster, services: Iterable[Service], holder: str) -> None:
    """Release every lease; one that cannot be released keeps none of the others, and expires by itself."""
    for namespace, service in services:
        try:
            await release(cluster, namespace, service, holder)
        except TkeError as error:  # noqa: PERF203  # each counts
            log.warning("%s in namespace %s stays taken for %d s at most. %s", service, namespace, SECONDS, error)


@contextlib.asynccontextmanager
async def held(
    cluster: Cluster, services: Iterable[Service], holder: str, *, and_beyond: bool = False
) -> AsyncIterator[None]:
    """Hold the leases within the block, for a change that does not outlast them.

    :param and_beyond: hold them after the block, too; an error inside gives them back even so.
    :raises BusyError: when another operation holds one of them; the others are given back.
    """
    taken: list[Service] = []
    keep = False
    try:
        for namespace, service in sorted(set(services)):
            taken.append((namespace, service))  # before: whoever is stopped may have taken it, and not have heard so
            await acquire(cluster, namespace, service, holder)
        yield
        keep = and_beyond
    finally:
        if not keep:
            await give_back(cluster, taken, holder)


class Renewal:
    """Renews leases a few times within the time for which they are held, however often it is asked to."""

    def __init__(self) -> None:
        self._next = -math.inf

    @property
    def due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self._next

    async def renew(self, cluster: Cluster, services: Iterable[Service], holder: str) -> None:
        """Renew them if it is time.

        :raises BusyError: when another operation has one by now: whoever lost it must not go on.
        """
        if self.due:
            for namespace, service in services:
                await renew(cluster, namespace, service, holder)
            self._next = time.monotonic() + RENEW_SECONDS


@contextlib.asynccontextmanager
async def kept(cluster: Cluster, workload: ObjectRef, holder: str, *, and_beyond: bool = False) -> AsyncIterator[None]:
    """Hold the lease of a workload within the block, however long it takes.

    :param and_beyond: as for :func:`held`.
    :raises BusyError: when another operation holds it, or has it by now: the block is then cancelled.
    :raises UnavailableError: when the cluster did not let it be renewed until it was about to expire: likewise.
    """
    outer, lost = asyncio.current_task(), list[TkeError]()

    async def renewing() -> None:
        expires = time.monotonic() + SECONDS
        while not lost:
            await asyncio.sleep(RENEW_SECONDS)
            asked = time.monotonic()
            try:
                await renew(cluster, workload.namespace, workload.name, holder)
                expires = asked + SECONDS
            except TkeError as error:
                if isinstance(error, UnavailableError) and time.monotonic() + RENEW_SECONDS < expires:
                    continue  # it is held for longer than one round
                lost.append(error)
                if outer:
                    outer.cancel()

    async with held(cluster, [(workload.namespace, workload.name)], holder, and_beyond=and_beyond):
        renewal = asyncio.create_task(renewing())
        try:
            yield
        except asyncio.CancelledError:
            if lost:
                raise lost[0] from None
            raise
        finally:
            renewal.cancel()


def _spec(holder: str) -> dict[str, Any]:
    now = _now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"holderIdentity": holder, "leaseDurationSeconds": SECONDS, "acquireTime": now, "renewTime": now}


def holder_of(live: dict[str, Any]) -> str:
    """Return who holds a lease now; empty where nobody does, or where it has expired."""
    return _holder(live) if _until(live) > _now() else ""


async def others(cluster: Cluster, namespace: str, holder: str) -> dict[str, str]:
    """Return what is being changed in a namespace by somebody else: service to who holds its lease.

    Nothing, with a warning, where they may not be listed, which only a rehearsal asks for: whoever writes takes one.
    """
    try:
        listed = await cluster.list("coordination.k8s.io/v1", "Lease", namespace)
    except ForbiddenError as error:
        log.warning("Who is changing something in namespace %s is not known. %s", namespace, error)
        return {}
    return {
        str(lease["metadata"]["name"]).removeprefix("tke-"): other
        for lease in listed
        if (other := holder_of(lease)) not in {"", holder}
    }


def _refuse_other(live: dict[str, Any], service: str, holder: str) -> None:
    present = holder_of(live)
    if present not in {"", holder}:
        raise BusyError(
            f"{service} in namespace {live['metadata']['namespace']} is being changed by {present}",
            way_out=f"wait for it to end, or for its lease to expire at {_until(live):%H:%M:%S} UTC",
        )


def _until(live: dict[str, Any]) -> dt.datetime:
    spec = live.get("spec") or {}
    if not spec.get("renewTime"):
        return dt.datetime.min.replace(tzinfo=dt.timezone.utc)
    renewed = dt.datetime.fromisoformat(str(spec["renewTime"]).replace("Z", "+00:00"))
    return renewed + dt.timedelta(seconds=int(spec.get("leaseDurationSeconds") or 0))


def _holder(live: dict[str, Any]) -> str:
    return str((live.get("spec") or {}).get("holderIdentity") or "")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)
