"""A scaling plan: which sizes should hold at an instant, whatever happened before.

The plan says what is wanted; :mod:`tke_provider.domain.proposals` compares it with what there is.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from tke_provider.domain.calendars import Calendar
from tke_provider.domain.scaling import Bounds
from tke_provider.domain.windows import check_instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from tke_provider.domain.windows import Span

USUAL = "tke.airflow/usual-size"
"""Annotation: the size that a service had when a plan first took it out of its usual one."""

_MINUTE = timedelta(minutes=1)
_NO_LEAD = timedelta(0)
_AHEAD = timedelta(days=45)

Size: TypeAlias = "int | Bounds"
"""A number, or a range within which somebody else chooses."""
OnOwner: TypeAlias = 'Literal["refuse", "bounds"]'
Fallback: TypeAlias = 'Literal["keep", "partial", "other_pool"]'


class Kind(enum.Enum):
    """What a target is."""

    SERVICE = "service"
    NODE_POOL = "node pool"
    HPA = "HPA"
    CRON_SCALER = "HorizontalPodCronscaler"


@dataclasses.dataclass(frozen=True, slots=True)
class Percent:
    """A share of the usual size."""

    percent: int

    def of(self, usual: Size) -> Size:
        """Return the share, rounded up: half a pod serves nobody."""
        if isinstance(usual, Bounds):
            return Bounds(self._part(usual.minimum), self._part(usual.maximum))
        return self._part(usual)

    def _part(self, whole: int) -> int:
        return -(-whole * self.percent // 100)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that the plan sizes.

    :param name: what the plan calls it.
    :param cluster: ``cls-xxxxxxxx``; empty: the connection's.
    :param namespace: of a service, HPA or HorizontalPodCronscaler.
    :param object_name: of the workload or autoscaler; id or name of the node pool; empty where a selector is given.
    :param selector: label selector of several services, each of which gets the size.
    :param rule: which rule of a HorizontalPodCronscaler; empty: each of them gets the size.
    :param workload: ``Deployment`` or ``StatefulSet``.
    :param usual: outside all windows, and what percentages are of. Default: what was recorded when the plan first
        changed the object; a node pool has no place for such a record, so its plan says it.
    :param minimum: least that any size may become.
    :param maximum: most that any size may become.
    :param step: biggest change of one run, its retries included; none: no limit.
    :param lead: how much earlier than its windows it grows: nodes take minutes to come.
    :param on_owner: as in :class:`~tke_provider.operators.scaling.TkeScaleServiceOperator`.
    :param fallback: when the cloud has no more nodes: ``keep`` asking for them, make do with those that came
        (``partial``), or ask for the missing ones in ``other_pool``.
    :param other_pool: what the plan calls the node pool that stands in.
    :param price: of one pod or node and hour, in whatever currency the plan's budget is.
    """

    name: str
    kind: Kind
    object_name: str = ""
    namespace: str = ""
    selector: str = ""
    rule: str = ""
    workload: str = "Deployment"
    cluster: str = ""
    usual: Size | None = None
    minimum: int = 0
    maximum: int | None = None
    step: int | None = None
    lead: timedelta = timedelta(0)
    on_owner: OnOwner = "refuse"
    fallback: Fallback = "keep"
    other_pool: str = ""
    price: float = 0.0

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        rule = f" rule {self.rule}" if self.rule else ""
        return f"{self.kind.value} {where}{self.object_name or self.selector}{rule}"

    def guarded(self, size: Size) -> Size:
        """Return the size, moved into the guards."""
        if isinstance(size, Bounds):
            return Bounds(self._clamped(size.minimum), self._clamped(size.maximum))
        return self._clamped(size)

    def _clamped(self, number: int) -> int:
        at_least = max(number, self.minimum)
        return at_least if self.maximum is None else min(at_least, self.maximum)


