"""Freezes: times in which nothing is released, and who may release all the same."""

from __future__ import annotations

import dataclasses
import zoneinfo
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from tke_provider.domain.windows import Once, Recurring, check_instant
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable


# Freezes that follow one another are joined so far ahead: some follow one another for ever.
_AHEAD = timedelta(days=31)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A time in which nothing is released: once, or again and again.

    :param name: how people call it; it stands in every refusal.
    :param zone: IANA name, as in ``Asia/Shanghai``, in which the others are read.
    :param start: ``2027-02-05`` or ``2027-02-05 18:00``, included. Give this and ``end``, or the other two.
    :param end: likewise, excluded.
    :param cron: when it begins, as five fields: minute, hour, day of month, month, weekday.
    :param duration: how long it lasts then.
    :raises InputError: when they cannot be understood.
    """

    name: str
    zone: str
    start: str | None = None
    end: str | None = None
    cron: str | None = None
    duration: timedelta | None = None

    def __post_init__(self) -> None:
        self.span()

    def span(self) -> Once | Recurring:
        """Return the time that it means."""
        if self.start is not None and self.end is not None and self.cron is None and self.duration is None:
            return Once(zone=self.zone, start=self._wall(self.start), end=self._wall(self.end))
        if self.cron is not None and self.duration is not None and self.start is None and self.end is None:
            return Recurring(zone=self.zone, cron=self.cron, duration=self.duration)
        raise InputError(
            f"The freeze {self.name!r} does not say when it is", way_out="give start and end, or cron and duration"
        )

    def _wall(self, text: str) -> datetime:
        try:
            wall = datetime.fromisoformat(text)
        except ValueError as error:
            raise InputError(
                f"The freeze {self.name!r} is at {text!r}", way_out="write it as 2027-02-05 or 2027-02-05 18:00"
            ) from error
        if wall.tzinfo:
            raise InputError(
                f"The freeze {self.name!r} is at {text!r}, and in the zone {self.zone}", way_out="name one zone"
            )
        return wall


class Frozen(NamedTuple):
    """The freeze that an instant lies in.

    :param until: when it ends; where others go on then, when the last of them does, as far as a month ahead.
    """

    name: str
    until: datetime

    def __str__(self) -> str:
        """Say it in a sentence, without its full stop."""
        return f"releases are frozen ({self.name}) until {self.until:%Y-%m-%d %H:%M %Z}"


def frozen_at(now: datetime, freezes: Iterable[Freeze]) -> Frozen | None:
    """Return the freeze that an instant lies in, ``None`` where releases are free.

    :raises InputError: when the instant has no zone.
    """
    check_instant(now)
    freezes, until = tuple(freezes), now
    names: list[str] = []
    while until - now < _AHEAD:
        ends = [(end, freeze) for freeze in freezes if (end := freeze.span().ends(until))]
        if not ends:
            break
        until, last = max(ends, key=lambda each: each[0])
        names += [freeze.name for _, freeze in ends if freeze.name not in names]
        until = until.astimezone(zoneinfo.ZoneInfo(last.zone))
    return Frozen(", ".join(names), until) if names else None
