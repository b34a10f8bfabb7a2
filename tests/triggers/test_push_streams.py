"""Many repositories on one loop, under Airflow's own manager of shared streams: each is told of once, by itself."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest
from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome

from tests.triggers.watching import State, triggerer, until
from tke_provider.triggers import push_streams, pushes
from tke_provider.triggers.push_streams import LOOKS_AT_ONCE, PushStream
from tke_provider.triggers.pushes import PushTrigger, Watchers

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 50


class Host:
    """A host with repositories whose news are numbers, and Airflow's asset state."""

    def __init__(self) -> None:
        self.heads: dict[str, int] = {}
        self.stored: dict[str, str] = {}
        self.looks: list[str] = []
        self.hanging: set[str] = set()
        self.broken: set[str] = set()
        self.unstorable: set[str] = set()
        self.asking = self.most = 0
        self.meanwhile: Callable[[], object] = lambda: None


HOST = Host()


class Watcher(PushTrigger):
    """Asks the host for a repository's number."""

    def serialize(self) -> tuple[str, dict[str, object]]:
        return f"{__name__}.Watcher", {"asset": self.asset, "every": self.every}

    def shared_stream_key(self) -> str:
        return "host"

    async def news(self, position):
        HOST.asking += 1
        HOST.most = max(HOST.most, HOST.asking)
        try:
            HOST.looks.append(self.asset)
            HOST.meanwhile()
            await asyncio.sleep(0.001)
            if self.asset in HOST.hanging:
                await asyncio.Event().wait()
            if self.asset in HOST.broken:
                raise RuntimeError("no repository at all")
            head = HOST.heads.get(self.asset, 0)
            if position is None:
                return [(str(head), None)]
            return [(str(number), {"number": str(number)}) for number in range(int(position) + 1, head + 1)]
        finally:
            HOST.asking -= 1


@pytest.fixture
def host(monkeypatch):
    monkeypatch.setattr(push_streams, "_TICK", 0.01)
    monkeypatch.setattr(PushStream, "_state", lambda _, asset: State(HOST.stored, asset, HOST.unstorable))
    HOST.__init__()
    return HOST


def watchers(*assets: str) -> list[Watcher]:
    return [Watcher(asset=asset, every=0.01) for asset in assets]


def told(running) -> list[tuple[str, str]]:
    return [(asset, payload["number"]) for asset, payload in running.events]


ASSETS = [f"git:host/{number}" for number in range(COUNT)]


async def test_many_repositories_are_one_stream_and_each_news_is_told_once_and_acknowledged(host):
    async with triggerer() as running:
        running.watch(*watchers(*ASSETS))
        await until(lambda: len(host.stored) == COUNT)
        assert running.events == []  # the first look only remembers
        assert list(running.manager._groups) == ["host"]
        host.heads = dict.fromkeys(ASSETS, 3)
        await until(lambda: set(host.stored.values()) == {"3"})
    assert sorted(told(running)) == sorted((asset, str(number)) for asset in ASSETS for number in (1, 2, 3))
    assert host.most <= LOOKS_AT_ONCE


async def test_one_that_hangs_and_one_that_breaks_delay_nobody(host):
    host.hanging, host.broken = {ASSETS[0]}, {ASSETS[1]}
    async with triggerer() as running:
        running.watch(*watchers(*ASSETS[:10]))
        await until(lambda: len(host.stored) == 8)
        host.heads = dict.fromkeys(ASSETS, 1)
        await until(lambda: len(running.events) == 8)
        host.broken = set()
        await until(lambda: ASSETS[1] in host.stored)
    assert host.looks.count(ASSETS[0]) == 1


async def test_an_event_that_was_not_stored_is_told_again_and_the_others_are_not(host):
    host.stored = {"a": "0", "b": "0"}
    async with triggerer() as running:
        running.watch(*watchers("a", "b"))
        running.persists = False
        host.heads = {"a": 1}
        await until(lambda: host.looks.count("b") > 3)
        assert host.stored["a"] == "0"
        await running.stop()  # dies with the event unstored
        running.persists = True
        host.heads = {"a": 1, "b": 1}
        running.watch(*watchers("a", "b"))
        await until(lambda: host.stored == {"a": "1", "b": "1"})
    assert sorted(told(running)) == [("a", "1"), ("b", "1")]


