"""Metrics: what is asked of them, and what the values say about a version of a service."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from tke_provider.domain.verdicts import State, Verdict, failed, inconclusive, passed, pending
from tke_provider.exceptions import InputError

Words = Mapping[str, str]
"""What ``{word}`` in a query stands for."""

# PromQL has no such thing: between its braces stands a comparison, or nothing.
_WORD = re.compile(r"\{([A-Za-z_]\w*)\}")
# A word stands inside a quoted label value, which these would end.
_ENDS_A_LABEL = re.compile(r'["\\\n\r]')


class _Measured(TypedDict):
    namespace: str
    metric: str
    dimensions: dict[str, str]


class MonitorQuery(_Measured, total=False):
    """A question to Tencent Cloud's own monitoring, as ``docs/metrics.md`` explains.

    ``namespace`` and ``metric`` are the cloud's names, such as ``QCE/TKE2`` and ``K8sWorkloadCpuCoreUsed``;
    ``dimensions`` say of what. ``period`` is the seconds that one point stands for (60), ``window`` the seconds looked
    back (300), ``statistic`` what is made of the points: ``avg`` (default), ``max``, ``min``, ``sum`` or ``last``.
    """

    period: int
    window: int
    statistic: str


STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "avg": lambda values: sum(values) / len(values),
    "max": max,
    "min": min,
    "sum": sum,
    "last": lambda values: values[-1],
}
"""What can be made of the points of a window, oldest first."""

Query = str | MonitorQuery
"""PromQL as text, or a question to Tencent Cloud's monitoring."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What a query was answered.

    :param value: None where there is none.
    :param samples: how much it rests on, such as requests; None where nobody asked, or nobody knows.
    """

    value: float | None
    samples: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Gate:
    """What a metric must be for a version to go on. Every bound that is given has to hold.

    :param name: what the value is, as in a sentence: ``error rate``.
    :param query: asked for the new version. ``{word}`` in it stands for what the asker fills in, such as
        ``{service}``, ``{namespace}`` and ``{version}``.
    :param at_most: the greatest good value.
    :param at_least: the least good value.
    :param at_most_times_baseline: the greatest good value as a multiple of the old version's.
    :param at_least_times_baseline: the least good value as a multiple of the old version's.
    :param slack: how far the value may lie beyond that multiple, in the metric's own unit, so that an old version
        without any error does not forbid the first one.
    :param baseline: asked for the old version, at the same instant; default: ``query`` with the old version's words.
    :param samples: how much a value rests on, such as the number of requests; asked for both versions.
    :param min_samples: fewer say nothing.
    :raises InputError: when it has no bound, or contradicts itself.
    """

    name: str
    query: Query
    at_most: float | None = None
    at_least: float | None = None
    at_most_times_baseline: float | None = None
    at_least_times_baseline: float | None = None
    slack: float = 0.0
    baseline: Query | None = None
    samples: Query | None = None
    min_samples: float = 0.0

    def __post_init__(self) -> None:
        for name in (*_BOUNDS, "slack", "min_samples"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, number(f"{name} of gate {self.name}", value))
        queries = [each for each in (self.query, self.baseline, self.samples) if each is not None]
        for query in queries:
            check_query(query)
        for wrong, way_out in (
            (not self.name.strip(), "name it as in a sentence: error rate"),
            (all(getattr(self, name) is None for name in _BOUNDS), f"give at least one of {', '.join(_BOUNDS)}"),
            (self.baseline is not None and not self.compares, "leave out baseline, or give a bound that refers to it"),
            (self.min_samples > 0 and self.samples is None, "give min_samples a query for samples"),
            (len({isinstance(each, str) for each in queries}) > 1, "ask either Prometheus or Tencent Cloud"),
        ):
            if wrong:
                raise InputError(f"Gate {self.name!r} makes no sense", way_out=way_out)

    @property
    def compares(self) -> bool:
        """Whether it needs the old version's value too."""
        return self.at_most_times_baseline is not None or self.at_least_times_baseline is not None

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Gate:
        """Read a gate from its plain form.

        :raises InputError: when a name is unknown, or one is missing.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(given.keys() - set(known)):
            raise InputError(f"A gate has no {', '.join(unknown)}", way_out=f"use {', '.join(known)}")
        if missing := [name for name in ("name", "query") if not given.get(name)]:
            raise InputError(f"Gate {given!r} lacks {' and '.join(missing)}", way_out="fill it in")
        return cls(**given)

    def as_dict(self) -> dict[str, Any]:
        """Return its plain form: whatever differs from the default."""
        fields = dataclasses.fields(self)
        return {each.name: value for each in fields if (value := getattr(self, each.name)) != each.default}


_BOUNDS = ("at_most", "at_least", "at_most_times_baseline", "at_least_times_baseline")


def check_query(query: object) -> None:
    """Refuse what is neither PromQL nor a question to Tencent Cloud's monitoring.

    :raises InputError: naming what is missing or misspelt.
    """
    if isinstance(query, str) and query.strip():
        return
    if not isinstance(query, Mapping):
        raise InputError(f"Query {query!r} asks nothing", way_out="write PromQL, or namespace, metric and dimensions")
    known = MonitorQuery.__required_keys__ | MonitorQuery.__optional_keys__
    wrong = sorted(MonitorQuery.__required_keys__ - query.keys()) + sorted(query.keys() - known)
    if wrong or not isinstance(query["dimensions"], Mapping):
        raise InputError(
            f"Query {dict(query)!r} lacks, or does not know, {', '.join(wrong) or 'dimensions'}",
            way_out=f"write {', '.join(sorted(known))}",
        )
    if query.get("statistic", "avg") not in STATISTICS:
        raise InputError(f"statistic is {query['statistic']!r}", way_out=f"write one of {', '.join(STATISTICS)}")


def fill(query: Query, words: Words) -> Query:
    """Return a query with every ``{word}`` replaced.

    :raises InputError: when it has a word that nobody fills in, or a value would end the quotes that it stands in.
    """
    if isinstance(query, str):
        return _WORD.sub(lambda found: _value(found[1], words), query)
    dimensions = {name: str(fill(value, words)) for name, value in query["dimensions"].items()}
    return {**query, "dimensions": dimensions}


def judge(gate: Gate, new: Reading, old: Reading | None = None) -> Verdict:
    """Decide what the values of two versions say. No value, NaN, and too few samples are never a pass.

    What breaks a fixed bound fails, whatever is known of the old version.

    :param old: needed where the gate compares.
    """
    name = f"{gate.name} of the new version" if gate.compares else gate.name
    value, why = _known(gate, new, name)
    if why:
        return inconclusive(why)
    if broken := _broken(value, gate.at_most, gate.at_least):
        return failed(f"{name} is {value:.6g}, {broken} allowed")
    if not gate.compares:
        return passed(f"{name} is {value:.6g}")
    base, why = _known(gate, old or Reading(None), f"{gate.name} of the old version")
    if why:
        return inconclusive(why)
    high, low = (
        None if factor is None else factor * base + sign * gate.slack
        for factor, sign in ((gate.at_most_times_baseline, 1), (gate.at_least_times_baseline, -1))
    )
    if broken := _broken(value, high, low):
        return failed(f"{name} is {value:.6g}, {broken} that the old version's {base:.6g} allows")
    return passed(f"{name} is {value:.6g}, beside {base:.6g} of the old one")


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return what several gates say together: one that fails outweighs one that says nothing, and that the others."""
    for state in (State.FAILED, State.INCONCLUSIVE):
        if reasons := [each.reason for each in verdicts if each.state is state]:
            return Verdict(state, "; ".join(reasons))
    return passed("; ".join(each.reason for each in verdicts)) if verdicts else inconclusive("there is no gate")


