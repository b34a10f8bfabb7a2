"""What Airflow's triggerer does with watchers, around Airflow's own manager of shared streams."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.shared_stream import SharedStreamManager

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tke_provider.triggers.pushes import PushTrigger


class State:
    """Airflow's asset state, which only a triggerer has.

    :param stored: positions by the asset's name.
    :param broken: assets whose state cannot be written.
    """

    def __init__(self, stored: dict[str, str], asset: str, broken: set[str] | None = None) -> None:
        self.stored, self.asset, self.broken = stored, asset, broken or set()

    async def aget(self, key: str) -> str | None:
        assert key == "position"
        return self.stored.get(self.asset)

    async def aset(self, key: str, value: str) -> None:
        assert key == "position"
        if self.asset in self.broken:
            raise OSError("the database is away")
        self.stored[self.asset] = value


class Triggerer:
    """One process that runs watchers; ``persists`` says whether its database stores events."""

    def __init__(self) -> None:
        self.manager = SharedStreamManager(ack_timeout=60)
        self.events: list[tuple[str, dict[str, str]]] = []
        self.persists = True
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._numbers = itertools.count()

    def watch(self, *watchers: PushTrigger) -> None:
        """Run watchers until they are stopped."""
        for watcher in watchers:
            self._tasks[watcher.asset] = asyncio.create_task(self._run(next(self._numbers), watcher))

    async def _run(self, number: int, watcher: PushTrigger) -> None:
        key = watcher.shared_stream_key()
        stream = self.manager.subscribe(trigger_id=number, trigger=watcher, key=key)
        try:
            async for event in watcher.filter_shared_stream(stream):
                seq = self.manager.bind_pending_event(trigger_id=number, key=key)
                if self.persists:
                    self.events.append((watcher.asset, event.payload))
                    asyncio.get_running_loop().call_soon(self.manager.confirm_persisted, [seq])
        finally:
            await self.manager.unsubscribe(number, key)

    async def stop(self, *assets: str) -> None:
        """Stop some, or all, with whatever they were about to do."""
        stopped = [self._tasks.pop(asset) for asset in assets or list(self._tasks)]
        for task in stopped:
            task.cancel()
        await asyncio.gather(*stopped, return_exceptions=True)


@contextlib.asynccontextmanager
async def triggerer() -> AsyncIterator[Triggerer]:
    """A triggerer, ended afterwards."""
    made = Triggerer()
    try:
        yield made
    finally:
        await made.stop()
        await made.manager.stop_all()


async def until(holds: Callable[[], Any], seconds: float = 60) -> None:
    """Look until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        await asyncio.sleep(0.005)
