"""The stream behind a watcher, with its position in Airflow's asset state. Needs Airflow 3.3."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow.triggers.shared_stream import SharedStreamProducer

from tke_provider.exceptions import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow.triggers.shared_stream import AdvanceItem

    from tke_provider.triggers.pushes import PushTrigger


_POSITION = "position"


class PushStream(SharedStreamProducer):
    """Looks, yields what is new, and stores the position when that is stored."""

    def __init__(self, trigger: PushTrigger) -> None:
        self._trigger = trigger

    async def open_stream(self) -> AsyncIterator[tuple[Any, Any]]:
        """Look at the interval, for ever."""
        stored = await self._state().aget(_POSITION)
        position = str(stored) if stored else None
        while True:
            for reached, told in await self._trigger.look(position):
                position = reached
                yield told, reached
            await asyncio.sleep(self._trigger.every)

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Store the position behind a batch whose events are stored.

        :raises UnavailableError: when one is not: the stream then begins again where the last batch ended.
        """
        if not all(item.outcome.is_clean for item in batch):
            raise UnavailableError(f"An event of {self._trigger.asset} was not stored", way_out="it is told again")
        await self._state().aset(_POSITION, batch[-1].broker_payload)

    def _state(self) -> Any:
        from airflow.sdk.execution_time.context import AssetStateStoreAccessor

        return AssetStateStoreAccessor(name=self._trigger.asset)