def tally(verdicts: Sequence[Verdict], looks: int, max_failed: int = 0, *, wait: bool = False) -> Verdict:
    """Return what looks one after the other say together, *pending* where more are needed.

    :param looks: how many have to say something.
    :param max_failed: how many of them may fail.
    :param wait: whether one that says nothing is followed by another, instead of being the end.
    """
    by_state = {state: [each for each in verdicts if each.state is state] for state in State}
    bad, silent = by_state[State.FAILED], by_state[State.INCONCLUSIVE]
    said = len(verdicts) - len(silent)
    if len(bad) > max_failed:
        return failed(f"{len(bad)} of {said} looks failed, the last because {bad[-1].reason}")
    if silent and not wait:
        return inconclusive(f"look {len(verdicts)} of {looks} says nothing: {silent[-1].reason}")
    if said >= looks:
        good = by_state[State.PASSED]
        return passed(f"{len(good)} of {said} looks were good, {(good or bad)[-1].reason}")
    last = f", {verdicts[-1].reason}" if verdicts else ""
    return pending(f"{said} of {looks} looks are done{last}")


def _broken(value: float, high: float | None, low: float | None) -> str:
    if high is not None and value > high:
        return f"above the {high:.6g}"
    if low is not None and value < low:
        return f"below the {low:.6g}"
    return ""


def _known(gate: Gate, reading: Reading, name: str) -> tuple[float, str]:
    """Return a value that means something, or why there is none."""
    if gate.min_samples > 0 and not (reading.samples or 0) >= gate.min_samples:
        counted = "an unknown number of" if reading.samples is None else f"{reading.samples:.6g}"
        return 0.0, f"{name} rests on {counted} samples, and {gate.min_samples:.6g} are needed"
    if reading.value is None:
        return 0.0, f"there is no {name}"
    if not math.isfinite(reading.value):
        return 0.0, f"{name} is {reading.value}, which is no number"
    return reading.value, ""


def _value(word: str, words: Words) -> str:
    if word not in words:
        known = ", ".join(f"{{{each}}}" for each in sorted(words)) or "none"
        raise InputError(f"Nobody fills in {{{word}}} of a query", way_out=f"the words that are filled in: {known}")
    value = str(words[word])
    if _ENDS_A_LABEL.search(value):
        raise InputError(
            f"{value!r} for {{{word}}} of a query has a quote, a backslash or a line break",
            way_out="give a value that can stand inside the quotes of a label",
        )
    return value


def number(name: str, value: object) -> float:
    """Read a number that a template may have rendered to text.

    :param name: of the argument, for the error.
    :raises InputError: when it is no finite number.
    """
    try:
        read = float(str(value))
    except ValueError:
        read = math.nan
    if not math.isfinite(read) or isinstance(value, bool):
        raise InputError(f"{name} is {value!r}", way_out="give a number")
    return read
