"""One watch a kind and namespace, shared by everything in this process that waits for a change there.

A watch only says *that* something changed; what is live is then read anew. So a watch that is late, breaks, or
misses a change can make a look later, never wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from typing import TYPE_CHECKING, Any

from tke_provider.exceptions import TkeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tke_provider.hooks.kubernetes import TkeKubernetesHook

log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.5  # seconds before a watch that ended at once is begun again; then twice as many, and so on
_LONGEST_PAUSE = 30.0
_STEADY_SECONDS = 20.0  # a watch that held for so long is begun again at once


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """What is watched, by ids alone.

    :param loop: whose listeners share the watch; a thread that runs tasks of its own has another one.
    """

    tke_conn_id: str
    cluster_id: str | None
    region: str | None
    namespace: str
    api_version: str
    kind: str
    loop: asyncio.AbstractEventLoop | None = None


@dataclasses.dataclass(eq=False, slots=True)
class Listener:
    """Somebody who waits for a change.

    :param concerns: which objects of the scope matter.
    """

    concerns: Callable[[dict[str, Any]], bool]
    happened: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)


class Watch:
    """A watch of one scope, with those who listen to it.

    ``works`` is false while it is broken; whoever waits should then look more often.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.works = True
        self._listeners: list[Listener] = []
        self._task: asyncio.Task[None] | None = None

    def join(self, hook: TkeKubernetesHook, listener: Listener) -> None:
        """Listen from now on; the first to come starts the watch."""
        self._listeners.append(listener)
        if self._task is None:
            self._task = asyncio.create_task(self._follow(hook))

    async def leave(self, listener: Listener) -> None:
        """Listen no more; the last to go ends the watch."""
        self._listeners.remove(listener)
        if self._listeners or self._task is None:
            return
        _shared.pop(self.scope, None)
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _follow(self, hook: TkeKubernetesHook) -> None:
        """Watch without end, beginning again whenever the cluster closes the stream or it breaks."""
        pause = 0.0
        while True:
            began = time.monotonic()
            said = await self._once(hook)
            steady = time.monotonic() - began >= _STEADY_SECONDS
            pause = 0.0 if steady else min(max(_FIRST_PAUSE, 2 * pause), _LONGEST_PAUSE)
            # Those who wait look by themselves meanwhile, and tell their users what they meet.
            self.works = steady and not said
            if said:
                log.warning("Watching %s in %s broke off: %s", self.scope.kind, self.scope.namespace, said)
            await asyncio.sleep(pause)

    async def _once(self, hook: TkeKubernetesHook) -> str:
        """Watch until the stream ends; return why it broke, nothing where the cluster closed it."""
        try:
            await self._stream(hook)
        except TkeError as error:
            return str(error)
        return ""

    async def _stream(self, hook: TkeKubernetesHook) -> None:
        """Tell everybody of every change, until the cluster closes the stream."""
        async with await hook.cluster() as cluster:
            async for _, changed in cluster.watch(self.scope.api_version, self.scope.kind, self.scope.namespace):
                self.works = True
                for listener in self._listeners:
                    if listener.concerns(changed):
                        listener.happened.set()


@contextlib.asynccontextmanager
async def listen(hook: TkeKubernetesHook, scope: Scope, listener: Listener) -> AsyncIterator[Watch]:
    """Set the listener's event at every change of the scope that concerns it."""
    scope = dataclasses.replace(scope, loop=asyncio.get_running_loop())
    watch = _shared.setdefault(scope, Watch(scope))
    watch.join(hook, listener)
    try:
        yield watch
    finally:
        await watch.leave(listener)


_shared: dict[Scope, Watch] = {}
