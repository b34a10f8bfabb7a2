"""What waits together is done together, and nobody waits for another's round."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tke_provider.plugin.rounds import Rounds


class Work:
    """Rounds that each wait until they are let go."""

    def __init__(self) -> None:
        self.rounds: list[tuple[str, list[int]]] = []
        self.go = threading.Event()

    def __call__(self, key: str, items: list[int]) -> list[int]:
        self.rounds.append((key, items))
        if key != "quick":
            assert self.go.wait(60)
        if 0 in items:
            raise ZeroDivisionError
        return [100 // item for item in items]


@pytest.fixture
def work():
    made = Work()
    yield made
    made.go.set()


async def begun(work: Work, rounds: int) -> None:
    while len(work.rounds) < rounds:  # noqa: ASYNC110  # a thread counts
        await asyncio.sleep(0.001)


async def test_what_arrives_while_a_round_is_under_way_makes_one_more(work):
    rounds = Rounds(work, 2)
    first = asyncio.create_task(rounds.join("shop", 1))
    await begun(work, 1)
    later = [asyncio.create_task(rounds.join("shop", number)) for number in range(2, 12)]
    await asyncio.sleep(0)
    work.go.set()
    assert await first == 100
    assert await asyncio.gather(*later) == [100 // number for number in range(2, 12)]
    assert work.rounds == [("shop", [1]), ("shop", list(range(2, 12)))]


async def test_a_source_whose_round_takes_long_delays_no_other(work):
    rounds = Rounds(work, 2)
    slow = asyncio.create_task(rounds.join("slow", 1))
    await begun(work, 1)
    assert [await rounds.join("quick", number) for number in (1, 2)] == [100, 50]
    assert not slow.done()
    work.go.set()
    assert await slow == 100


async def test_what_breaks_a_round_is_raised_for_all_of_it_and_the_next_round_is_whole(work):
    rounds = Rounds(work, 2)
    first = asyncio.create_task(rounds.join("shop", 1))
    await begun(work, 1)
    broken = [asyncio.create_task(rounds.join("shop", number)) for number in (0, 1)]
    await asyncio.sleep(0)
    work.go.set()
    assert await first == 100
    results = await asyncio.gather(*broken, return_exceptions=True)
    assert [type(each) for each in results] == [ZeroDivisionError] * 2
    assert await rounds.join("shop", 4) == 25
    assert rounds._waiting == {}  # nothing is kept of names that were made up


async def test_one_who_no_longer_waits_takes_nothing_from_the_others(work):
    rounds = Rounds(work, 2)
    first = asyncio.create_task(rounds.join("shop", 1))
    await begun(work, 1)
    gone, stays = (asyncio.create_task(rounds.join("shop", number)) for number in (2, 4))
    await asyncio.sleep(0)
    gone.cancel()
    work.go.set()
    assert await asyncio.gather(first, stays) == [100, 25]


async def test_one_who_no_longer_waits_for_a_round_that_breaks_takes_nothing_from_the_others(work):
    rounds = Rounds(work, 2)
    first = asyncio.create_task(rounds.join("shop", 1))
    await begun(work, 1)
    gone, broken = (asyncio.create_task(rounds.join("shop", number)) for number in (2, 0))
    await asyncio.sleep(0)
    gone.cancel()
    work.go.set()
    assert await first == 100
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(broken, 60)
    assert await rounds.join("shop", 4) == 25