async def test_a_position_that_cannot_be_stored_is_told_again_and_ends_no_stream(host):
    host.stored = {"a": "0", "b": "0"}
    host.unstorable = {"a"}
    async with triggerer() as running:
        running.watch(*watchers("a", "b"))
        host.heads = {"a": 1, "b": 1}
        await until(lambda: told(running).count(("a", "1")) == 2)
        host.unstorable = set()
        await until(lambda: host.stored == {"a": "1", "b": "1"})
    assert told(running).count(("b", "1")) == 1


async def test_nothing_is_acknowledged_for_one_that_left(host):
    host.stored = {"a": "0", "b": "0"}
    async with triggerer() as running:
        running.watch(*watchers("a", "b"))
        await until(lambda: host.looks.count("a") > 1)
        await running.stop("a")
        host.heads = {"a": 1, "b": 1}
        await until(lambda: host.stored["b"] == "1")
        assert host.stored["a"] == "0"
        running.watch(*watchers("a"))
        await until(lambda: host.stored["a"] == "1")
    assert sorted(told(running)) == [("a", "1"), ("b", "1")]


async def test_behind_an_event_that_was_lost_no_position_moves_and_all_is_told_again(host):
    host.stored, host.heads = {"a": "0"}, {"a": 2}
    stream = PushStream(Watchers(a=watchers("a")))
    telling = stream.open_stream()
    (_, first), (_, second) = [await anext(telling) for _ in range(2)]
    await stream.advance([AdvanceItem(first, AdvanceOutcome(acked=1, failed=1))])
    await stream.advance([AdvanceItem(second, AdvanceOutcome(acked=2, failed=0))])
    assert host.stored == {"a": "0"}
    told = [await anext(telling) for _ in range(2)]
    assert [payload["number"] for (_, payload), _ in told] == ["1", "2"]
    await stream.advance([AdvanceItem(behind, AdvanceOutcome(acked=2, failed=0)) for _, behind in told])
    assert host.stored == {"a": "2"}
    await stream.aclose()


async def test_what_was_found_for_one_that_left_meanwhile_is_told_when_it_is_back(host):
    host.stored, host.heads = {"a": "0"}, {"a": 1}
    watched = Watchers(a=watchers("a"))
    host.meanwhile = watched.clear
    stream = PushStream(watched)
    telling = asyncio.ensure_future(anext(stream.open_stream()))
    await until(lambda: host.looks and not stream._looking)
    assert not telling.done()
    host.meanwhile = lambda: None
    watched["a"] = watchers("a")
    (asset, payload), _ = await telling
    assert (asset, payload["number"]) == ("a", "1")
    await stream.aclose()


async def test_a_flood_of_news_overflows_no_queue(host):
    host.stored = {"a": "0", "b": "0"}
    async with triggerer() as running:
        running.watch(*watchers("a", "b"))
        host.heads = {"a": 3000}
        await until(lambda: host.stored["a"] == "3000")
    assert told(running) == [("a", str(number)) for number in range(1, 3001)]


async def test_nothing_is_kept_of_one_that_left(host):
    host.stored = {"a": "0"}
    watched = Watchers(a=watchers("a"))
    stream = PushStream(watched)
    telling = asyncio.ensure_future(anext(stream.open_stream()))
    await until(lambda: stream._due and stream._positions)
    watched.clear()
    await until(lambda: not stream._due and not stream._positions)
    telling.cancel()
    await stream.aclose()


async def test_nothing_is_kept_of_a_host_that_nobody_watches_any_more(host):
    async with triggerer() as running:
        running.watch(*watchers("a", "b"))
        await until(lambda: set(host.stored) == {"a", "b"})
        assert set(pushes._watchers["host"]) == {"a", "b"}
        await running.stop("a")
        assert set(pushes._watchers["host"]) == {"b"}
    await until(lambda: gc.collect() >= 0 and "host" not in pushes._watchers)
