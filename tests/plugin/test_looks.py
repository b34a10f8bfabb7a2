"""However many people watch the board, a cluster is asked once in a while."""

from __future__ import annotations

import asyncio

import pytest

from tke_provider.plugin.looks import AT_ONCE, FRESH, Looks, Place

SHOP = Place("cls-1", "production", "shop")


class Cluster:
    """Counts who asks at a time, and answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[Place] = []
        self.now = self.most = 0
        self.may_answer = asyncio.Event()

    async def look(self, place: Place) -> dict[str, object]:
        self.asked.append(place)
        self.now += 1
        self.most = max(self.most, self.now)
        await self.may_answer.wait()
        self.now -= 1
        return {"service": place.service}


async def test_all_who_ask_at_the_same_time_share_one_look():
    cluster = Cluster()
    looks = Looks(cluster.look)
    asking = [asyncio.ensure_future(looks.at(SHOP)) for _ in range(50)]
    await asyncio.sleep(0)
    cluster.may_answer.set()
    assert await asyncio.gather(*asking) == [{"service": "shop"}] * 50
    assert cluster.asked == [SHOP]


async def test_an_answer_holds_for_a_moment_and_is_then_forgotten():
    cluster, now = Cluster(), [0.0]
    cluster.may_answer.set()
    looks = Looks(cluster.look, lambda: now[0])
    await looks.at(SHOP)
    now[0] = FRESH - 1
    await looks.at(SHOP)
    assert len(cluster.asked) == 1
    now[0] = FRESH
    await looks.at(SHOP)
    assert len(cluster.asked) == 2


async def test_few_services_are_looked_at_in_the_same_moment():
    cluster = Cluster()
    looks = Looks(cluster.look)
    asking = [asyncio.ensure_future(looks.at(Place("cls-1", "production", str(number)))) for number in range(100)]
    for _ in range(5):  # turns of the loop: enough for all of them to begin, if nothing held them back
        await asyncio.sleep(0)
    assert len(cluster.asked) == AT_ONCE
    cluster.may_answer.set()
    await asyncio.gather(*asking)
    assert (cluster.most, len(cluster.asked)) == (AT_ONCE, 100)


async def test_who_goes_away_does_not_end_the_look_of_the_others():
    cluster = Cluster()
    looks = Looks(cluster.look)
    impatient, patient = (asyncio.ensure_future(looks.at(SHOP)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    cluster.may_answer.set()
    assert await patient == {"service": "shop"}


async def test_what_was_seen_last_is_told_with_its_time_while_the_cluster_does_not_tell():
    answers = [{"health": "healthy", "ready": 3}, {"health": "unknown", "reason": "away"}, {"health": "broken"}]
    now = [0.0]

    async def look(_: object) -> dict[str, object]:
        return answers.pop(0)

    looks = Looks(look, lambda: now[0])
    told = []
    for _ in range(3):
        told.append(await looks.at(SHOP))
        now[0] += FRESH
    assert told[0] == {"health": "healthy", "ready": 3}
    assert (told[1]["health"], told[1]["ready"], told[1]["reason"]) == ("unknown", 3, "away")
    assert told[1]["as_of"]
    assert told[2] == {"health": "broken"}


async def test_a_cluster_that_hangs_keeps_nobody_from_another_one_or_longer_than_the_patience():
    cluster = Cluster()
    looks = Looks(cluster.look, patience=0.05)
    hanging = [looks.at(Place("cls-1", "production", str(number))) for number in range(2 * AT_ONCE)]

    said = asyncio.gather(*hanging)
    await asyncio.sleep(0)
    other = asyncio.ensure_future(looks.at(Place("cls-2", "production", "shop")))
    for _ in range(5):
        await asyncio.sleep(0)
    assert cluster.asked[-1].cluster == "cls-2"
    assert {each["health"] for each in (*await said, await other)} == {"unknown"}
