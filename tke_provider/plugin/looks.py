"""Looks at services, shared by all who ask: however many people watch, a cluster is asked once in a while.

Nobody waits for a cluster for longer than the patience, its queue included; what was seen of a service last is then
told again, with the time of it.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import math
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from tke_provider.plugin.events import Way

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FRESH = 5.0
"""Seconds for which an answer is given again."""
AT_ONCE = 8
"""How many services of a cluster are looked at in the same moment."""
PATIENCE = 5.0
"""Seconds that a cluster has to say how a service is, the turn of the service included."""


class Place(NamedTuple):
    """A service in a cluster, and how the cluster is reached."""

    cluster: str
    namespace: str
    service: str
    way: Way = Way()


def no_answer(seconds: float) -> str:
    """Return the reason that people read when a cluster says nothing."""
    return f"the cluster did not answer within {seconds:g} seconds"


@dataclasses.dataclass(slots=True)
class _Kept:
    task: asyncio.Task[dict[str, Any]]
    until: float = math.inf


class Looks:
    """Answers from memory what was asked a moment ago, and asks once what several ask at the same time.

    :param look: asks the cluster; an answer with the health ``unknown`` says that it did not tell.
    """

    def __init__(
        self,
        look: Callable[[Place], Awaitable[dict[str, Any]]],
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
    ) -> None:
        self._look = look
        self._clock = clock
        self._patience = patience
        self._kept: dict[Place, _Kept] = {}
        self._seen: dict[Place, dict[str, Any]] = {}
        # A cluster that hangs keeps nobody from the others.
        self._turns: dict[str, asyncio.Semaphore] = collections.defaultdict(lambda: asyncio.Semaphore(AT_ONCE))

    async def at(self, place: Place) -> dict[str, Any]:
        """Return how a service is; who goes away meanwhile does not end it for the others.

        Where the cluster does not tell: what was seen last, with ``as_of``, health ``unknown``, and the reason.
        """
        now = self._clock()
        self._kept = {each: kept for each, kept in self._kept.items() if kept.until > now}
        kept = self._kept.get(place)
        if kept is None:
            kept = self._kept[place] = _Kept(asyncio.ensure_future(self._ask(place)))
        return await asyncio.shield(kept.task)

    async def _ask(self, place: Place) -> dict[str, Any]:
        try:
            answer = await asyncio.wait_for(self._in_turn(place), self._patience)
        except asyncio.TimeoutError:
            answer = {"health": "unknown", "reason": no_answer(self._patience)}
        finally:
            self._kept[place].until = self._clock() + FRESH
        if answer.get("health") == "unknown":
            return {**self._seen.get(place, {}), **answer}
        self._seen[place] = {**answer, "as_of": datetime.now(timezone.utc).isoformat()}
        return answer

    async def _in_turn(self, place: Place) -> dict[str, Any]:
        async with self._turns[place.cluster]:
            return await self._look(place)
