"""The stream behind the watchers of one host, each with its position in Airflow's asset state. Needs Airflow 3.3.

Airflow makes a stream of the arguments of its first watcher, and never tells it of the others; so each watcher joins
the :class:`~tke_provider.triggers.pushes.Watchers` for as long as Airflow listens for it, and the stream looks for all
of them. An event goes to every listener, each of which passes on its own, and is acknowledged on a lane of its own:
positions move one by one.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from airflow.triggers.shared_stream import SharedStreamProducer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable, Sequence

    from airflow.sdk.execution_time.context import AssetStateStoreAccessor
    from airflow.triggers.shared_stream import AdvanceItem

    from tke_provider.triggers.pushes import PushTrigger, Watchers


LOOKS_AT_ONCE = 8
"""How many repositories of a host are asked in the same moment: one that hangs keeps one of these places."""
_TICK = 1.0
_POSITION = "position"
log = structlog.get_logger(__name__)


@dataclasses.dataclass(eq=False)
class Look:
    """What one look at a repository found, until every event of it is stored.

    :param left: events that are not acknowledged yet.
    :param lost: whether one was not stored: what follows it is told again, too.
    """

    asset: str
    left: int
    lost: bool = False
    done: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)


class Told(NamedTuple):
    """An event on its way: the look that found it, and the position behind it."""

    look: Look
    position: str


class PushStream(SharedStreamProducer):
    """Looks at every watched repository at its interval, tells what is new, and stores the position behind it."""

    def __init__(self, watchers: Watchers) -> None:
        self._watchers = watchers
        self._places = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._news: asyncio.Queue[tuple[dict[str, str], Told]] = asyncio.Queue()
        self._positions: dict[str, str] = {}
        self._due: dict[str, float] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}

    async def open_stream(self) -> AsyncIterator[tuple[Any, Any]]:
        """Look for ever."""
        while True:
            self._begin()
            try:
                payload, told = await asyncio.wait_for(self._news.get(), _TICK)
            except asyncio.TimeoutError:
                continue
            await asyncio.sleep(0)  # listeners take their turn, however much there is to tell
            # Nobody may acknowledge for one who has just left; when it is back, it is told.
            if told.look.asset in self._watchers:
                yield (told.look.asset, payload), told
            else:
                self._resolve([told], stored=False)

    def _begin(self) -> None:
        for gone in (self._positions.keys() | self._due.keys()) - self._watchers.keys():
            self._positions.pop(gone, None)  # who goes on elsewhere moves it there
            self._due.pop(gone, None)
        now = time.monotonic()
        for asset, here in self._watchers.items():
            if asset not in self._looking and self._due.get(asset, now) <= now:
                self._looking[asset] = asyncio.create_task(self._look(here[0]))

    async def _look(self, watcher: PushTrigger) -> None:
        asset = watcher.asset
        try:
            async with self._places:
                found = await watcher.look(await self._position(asset))
            events = [(told, position) for position, told in found if told is not None]
            if found and not events:  # the first look
                await self._store(asset, found[-1][0])
            await self._tell(asset, events)
        except Exception:
            # One repository that cannot be looked at must not end the stream of the others.
            log.exception("Cannot look, trying again", asset=asset, seconds=watcher.every)
        finally:
            self._due[asset] = time.monotonic() + watcher.every
            del self._looking[asset]

    async def _tell(self, asset: str, events: Sequence[tuple[dict[str, str], str]]) -> None:
        """Tell, and return when all of it is acknowledged: there is no next look before."""
        if not events:
            return
        look = Look(asset, len(events))
        for payload, position in events:
            self._news.put_nowait((payload, Told(look, position)))
        await look.done.wait()

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Store the position behind events of one repository that are stored; the others are told again."""
        look = batch[0].broker_payload.look
        behind = None
        for item in batch:
            look.lost = look.lost or not item.outcome.is_clean
            behind = behind if look.lost else item.broker_payload.position
        try:
            if behind is not None:
                await self._store(look.asset, behind)
        except Exception:
            log.exception("Cannot store how far a repository was told of; it is told again", asset=look.asset)
            look.lost = True
        self._resolve([item.broker_payload for item in batch], stored=not look.lost)

    def _resolve(self, told: Sequence[Told], *, stored: bool) -> None:
        look = told[0].look
        look.lost = look.lost or not stored
        look.left -= len(told)
        if look.lost:
            self._positions.pop(look.asset, None)
        if not look.left:
            look.done.set()

    def get_advance_lane(self, broker_payload: Told) -> Hashable:
        """Let no repository wait for the acknowledgement of another."""
        return broker_payload.look.asset

    async def aclose(self) -> None:
        """End the looks that are under way."""
        looking = list(self._looking.values())
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)

    async def _position(self, asset: str) -> str | None:
        if asset not in self._positions:
            stored = await self._state(asset).aget(_POSITION)
            if not stored:
                return None
            self._positions[asset] = str(stored)
        return self._positions[asset]

    async def _store(self, asset: str, position: str) -> None:
        await self._state(asset).aset(_POSITION, position)
        self._positions[asset] = position

    def _state(self, asset: str) -> AssetStateStoreAccessor:
        from airflow.sdk.execution_time.context import AssetStateStoreAccessor

        return AssetStateStoreAccessor(name=asset)
