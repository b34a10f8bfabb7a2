"""Work that waits together is done together: one round a key at a time, each in a thread.

What arrives while a round is under way makes the next one. So a flood costs a few rounds, not a thread and a
transaction for each that is in it, and no key waits for the round of another.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


class Rounds(Generic[Item, Result]):
    """Rounds of items that have the same key.

    :param do: does a round, in a thread: from its key and items to the result of each, in their order.
    :param threads: rounds, of different keys, at a time. They are threads of its own: Airflow's stay Airflow's.
    """

    def __init__(self, do: Callable[[str, Sequence[Item]], Sequence[Result]], threads: int) -> None:
        from anyio import CapacityLimiter

        self._do = do
        self._threads = CapacityLimiter(threads)
        self._waiting: dict[str, list[tuple[Item, asyncio.Future[Result]]]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def join(self, key: str, item: Item) -> Result:
        """Return the result of an item, once its round is done; what breaks a round is raised for all of it."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        begun = key in self._waiting
        self._waiting.setdefault(key, []).append((item, done))
        if not begun:
            task = asyncio.create_task(self._go_on(key))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return await done

    async def _go_on(self, key: str) -> None:
        while joined := self._waiting[key]:
            self._waiting[key] = []
            await self._round(key, joined)
        del self._waiting[key]

    async def _round(self, key: str, joined: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        from anyio import to_thread

        try:
            results = await to_thread.run_sync(self._do, key, [item for item, _ in joined], limiter=self._threads)
            ended = list(zip(joined, results, strict=True))
        except Exception as error:  # noqa: BLE001  # theirs who wait for it
            for _, done in joined:
                if not done.done():
                    done.set_exception(error)
            return
        for (_, done), result in ended:
            if not done.done():  # whoever waited may have been cancelled
                done.set_result(result)
