"""Quarantine: tests that are known to be flaky, and fail for a while without failing the gate."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tke_provider.domain.checks import Report

_FIELDS = {"test", "reason", "until"}
_WAY_OUT = 'write each as {"test": "class::name", "reason": "why", "until": "2030-12-31"}'


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One test, or a family of them, in quarantine.

    :param test: ``class::name`` as the report has them; ``*`` stands for any text, everything else for itself.
    :param reason: why, such as the ticket that will mend it.
    :param until: the last day of it. A quarantine without an end is a deleted test.
    """

    test: str
    reason: str
    until: dt.date

    def holds(self, name: str) -> bool:
        """Whether a test is meant."""
        return bool(re.fullmatch(".*".join(map(re.escape, self.test.split("*"))), name, re.DOTALL))


def read(entries: object) -> tuple[Entry, ...]:
    """Read the list that an author wrote; nothing is an empty list.

    :raises InputError: when an entry lacks a field, has another, has no date, or means every test there is.
    """
    if entries is None:
        return ()
    if not isinstance(entries, (list, tuple)):
        raise InputError(f"quarantine is a {type(entries).__name__}", way_out=f"pass a list; {_WAY_OUT}")
    return tuple(_entry(each) for each in entries)


def apply(report: Report, entries: Iterable[Entry], today: dt.date) -> Report:
    """Set aside the failing tests that are in quarantine today; one whose quarantine has ended says so and counts."""
    failing, aside = [], []
    known = sorted(entries, key=lambda entry: entry.until, reverse=True)
    for name, message in report.failing:
        entry = next((each for each in known if each.holds(name)), None)
        if entry and today <= entry.until:
            aside.append((name, f"{entry.reason}, until {entry.until}"))
        else:
            ended = f"its quarantine ended on {entry.until}; " if entry else ""
            failing.append((name, ended + message))
    counts = report.counts.copy()
    counts["quarantined"] = len(aside)
    return dataclasses.replace(report, counts=counts, failing=tuple(failing), quarantined=tuple(aside))


def _entry(given: object) -> Entry:
    if not isinstance(given, Mapping) or set(given) != _FIELDS or not all(given.values()):
        raise InputError(f"The quarantine entry {given!r} is not whole", way_out=_WAY_OUT)
    test, reason = str(given["test"]), str(given["reason"])
    if not test.strip("*: "):
        raise InputError(f"The quarantine entry {test!r} means every test", way_out="name the tests that are flaky")
    try:
        until = dt.date.fromisoformat(str(given["until"]))
    except ValueError as error:
        raise InputError(f"The quarantine of {test} has no date", cause=str(error), way_out=_WAY_OUT) from error
    return Entry(test, reason, until)
