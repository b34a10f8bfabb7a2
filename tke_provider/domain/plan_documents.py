"""Reading a scaling plan: every mistake at once, each with its line, before anything is touched."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tke_provider.domain.calendars import Calendar, check_country
from tke_provider.domain.documents import Document, Path, Problem, nearest, read
from tke_provider.domain.plans import Freeze, Kind, Percent, Plan, PlanWindow, Size, Target, least, show_size
from tke_provider.domain.scaling import Bounds
from tke_provider.domain.windows import Once, Recurring, Span, check_zone
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeVar

    T = TypeVar("T")

SCHEMA = "plan.schema.json"
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DURATION = re.compile(r"(?:(?P<days>\d+)d)?(?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m)?")
_LONGEST_LEAD = timedelta(hours=24)
_LONGEST_WINDOW = timedelta(days=366)


@dataclasses.dataclass(frozen=True, slots=True)
class _Days:
    """The days on which a window starts: all conditions that are given must be met."""

    calendar: Calendar
    worked: bool | None
    weekdays: frozenset[int]
    dates: frozenset[date]

    def matches(self, day: date) -> bool:
        if self.weekdays and day.weekday() not in self.weekdays:
            return False
        if self.dates and day not in self.dates:
            return False
        return self.worked is None or self.calendar.is_workday(day) is self.worked


class _Reader:
    """Reads the parts of one document and gathers what is wrong with them."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.content: dict[str, Any] = document.content
        self.problems: list[Problem] = []
        self.calendar = Calendar()

    def plan(self) -> Plan:
        zone = self.content["time_zone"]
        self.attempt(("time_zone",), lambda: check_zone(zone))
        self.document.refuse(self.problems)  # no time can be read without it
        self.calendar = self.attempt(("calendar",), self.read_calendar) or Calendar()
        targets = {name: self.target(name, each) for name, each in self.content["targets"].items()}
        windows = [self.window(number, each, targets) for number, each in enumerate(self.content["windows"])]
        freezes = [
            Freeze(each["name"], span)
            for number, each in enumerate(self.content.get("freezes", ()))
            if (span := self.span(("freezes", number), each))
        ]
        self.check_names(targets)
        self.check_fallbacks(targets)
        self.document.refuse(self.problems)
        return Plan(
            name=self.content["name"],
            zone=zone,
            targets=targets,
            windows=[each for each in windows if each],
            freezes=freezes,
            budget=self.content.get("guards", {}).get("budget"),
            calendar=self.calendar,
        )

    def attempt(self, path: Path, work: Callable[[], T]) -> T | None:
        """Do it, or note what is wrong at that place."""
        try:
            return work()
        except InputError as error:
            self.problems.append(Problem(path, str(error).rstrip(".")))
        except (ValueError, OverflowError) as error:
            self.problems.append(Problem(path, str(error)))
        return None

    def read_calendar(self) -> Calendar:
        said = self.content.get("calendar", {})
        check_country(said.get("holidays", ""))
        return Calendar(
            holidays=said.get("holidays", ""),
            days_off=_dates(said.get("days_off", ())),
            workdays=_dates(said.get("workdays", ())),
            unknown_years=said.get("unknown_years", "refuse"),
        )

    def target(self, name: str, said: Mapping[str, Any]) -> Target:
        path: Path = ("targets", name)
        key, kind = next((key, kind) for key, kind in _KINDS.items() if key in said)
        guards = said.get("guards", {})
        where = said[key] if isinstance(said[key], dict) else {"name": said[key]}
        fallback = said.get("fallback", "keep")
        other_pool = fallback["other_pool"] if isinstance(fallback, dict) else ""
        target = Target(
            name=name,
            kind=kind,
            object_name=where.get("name", ""),
            namespace=where.get("namespace", ""),
            selector=where.get("selector", ""),
            rule=where.get("rule", ""),
            workload=where.get("kind", "Deployment"),
            cluster=said.get("cluster", self.content.get("cluster", "")),
            usual=self.attempt((*path, "usual"), lambda: _size(said["usual"])) if "usual" in said else None,
            minimum=guards.get("min", 0),
            maximum=guards.get("max"),
            step=guards.get("step"),
            lead=_duration(said.get("lead", "0m")),
            on_owner=said.get("on_owner", "refuse"),
            fallback="other_pool" if other_pool else fallback,
            other_pool=other_pool,
            price=float(said.get("price", 0)),
        )
        self.check_target(path, target)
        return target

    def check_target(self, path: Path, target: Target) -> None:
        def refuse(key: str, sentence: str) -> None:
            self.problems.append(Problem((*path, key), sentence))

        if target.maximum is not None and target.maximum < target.minimum:
            refuse("guards", f"the guards of {target.name} hold no size: min {target.minimum}, max {target.maximum}")
        if target.kind is Kind.NODE_POOL and target.usual is None:
            refuse("usual", f"'usual' is missing: the cloud has no place where {target}'s could be recorded")
        if target.lead and target.kind is not Kind.NODE_POOL:
            refuse("lead", "only node pools have a lead")
        if target.fallback != "keep" and target.kind is not Kind.NODE_POOL:
            refuse("fallback", "only node pools fall back: pods wait for nodes")
        if target.lead > _LONGEST_LEAD:
            refuse("lead", "a lead is 24h at most")
        if target.usual is not None:
            self.check_guards((*path, "usual"), target, target.usual)

    def check_guards(self, path: Path, target: Target, size: Size | Percent) -> None:
        """A size that is written out must lie within the guards; what a percentage gives is moved into them."""
        if isinstance(size, Percent) or target.guarded(size) == size:
            return
        outside = f"below its min of {target.minimum}"
        if least(size) >= target.minimum:
            outside = f"above its max of {target.maximum}"
        self.problems.append(Problem(path, f"{show_size(size)} for {target.name} is {outside}"))

    def window(self, number: int, said: Mapping[str, Any], targets: Mapping[str, Target]) -> PlanWindow | None:
        path: Path = ("windows", number)
        span = self.span(path, said)
        sizes: dict[str, Size | Percent] = {}
        for name, value in said["sizes"].items():
            place = (*path, "sizes", name)
            if name not in targets:
                self.problems.append(Problem(place, f"there is no target {name!r}: {nearest(name, targets)}"))
                continue
            size = self.attempt(place, lambda value=value: _wanted(value))  # type: ignore[misc]
            if size is not None:
                self.check_guards(place, targets[name], size)
                sizes[name] = size
        return PlanWindow(said["name"], span, sizes, said.get("priority", 0)) if span else None

    def span(self, path: Path, said: Mapping[str, Any]) -> Span | None:
        zone = self.content["time_zone"]
        if "cron" in said:
            days = self.attempt((*path, "only_on"), lambda: self.days(said.get("only_on")))
            return self.attempt(
                (*path, "cron"),
                lambda: Recurring(zone=zone, cron=said["cron"], duration=_lasting(said["duration"]), days=days),
            )
        if "only_on" in said:
            self.problems.append(
                Problem((*path, "only_on"), "'only_on' belongs to cron: from and until name their days already")
            )
        return self.attempt(
            (*path, "from"), lambda: Once(zone=zone, start=_wall(said["from"]), end=_wall(said["until"]))
        )

    def days(self, said: Mapping[str, Any] | None) -> _Days | None:
        if not said:
            return None
        return _Days(
            self.calendar,
            {"workdays": True, "days_off": False}.get(said.get("days", "")),
            frozenset(map(_WEEKDAYS.index, said.get("weekdays", ()))),
            _dates(said.get("dates", ())),
        )

    def check_names(self, targets: Mapping[str, Target]) -> None:
        """Refuse two windows of one name, and two targets that are one object."""
        names = Counter(each["name"] for each in self.content["windows"])
        for number, each in enumerate(self.content["windows"]):
            if names[each["name"]] > 1:
                self.problems.append(Problem(("windows", number, "name"), f"two windows are called {each['name']!r}"))
        seen: dict[tuple[str, str, str], str] = {}
        for name, target in targets.items():
            first = seen.setdefault((target.cluster, target.workload, str(target)), name)
            if first != name:
                self.problems.append(Problem(("targets", name), f"{name} is {target} like {first}: name it once"))

    def check_fallbacks(self, targets: Mapping[str, Target]) -> None:
        """Refuse a pool as a stand-in that cannot be one."""
        for name, target in targets.items():
            if target.fallback == "other_pool" and (why := _no_stand_in(target, targets)):
                self.problems.append(Problem(("targets", name, "fallback"), why))


