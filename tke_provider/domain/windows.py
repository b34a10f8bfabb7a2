"""Windows of time, and the size that should hold at an instant.

Any instant gives the size that should hold then, whatever happened before: a late, missed or repeated run heals.
Times are those that the clock on the wall of the window's zone shows. A time that the clock skips when summer time
begins happens as it jumps; a time that it shows twice when summer time ends is the first of the two. So windows
between two times that share a boundary neither overlap nor leave a gap on those days either. A duration is elapsed
time: of windows that last for one, two that meet on other days may overlap or leave a gap on those two.
"""

from __future__ import annotations

import dataclasses
import re
import zoneinfo
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Protocol

from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

_TIME_OF_DAY = re.compile(r"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)")
_CRON_FIELDS = 5
# No zone has ever turned its clock back by more.
_LONGEST_REPEAT = timedelta(hours=3)


class Days(Protocol):
    """Some days of the calendar."""

    def matches(self, day: date) -> bool:
        """Whether the day is one of them."""


class Span(Protocol):
    """A time that comes once, or again and again."""

    def __hash__(self) -> int:
        """What it holds never changes, so that it can be asked once for many."""

    def holds(self, now: datetime, lead: timedelta = ...) -> bool:
        """Whether any instant from now until ``lead`` later lies in it: start included, end not."""

    def ends(self, now: datetime) -> datetime | None:
        """Return when the span that this instant lies in ends; ``None`` outside of it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recurring:
    """A span that starts by a cron expression, on some days, and lasts a given time.

    :param zone: IANA name, as in ``Asia/Shanghai``.
    :param cron: five fields: minute, hour, day of month, month, weekday.
    :param duration: how long it lasts, as elapsed time.
    :param days: on which it starts, as the clock in its zone shows them; default: on all.
    :raises InputError: when one of them cannot be understood.
    """

    zone: str
    cron: str
    duration: timedelta
    days: Days | None = None

    def __post_init__(self) -> None:
        _zone(self.zone)
        _check_cron(self.cron)
        if self.duration <= timedelta(0):
            raise InputError(f"The window {self.cron!r} lasts {self.duration}", way_out="give it a duration above zero")

    def holds(self, now: datetime, lead: timedelta = timedelta(0)) -> bool:
        """Whether any instant from now until ``lead`` later lies in it."""
        return self._opened(now, lead) is not None

    def ends(self, now: datetime) -> datetime | None:
        """Return when the span that this instant lies in ends; ``None`` outside of it."""
        opened = self._opened(now, timedelta(0))
        return opened + self.duration if opened else None

    def _opened(self, now: datetime, lead: timedelta) -> datetime | None:
        zone, before = _zone(self.zone), now + lead
        while True:
            wall = _last_opening(self.cron, zone, before)
            opened = _instant(wall, zone)
            if now >= opened + self.duration:
                return None
            if self.days is None or self.days.matches(wall.date()):
                return opened
            # No opening of that day counts: go on before its first instant.
            before = _instant(datetime.combine(wall.date(), time.min), zone) - timedelta(microseconds=1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A span between two instants.

    :param zone: in which both are read.
    :param start: as the clock on the wall shows it, included.
    :param end: likewise, excluded.
    :raises InputError: when it ends before it starts.
    """

    zone: str
    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        zone = _zone(self.zone)
        if _instant(self.start, zone) >= _instant(self.end, zone):
            raise InputError(f"A window ends at {self.end}, not after its start", way_out="let it end after it starts")

    def holds(self, now: datetime, lead: timedelta = timedelta(0)) -> bool:
        """Whether any instant from now until ``lead`` later lies in it."""
        zone = _zone(self.zone)
        return _instant(self.start, zone) <= now + lead and now < _instant(self.end, zone)

    def ends(self, now: datetime) -> datetime | None:
        """Return when it ends, where this instant lies in it; ``None`` outside of it."""
        return _instant(self.end, _zone(self.zone)) if self.holds(now) else None


