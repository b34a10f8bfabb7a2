from __future__ import annotations

import pytest

from tke_provider.clients.creations import asked_once
from tke_provider.exceptions import InputError, ThrottledError, UnavailableError

LOST = UnavailableError("No answer", way_out="look")


class Cloud:
    """Something that shows what it was asked for after some looks."""

    def __init__(self, shown_after: int | None = 0, error: Exception | None = None) -> None:
        self.asked = 0
        self.looks = 0
        self.shown_after = shown_after
        self.error = error

    async def look(self) -> str | None:
        if not self.asked or self.shown_after is None:
            return None
        self.looks += 1
        return "made" if self.looks > self.shown_after else None

    async def ask(self) -> None:
        self.asked += 1
        if self.error:
            raise self.error

    async def run(self) -> str:
        return await asked_once(self.look, self.ask, "the creation of x", patience=0.05, poll_interval=0.001)


@pytest.mark.parametrize("error", [None, LOST], ids=["answered", "lost"])
async def test_it_is_asked_for_once_and_seen_late(error):
    cloud = Cloud(shown_after=3, error=error)
    assert await cloud.run() == "made"
    assert cloud.asked == 1


async def test_what_is_there_is_not_asked_for():
    cloud = Cloud()
    cloud.asked = 1
    assert await cloud.run() == "made"
    assert cloud.asked == 1


async def test_what_does_not_show_after_a_lost_answer_is_left_to_a_retry():
    cloud = Cloud(shown_after=None, error=LOST)
    with pytest.raises(UnavailableError, match="No answer") as caught:
        await cloud.run()
    assert caught.value.retryable
    assert cloud.asked == 1


async def test_what_was_taken_and_does_not_show_is_left_to_a_retry():
    with pytest.raises(UnavailableError, match=r"took the creation of x, and shows nothing of it.*a retry looks first"):
        await Cloud(shown_after=None).run()


@pytest.mark.parametrize("error", [ThrottledError("Too many", way_out="wait"), InputError("Wrong", way_out="mend")])
async def test_what_was_certainly_not_done_is_not_looked_for(error):
    cloud = Cloud(shown_after=None, error=error)
    with pytest.raises(type(error)):
        await cloud.run()
    assert cloud.looks == 0
