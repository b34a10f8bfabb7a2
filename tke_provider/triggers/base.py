"""The one loop that waits: look, and look again when something changed, until the verdict is final."""

from __future__ import annotations

import abc
import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf
from airflow.triggers.base import BaseTrigger, TriggerEvent

from tke_provider.domain.verdicts import Verdict, expired, failed, pending
from tke_provider.exceptions import TkeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Airflow's worker may report that a task has deferred only when its next heartbeat is due. A task that is resumed
# before that fails ("the task instance's state attribute is queued"), so no trigger is quicker than a heartbeat.
_SETTLE_SECONDS = 1.0 + conf.getfloat("workers", "min_heartbeat_interval", fallback=5.0)


# The loop itself keeps no reference to what runs in it.
_ending: set[asyncio.Future[None]] = set()


class TkeBaseTrigger(BaseTrigger, abc.ABC):
    """Waits for a final verdict. A subclass says how to look, and names its arguments.

    Arguments are stored in Airflow's database as plain text: ids, never credentials, endpoints or kubeconfigs.
    The deadline lies inside the trigger, so that the operator resumes when it passes and can undo its work.

    :param tke_conn_id: connection that access is resolved from, anew in whichever process runs the trigger.
    :param deadline: when to give up, in seconds since the epoch.
    :param poll_interval: seconds between two looks where nothing reports a change.
    """

    arguments: ClassVar[tuple[str, ...]] = ()
    """The subclass's own constructor arguments, each kept as an attribute of the same name."""

    def __init__(self, *, tke_conn_id: str, deadline: float, poll_interval: float = 5.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it unannotated
        self.tke_conn_id = tke_conn_id
        self.deadline = deadline
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that make an equal trigger elsewhere."""
        names = ("tke_conn_id", "deadline", "poll_interval", *self.arguments)
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    @abc.abstractmethod
    async def look(self) -> Verdict:
        """Look once. A retryable :class:`TkeError` counts as *not yet*, any other as *failed*."""

    async def changed(self, timeout: float) -> None:
        """Return when another look may say something new, after ``timeout`` seconds at the latest."""
        await asyncio.sleep(min(self.poll_interval, timeout))

    async def wait(self) -> Verdict:
        """Look until the verdict is final or the deadline has passed."""
        said = ""
        while True:
            verdict = await self.verdict()
            if verdict.final:
                return verdict
            if verdict.reason != said:
                said = verdict.reason
                self.log.info("Waiting: %s", said)
            remaining = self.deadline - time.time()
            if remaining <= 0:
                return expired(verdict.reason)
            await self.changed(remaining)

    async def verdict(self) -> Verdict:
        """Look once and never raise what the loop would not: a cluster that hiccups is no failed rollout."""
        try:
            return await self.look()
        except TkeError as error:
            return pending(str(error)) if error.retryable else failed(str(error))

    async def on_kill(self) -> None:
        """Let :meth:`ended_by_person` finish: Airflow cancels a trigger anew in every loop, this call included."""
        ending = asyncio.ensure_future(self.ended_by_person())
        _ending.add(ending)
        ending.add_done_callback(_ending.discard)
        await asyncio.shield(ending)

    async def ended_by_person(self) -> None:
        """Undo what should be undone when a person ends the wait; nothing by default."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and hand the verdict to the operator."""
        await asyncio.sleep(_SETTLE_SECONDS)
        verdict = await self.wait()
        yield TriggerEvent(verdict.as_event())
