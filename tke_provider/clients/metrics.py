"""Asking a source of metrics what a gate wants to know."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from tke_provider.domain.metrics import Reading, fill, judge
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from tke_provider.domain.metrics import Gate, Query, Words
    from tke_provider.domain.verdicts import Verdict


class MetricSource(Protocol):
    """Whoever knows metrics: :class:`~tke_provider.clients.prometheus.Prometheus` or Tencent Cloud's monitoring."""

    async def value(self, query: Query, at: float) -> float | None:
        """Return the one value of a query at an instant, or None when there is none.

        :param query: without any ``{word}`` left.
        :param at: seconds since the epoch.
        :raises InputError: when the source does not understand the query, or has several values for it.
        :raises UnavailableError: when it does not answer.
        """


async def ask(
    source: MetricSource, gate: Gate, *, new: Words | None = None, old: Words | None = None, at: float | None = None
) -> Verdict:
    """Ask for what a gate needs of both versions, of the same instant, and judge it.

    :param new: what ``{word}`` in a query stands for where the new version is asked for.
    :param old: the same for the old version; words that it lacks are those of ``new``.
    :param at: seconds since the epoch; default: now.
    :raises InputError: when a word is missing, both versions are asked the same, or the source does not understand.
    :raises UnavailableError: when the source does not answer.
    """
    at = time.time() if at is None else at
    words = dict(new or {})
    query = fill(gate.query, words)
    reading = await _read(source, query, gate, words, at)
    if not gate.compares:
        return judge(gate, reading)
    words |= old or {}
    baseline = fill(gate.baseline or gate.query, words)
    if baseline == query:
        raise InputError(
            f"Gate {gate.name} compares the new version with itself",
            way_out="tell them apart by a word in the query, such as {version}, or give a query as baseline",
        )
    return judge(gate, reading, await _read(source, baseline, gate, words, at))


async def _read(source: MetricSource, query: Query, gate: Gate, words: Words, at: float) -> Reading:
    samples = await source.value(fill(gate.samples, words), at) if gate.samples else None
    return Reading(await source.value(query, at), samples)