def _no_stand_in(target: Target, targets: Mapping[str, Target]) -> str:
    """Return why the other pool of a target cannot stand in for it; empty where it can."""
    other = targets.get(target.other_pool)
    if other is None:
        return f"there is no target {target.other_pool!r}: {nearest(target.other_pool, targets)}"
    if other.kind is not Kind.NODE_POOL or other.name == target.name:
        return f"{other.name} is no other node pool"
    if other.cluster != target.cluster:
        return f"{other.name} is a pool of another cluster"
    return f"{other.name} falls back to another pool itself" if other.fallback == "other_pool" else ""


_KINDS = {
    "service": Kind.SERVICE,
    "node_pool": Kind.NODE_POOL,
    "hpa": Kind.HPA,
    "cron_scaler": Kind.CRON_SCALER,
}


def parse(text: str) -> Plan:
    """Read a plan.

    :param text: YAML; ``plan.schema.json`` beside this file says what it may hold, and ``docs/plans.md`` what it means.
    :raises ManifestError: when it cannot be understood; tells every mistake with its line.
    """
    return _Reader(read(text, name="The plan", schema=SCHEMA)).plan()


def _wanted(value: Any) -> Size | Percent:
    return Percent(int(value[:-1])) if isinstance(value, str) else _size(value)


def _size(value: Any) -> Size:
    return Bounds(value["min"], value["max"]) if isinstance(value, dict) else int(value)


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    assert found is not None  # noqa: S101  # the schema has the same pattern
    try:
        return timedelta(**{unit: int(number) for unit, number in found.groupdict().items() if number})
    except OverflowError:
        return timedelta.max


def _lasting(text: str) -> timedelta:
    lasting = _duration(text)
    if lasting > _LONGEST_WINDOW:
        raise InputError(f"A window lasts {text}", way_out="366d at most, or write from and until")
    return lasting


def _wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _dates(said: Iterable[str]) -> frozenset[date]:
    found: set[date] = set()
    for each in said:
        first, _, last = each.partition("..")
        start, end = date.fromisoformat(first), date.fromisoformat(last or first)
        if end < start:
            raise InputError(f"{each} ends before it starts", way_out="write the earlier day first")
        found.update(start + timedelta(days=by) for by in range((end - start).days + 1))
    return frozenset(found)
