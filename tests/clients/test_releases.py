"""The record of a release has one writer at a time, whoever sleeps, wakes or dies in between."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING

import pytest

from tke_provider.clients import releases
from tke_provider.clients.releases import OvertakenError, ServiceRelease
from tke_provider.domain.manifests import ObjectRef, stamp
from tke_provider.domain.releases import Record, Stage
from tke_provider.exceptions import BusyError

if TYPE_CHECKING:
    from tests.live_cluster import Place

pytestmark = pytest.mark.stack

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.timezone.utc)


def settings(value: str = "new") -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"v": value}}


async def begin(place: Place, op: str, value: str = "new") -> ServiceRelease:
    draft = Record(service="web", namespace=place.namespace, op=op)
    manifests = [settings(value)]
    stamp(manifests, op, "")
    return await ServiceRelease.begin(place.cluster, draft, manifests)


async def find(place: Place, op: str) -> ServiceRelease:
    """The release, as another process reads it."""
    return await ServiceRelease.find(place.cluster, place.namespace, "web", op)


async def stages(place: Place) -> list[Stage]:
    return [each.stage for each in await releases.history(place.cluster, place.namespace, "web")]


@pytest.mark.parametrize("end", [Stage.LIVE, Stage.ROLLED_BACK])
async def test_who_wakes_late_does_not_reopen_a_release_that_ended(place, end):
    release = await begin(place, "op-1")
    late = await find(place, "op-1")
    await release.note(stage=end, finished=NOON)
    for change in ({"step": 1}, {"since": NOON}, {"stage": Stage.UNDOING}):
        with pytest.raises(OvertakenError, match=f"went on without this process: it is {end.value}, by op-1"):
            await late.note(**change)
    assert await stages(place) == [end]


async def test_who_wakes_late_takes_no_step_back_and_may_still_end_the_release(place):
    release = await begin(place, "op-1")
    late, ending = await find(place, "op-1"), await find(place, "op-1")
    await release.note(step=2)
    with pytest.raises(OvertakenError):
        await late.note(step=1)
    await late.note(step=2)  # both took it
    await ending.note(stage=Stage.UNDOING, reason="a gate said no")
    await release.note(stage=Stage.UNDOING, reason="it was killed")  # two undo at once
    found = await find(place, "op-1")
    assert (found.record.stage, found.record.step) == (Stage.UNDOING, 2)


async def test_a_release_that_was_taken_over_ends_as_abandoned_whatever_its_process_says_later(place):
    dead = await begin(place, "op-1")
    await begin(place, "op-2")
    with pytest.raises(OvertakenError, match="abandoned, by op-1: it died, and op-2 took over"):
        await dead.finish()
    assert await stages(place) == [Stage.APPLYING, Stage.ABANDONED]


async def test_who_dies_while_taking_over_loses_no_way_back(place, monkeypatch):
    """Not killed by a signal: between two writes that follow at once, none would meet the right moment."""
    await place.cluster.create({**settings("old"), "metadata": {"name": "web", "namespace": place.namespace}})
    await (await begin(place, "op-1")).apply()

    async def killed(_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as death:
        death.setattr(place.cluster, "create", killed)
        with pytest.raises(asyncio.CancelledError):
            await begin(place, "op-2")
    assert await stages(place) == [Stage.ABANDONED]
    with pytest.raises(OvertakenError, match="it is abandoned, by op-1: it died, and op-2 took over"):
        await find(place, "op-1")  # were it to wake now, it must not go on
    release = await begin(place, "op-3")
    assert await stages(place) == [Stage.APPLYING, Stage.ABANDONED]
    await release.apply()
    await release.undo("a gate said no")
    live = await place.cluster.get(ObjectRef("v1", "ConfigMap", place.namespace, "web"))
    assert live["data"] == {"v": "old"}


async def test_of_two_that_begin_at_once_one_does_and_the_same_task_twice_is_one(place):
    same = await asyncio.gather(begin(place, "op-1"), begin(place, "op-1"))
    assert {each.record.revision for each in same} == {1}
    await (await find(place, "op-1")).note(stage=Stage.LIVE)
    begun = await asyncio.gather(begin(place, "op-2"), begin(place, "op-3"), return_exceptions=True)
    won = [each for each in begun if isinstance(each, ServiceRelease)]
    assert won
    assert all(isinstance(each, (ServiceRelease, BusyError)) for each in begun)
    assert (await releases.read(place.cluster, place.namespace, "web")).op in {each.record.op for each in won}


async def test_a_damaged_record_of_long_ago_is_no_reason_against_what_is_live(place, caplog):
    for op in ("op-1", "op-2"):
        await (await begin(place, op, op)).finish()
    first = releases.record_of(place.namespace, "web", 1)
    await place.cluster.patch(first, {"data": {"record": "bm90aGluZw=="}})
    await (await begin(place, "op-3", "newer")).finish()
    assert (await find(place, "op-3")).record.stage is Stage.LIVE
    assert "is no record of a release" in caplog.text