class Sized(Protocol):
    """A recurring span of time with the size that should hold in it."""

    @property
    def size(self) -> int:
        """Pods or nodes."""

    def holds(self, now: datetime) -> bool:
        """Whether this instant, which must know its zone, lies in the span: start included, end not."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Hours of the day on some weekdays.

    :param size: pods or nodes that should hold in the window.
    :param zone: IANA name, as in ``Asia/Shanghai``.
    :param start: ``HH:MM``, included.
    :param end: ``HH:MM``, excluded; when it is not after ``start``, it means the next day.
    :param days: days on which the window starts, as cron's weekday field: ``1-5`` is Monday to Friday.
    :raises InputError: when one of them cannot be understood.
    """

    size: int
    zone: str
    start: str
    end: str
    days: str = "*"

    def __post_init__(self) -> None:
        _check_size(self.size)
        _zone(self.zone)
        _time_of_day(self.end)
        _check_cron(self._cron)

    @property
    def _cron(self) -> str:
        hour, minute = _time_of_day(self.start)
        return f"{minute} {hour} * * {self.days}"

    def holds(self, now: datetime) -> bool:
        """Whether this instant lies in the window."""
        zone = _zone(self.zone)
        opened = _last_opening(self._cron, zone, now)
        hour, minute = _time_of_day(self.end)
        closes = opened.replace(hour=hour, minute=minute)
        if closes <= opened:
            closes += timedelta(days=1)
        return now < _instant(closes, zone)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CronWindow:
    """A span that starts by a cron expression and lasts a given time.

    :param size: pods or nodes that should hold in the window.
    :param zone: IANA name, as in ``Asia/Shanghai``.
    :param cron: five fields: minute, hour, day of month, month, weekday.
    :param duration: how long it lasts, as elapsed time.
    :raises InputError: when one of them cannot be understood.
    """

    size: int
    zone: str
    cron: str
    duration: timedelta

    def __post_init__(self) -> None:
        _check_size(self.size)
        self._span()

    def holds(self, now: datetime) -> bool:
        """Whether this instant lies in the window."""
        return self._span().holds(now)

    def _span(self) -> Recurring:
        return Recurring(zone=self.zone, cron=self.cron, duration=self.duration)


def size_at(now: datetime, windows: Iterable[Sized], *, otherwise: int) -> int:
    """Return the size that should hold at an instant.

    :param now: the instant, which must know its zone.
    :param windows: where two overlap, the earlier in the list wins.
    :param otherwise: the size outside all windows.
    :raises InputError: when the instant has no zone, because then it could be any of many.
    """
    _check_size(otherwise)
    check_instant(now)
    return next((window.size for window in windows if window.holds(now)), otherwise)


def check_instant(now: datetime) -> None:
    """Refuse an instant that could be any of many.

    :raises InputError: when it has no zone.
    """
    if now.utcoffset() is None:
        raise InputError(f"The instant {now} has no time zone", way_out="pass one that has, as in 2026-01-31T08:00:00Z")


def check_zone(name: str) -> None:
    """Refuse what is no time zone.

    :raises InputError: naming it.
    """
    _zone(name)


def _last_opening(cron: str, zone: zoneinfo.ZoneInfo, now: datetime) -> datetime:
    """Return the last time at which the expression fired, as the clock on the wall showed it."""
    import croniter

    local = now.astimezone(zone)
    wall = local.replace(tzinfo=None, fold=0)
    # In a repeated hour, later times of the wall have already been.
    latest = wall + _LONGEST_REPEAT if local.fold else wall
    # get_prev excludes the instant that it starts from.
    fires = croniter.croniter(cron, latest + timedelta(microseconds=1), ret_type=datetime)
    fired: datetime = fires.get_prev()
    while _instant(fired, zone) > now:
        fired = fires.get_prev()
    return fired


def _instant(wall: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    """Return when the clock first shows this time of the wall, or jumps past it."""
    while True:
        instant = wall.replace(tzinfo=zone).astimezone(timezone.utc)
        if instant.astimezone(zone).replace(tzinfo=None, fold=0) == wall:
            return instant
        wall += timedelta(minutes=1)


def _time_of_day(text: str) -> tuple[int, int]:
    match = _TIME_OF_DAY.fullmatch(text)
    if not match:
        raise InputError(f"{text!r} is no time of day", way_out="write it as HH:MM, from 00:00 to 23:59")
    return int(match["hour"]), int(match["minute"])


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(f"{name!r} is no time zone", way_out="use an IANA name, as in Asia/Shanghai") from error


def _check_size(size: int) -> None:
    if size < 0:
        raise InputError(f"A window asks for a size of {size}", way_out="give it zero or more")


def _check_cron(cron: str) -> None:
    import croniter

    try:
        if len(cron.split()) != _CRON_FIELDS:
            raise croniter.CroniterBadCronError(f"it has {len(cron.split())} fields")
        if any(field[0] in "rR" for field in cron.split()):  # croniter's own; every look would be at another time
            raise croniter.CroniterBadCronError("R means another time at every look")
        croniter.croniter(cron).get_next()
    except (croniter.CroniterError, ValueError, KeyError) as error:
        raise InputError(
            f"{cron!r} is no cron expression that ever fires",
            cause=str(error),
            way_out="write five fields: minute, hour, day of month, month, weekday",
        ) from error
