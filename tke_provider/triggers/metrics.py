"""Waiting until metrics say what they have to."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar

from tke_provider.domain.metrics import Gate, tally
from tke_provider.domain.verdicts import State, Verdict, pending
from tke_provider.hooks.metrics import MetricsHook
from tke_provider.triggers.base import TkeBaseTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class MetricTrigger(TkeBaseTrigger):
    """Waits until every gate is good at the same instant.

    :param gates: each in the plain form of :class:`~tke_provider.domain.metrics.Gate`.
    :param new: what ``{word}`` in a query stands for where the new version is asked for.
    :param old: the same for the old version; words that it lacks are those of ``new``.
    :param prometheus_conn_id: connection to Prometheus.
    :param region: of the cloud's resources; default: the connection's.
    """

    arguments: ClassVar[tuple[str, ...]] = ("gates", "new", "old", "prometheus_conn_id", "region")

    def __init__(
        self,
        *,
        gates: Sequence[Mapping[str, Any]],
        new: Mapping[str, str],
        old: Mapping[str, str],
        prometheus_conn_id: str,
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gates = [dict(each) for each in gates]
        self.new = dict(new)
        self.old = dict(old)
        self.prometheus_conn_id = prometheus_conn_id
        self.region = region

    async def look(self) -> Verdict:
        """Ask of now. What is not good, or not known, may become so."""
        verdict = await self._ask(time.time())
        return verdict if verdict.state is State.PASSED else pending(verdict.reason)

    async def _ask(self, at: float) -> Verdict:
        hook = MetricsHook(self.prometheus_conn_id, self.tke_conn_id, self.region)
        return await hook.ask([Gate.parse(each) for each in self.gates], new=self.new, old=self.old, at=at)


class MetricGateTrigger(MetricTrigger):
    """Asks gates at one instant after the other, and ends as soon as the verdict is certain.

    The instants follow from ``start``, so that whoever takes over from a dead triggerer asks of the same ones, and is
    answered the same.

    :param start: seconds since the epoch; the first look is one ``interval`` later.
    :param interval: seconds from one look to the next.
    :param looks: how many have to say something.
    :param max_failed: how many of them may fail.
    :param wait_for_data: whether a look that says nothing is followed by another one, instead of being the end.
    """

    arguments = (*MetricTrigger.arguments, "start", "interval", "looks", "max_failed", "wait_for_data")

    def __init__(
        self, *, start: float, interval: float, looks: int, max_failed: int, wait_for_data: bool, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.start = start
        self.interval = interval
        self.looks = looks
        self.max_failed = max_failed
        self.wait_for_data = wait_for_data
        self._verdicts: list[Verdict] = []

    @property
    def _due(self) -> float:
        return self.start + (len(self._verdicts) + 1) * self.interval

    async def look(self) -> Verdict:
        """Ask of every instant that has come, before the deadline, and was not asked of yet."""
        while not (verdict := self._tally()).final and self._due <= min(time.time(), self.deadline):
            said = await self._ask(self._due)
            self._verdicts.append(said)
            self.log.info("Look %d: %s, %s", len(self._verdicts), said.state.value, said.reason)
        return verdict

    async def changed(self, timeout: float) -> None:
        """Return when the next look is due; soon, when it was and got no answer."""
        remaining = self._due - time.time()
        await asyncio.sleep(min(remaining if remaining > 0 else self.poll_interval, timeout))

    def _tally(self) -> Verdict:
        return tally(self._verdicts, self.looks, self.max_failed, wait=self.wait_for_data)
