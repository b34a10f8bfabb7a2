"""Second versions in the cluster: taken out of the requests' way, in the order in which no user meets what is bad."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from tke_provider.domain.ingresses import INGRESS, WEIGHT, weight_of
from tke_provider.domain.manifests import ObjectRef, annotation
from tke_provider.domain.operations import OPERATION
from tke_provider.domain.tracks import HASH, TRACK, is_second, leads
from tke_provider.exceptions import BusyError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.releases import Record

_GOING_SECONDS = 60
_LOOKS_PER_SECOND = 5


async def stop_requests(cluster: Cluster, record: Record, ops: Collection[str]) -> None:
    """Have the Ingresses of second versions take no request any more, before anything else of them goes.

    Returns when whoever carries the requests has heard of it, too: that is later than the cluster.

    :param ops: the operations whose they are.
    """
    found = False
    for ref in record.before:
        live = await cluster.get(ref) if ref.kind == INGRESS else None
        if not is_second(live) or annotation(live, OPERATION) not in ops:
            continue
        found = True
        if weight_of(live) != "0":
            with contextlib.suppress(NotFoundError):  # another process undoes the same
                await cluster.patch(ref, {"metadata": {"annotations": {WEIGHT: "0"}}})
    if found:  # since when it is 0, nobody knows
        await asyncio.sleep(record.scale_down_delay)


def is_narrowed(live: Manifest | None, before: Manifest | None) -> bool:
    """Whether a Service leads past the second version, which led to all pods before."""
    return before is not None and leads(live, HASH) and not leads(before, HASH)


async def widen(cluster: Cluster, record: Record, services: Sequence[Manifest]) -> None:
    """Have Services lead to all pods again, as they did, once those of the second version are on their way out.

    :raises BusyError: when these stay; the Services then lead past them still.
    """
    if services and not await _is_kept(cluster, record):
        await _going(cluster, services)
    for each in services:
        await cluster.apply(each)


async def clear(cluster: Cluster, record: Record) -> None:
    """Take away what dead operations have beside the version that serves, unless a Service leads to that alone.

    Nobody watches it any more, and whoever takes over would divide the requests anew.
    """
    live = {ref: await cluster.get(ref) for ref in record.before} if record.ops else {}
    dead = {ref: each for ref, each in live.items() if each and annotation(each, OPERATION) in record.ops}
    if any(leads(each, TRACK) and not is_second(each) for each in dead.values()):
        return
    await stop_requests(cluster, record, record.ops)
    for ref in sorted(dead, key=ingresses_first):
        if is_second(dead[ref]):
            await cluster.delete(ref, uid=dead[ref]["metadata"]["uid"])
    await widen(
        cluster, record, [each for ref, each in record.before.items() if each and is_narrowed(dead.get(ref), each)]
    )


def ingresses_first(ref: ObjectRef) -> bool:
    """Sort Ingresses before what they lead to."""
    return ref.kind != INGRESS


async def _is_kept(cluster: Cluster, record: Record) -> bool:
    """Whether a second version stays, because somebody changed it: then there is no end to wait for."""
    seconds = [ref for ref, before in record.before.items() if before is None and ref.kind == "Deployment"]
    live = [await cluster.get(ref) for ref in seconds]
    return any(each and is_second(each) for each in live)


async def _going(cluster: Cluster, services: Sequence[Manifest]) -> None:
    for _ in range(_GOING_SECONDS * _LOOKS_PER_SECOND):
        if not (staying := [pod for each in services for pod in await _pods(cluster, each)]):
            return
        await asyncio.sleep(1 / _LOOKS_PER_SECOND)
    names = ", ".join(str(ObjectRef.of(each)) for each in staying)
    raise BusyError(
        f"{names} should go, and {ObjectRef.of(services[0])} must not lead there before", way_out="try again later"
    )


async def _pods(cluster: Cluster, service: Manifest) -> list[Manifest]:
    """Return the pods of a second version that the Service would lead to."""
    labels = ",".join([*(f"{key}={value}" for key, value in service["spec"]["selector"].items()), TRACK])
    listed = await cluster.list("v1", "Pod", service["metadata"]["namespace"], label_selector=labels)
    return [pod for pod in listed if "deletionTimestamp" not in pod["metadata"]]