@dataclasses.dataclass(frozen=True, slots=True)
class PlanWindow:
    """A time with the sizes that should hold in it.

    :param sizes: by the name of the target.
    :param priority: where windows overlap the highest wins, and among equals the earlier in the plan.
    """

    name: str
    span: Span
    sizes: Mapping[str, Size | Percent]
    priority: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Freeze:
    """A time in which nothing is changed."""

    name: str
    span: Span


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """What the plan wants of a target at an instant.

    :param wanted: a size, a share of the usual one, or nothing: the usual one itself.
    :param window: by which.
    """

    wanted: Size | Percent | None = None
    window: str = ""

    def size(self, usual: Size) -> Size:
        """Return the size that should hold, given the usual one."""
        if self.wanted is None:
            return usual
        return self.wanted.of(usual) if isinstance(self.wanted, Percent) else self.wanted


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What should have which size, and when.

    :param windows: in the order of the document.
    :param budget: the most that everything with a price may cost an hour; none: no limit.
    :param calendar: that says which days are worked.
    """

    name: str
    zone: str
    targets: Mapping[str, Target]
    windows: Sequence[PlanWindow]
    freezes: Sequence[Freeze] = ()
    budget: float | None = None
    calendar: Calendar = dataclasses.field(default_factory=Calendar)

    def claim(self, target: Target, now: datetime) -> Claim:
        """Return what should hold for a target at an instant: a pure function, so a late or repeated run heals.

        A target with a lead gets the greatest size of the time from now until its lead has passed.

        :raises InputError: when the instant has no zone, or a calendar does not know its year.
        """
        check_instant(now)
        windows = [each for each in self.windows if target.name in each.sizes and _holds(each.span, now, target.lead)]
        claims = [_winner(windows, target.name, instant) for instant in _instants(now, target.lead, bool(windows))]
        return max(claims, key=lambda claim: _weight(claim.size(target.usual or 0)) if target.lead else (0, 0))

    def sizes(self, now: datetime, usual: Mapping[str, Size]) -> dict[str, Size]:
        """Return the size that should hold for every target at an instant, within its guards.

        :param usual: recorded sizes, for targets whose plan does not say theirs.
        """
        return {
            name: target.guarded(self.claim(target, now).size(usual[name] if target.usual is None else target.usual))
            for name, target in self.targets.items()
        }

    def frozen(self, now: datetime) -> str:
        """Return the name of the freeze that holds; empty when none does."""
        return next((freeze.name for freeze in self.freezes if _holds(freeze.span, now, _NO_LEAD)), "")


def outlook(plan: Plan, now: datetime) -> str:
    """Return what will keep the plan from working in the next weeks, in one sentence; empty where nothing will."""
    year = (now + _AHEAD).year
    if plan.calendar.unknown_years == "weekdays" or plan.calendar.knows(year):
        return ""
    return (
        f"The holidays of {year} in mainland China are not known to the installed chinesecalendar: upgrade it before"
        " the year begins, or the plan will be refused then"
    )


def read_size(text: str) -> Size:
    """Read a size as :func:`show_size` writes it.

    :raises ValueError: when it is none.
    """
    low, separator, high = text.partition("..")
    return Bounds(int(low), int(high)) if separator else int(low)


def show_size(size: Size) -> str:
    """Return a size as people read it: ``4``, or ``2..8``."""
    return f"{size.minimum}..{size.maximum}" if isinstance(size, Bounds) else str(size)


def least(size: Size) -> int:
    """Return the number itself, or the lower end of a range."""
    return size.minimum if isinstance(size, Bounds) else size


@functools.lru_cache(maxsize=4096)
def _holds(span: Span, now: datetime, lead: timedelta) -> bool:
    """Ask a span once, however many targets its window has."""
    return span.holds(now, lead)


def _winner(windows: Sequence[PlanWindow], target: str, now: datetime) -> Claim:
    holding = [each for each in windows if _holds(each.span, now, _NO_LEAD)]
    if not holding:
        return Claim()
    window = max(holding, key=lambda each: each.priority)  # max keeps the first of equals
    return Claim(window.sizes[target], window.name)


def _instants(now: datetime, lead: timedelta, any_window: bool) -> Iterator[datetime]:
    """Every instant until the lead has passed at which something may change: spans begin and end by the minute."""
    yield now
    if not (lead and any_window):
        return
    instant = now.replace(second=0, microsecond=0) + _MINUTE
    while instant < now + lead:
        yield instant
        instant += _MINUTE
    yield now + lead


def _weight(size: Size) -> tuple[int, int]:
    return (size.minimum, size.maximum) if isinstance(size, Bounds) else (size, size)
