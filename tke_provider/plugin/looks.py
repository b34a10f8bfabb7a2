"""Looks at services, shared by all who ask: however many people watch, a cluster is asked once in a while."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FRESH = 5.0
"""Seconds for which an answer is given again."""
AT_ONCE = 8
"""How many services are looked at in the same moment."""

Place: TypeAlias = tuple[str, str, str]
"""Cluster, namespace and service."""


@dataclasses.dataclass(slots=True)
class _Kept:
    task: asyncio.Task[dict[str, Any]]
    until: float = math.inf


class Looks:
    """Answers from memory what was asked a moment ago, and asks once what several ask at the same time.

    :param look: asks the cluster.
    """

    def __init__(
        self, look: Callable[[Place], Awaitable[dict[str, Any]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look = look
        self._clock = clock
        self._kept: dict[Place, _Kept] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def at(self, place: Place) -> dict[str, Any]:
        """Return how a service is; who goes away meanwhile does not end it for the others."""
        now = self._clock()
        self._kept = {each: kept for each, kept in self._kept.items() if kept.until > now}
        kept = self._kept.get(place)
        if kept is None:
            kept = self._kept[place] = _Kept(asyncio.ensure_future(self._ask(place)))
        return await asyncio.shield(kept.task)

    async def _ask(self, place: Place) -> dict[str, Any]:
        try:
            async with self._turn:
                return await self._look(place)
        finally:
            self._kept[place].until = self._clock() + FRESH
