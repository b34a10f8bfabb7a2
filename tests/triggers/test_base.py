from __future__ import annotations

import asyncio
import time

from airflow.providers.common.compat.sdk import conf

from tke_provider.domain.verdicts import State, Verdict, failed, passed, pending
from tke_provider.exceptions import ForbiddenError, UnavailableError
from tke_provider.triggers import base
from tke_provider.triggers.base import TkeBaseTrigger


class Scripted(TkeBaseTrigger):
    """Looks, and sees what the script says."""

    arguments = ("script",)

    def __init__(self, *, script, **kwargs):
        super().__init__(**kwargs)
        self.script = script
        self.looks = 0

    async def look(self) -> Verdict:
        self.looks += 1
        seen = self.script[min(self.looks, len(self.script)) - 1]
        if isinstance(seen, Exception):
            raise seen
        return seen


def trigger(*script, seconds=60.0):
    return Scripted(script=script, tke_conn_id="tke_default", deadline=time.time() + seconds, poll_interval=0.001)


async def test_it_looks_until_the_verdict_is_final():
    waiting = trigger(pending("1 of 2 ready"), pending("1 of 2 ready"), passed("2 of 2 ready"))
    assert await waiting.wait() == passed("2 of 2 ready")
    assert waiting.looks == 3


async def test_a_hiccup_is_no_failure():
    hiccup = UnavailableError("Cluster cls-1 did not answer", way_out="wait")
    assert await trigger(hiccup, passed("up")).wait() == passed("up")


async def test_what_no_retry_helps_ends_the_wait_at_once():
    forbidden = ForbiddenError("Pods may not be listed", way_out="grant it")
    assert await trigger(forbidden, passed("up")).wait() == failed(str(forbidden))


async def test_the_deadline_says_what_was_still_missing():
    verdict = await trigger(pending("1 of 2 ready"), seconds=0).wait()
    assert (verdict.state, verdict.reason) == (State.EXPIRED, "1 of 2 ready")


async def test_the_wait_never_outlasts_its_deadline():
    slow = trigger(pending("no"), seconds=0.05)
    slow.poll_interval = 60
    verdict = await asyncio.wait_for(slow.wait(), timeout=5)
    assert verdict.state is State.EXPIRED


async def test_the_event_is_the_verdict(monkeypatch):
    # The pause that Airflow's scheduler needs is no matter of this test.
    monkeypatch.setattr("tke_provider.triggers.base._SETTLE_SECONDS", 0)
    events = [event async for event in trigger(passed("up")).run()]
    assert [event.payload for event in events] == [{"state": "passed", "reason": "up"}]


def test_no_trigger_is_quicker_than_the_report_of_its_deferral():
    assert conf.getfloat("workers", "min_heartbeat_interval") < base._SETTLE_SECONDS


def test_an_equal_trigger_can_be_made_from_what_is_stored():
    waiting = trigger(pending("no"))
    path, arguments = waiting.serialize()
    assert path == f"{__name__}.Scripted"
    assert Scripted(**arguments).serialize() == waiting.serialize()
