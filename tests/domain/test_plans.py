"""What should hold at an instant, for whatever plan and instant."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tke_provider.domain.calendars import Calendar
from tke_provider.domain.plans import (
    Claim,
    Freeze,
    Kind,
    Percent,
    Plan,
    PlanWindow,
    Target,
    outlook,
    read_size,
    show_size,
)
from tke_provider.domain.scaling import Bounds
from tke_provider.domain.windows import Once, Recurring
from tke_provider.exceptions import InputError

ZONES = ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]
SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 11, 23, 12, tzinfo=SHANGHAI)
# Clocks change in Berlin and New York, and years end everywhere.
EDGES = [
    datetime(2026, 3, 29, 1, tzinfo=timezone.utc),
    datetime(2026, 10, 25, 1, tzinfo=timezone.utc),
    datetime(2026, 11, 1, 6, tzinfo=timezone.utc),
    datetime(2026, 12, 31, 16, tzinfo=timezone.utc),
    datetime(2027, 1, 1, tzinfo=timezone.utc),
]
near_edges = st.builds(
    lambda at, by: at + timedelta(minutes=by), st.sampled_from(EDGES), st.integers(-26 * 60, 26 * 60)
)
zones = st.sampled_from(ZONES)
bounds = st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda both: Bounds(min(both), max(both)))
sizes = st.one_of(st.integers(0, 100), bounds)
spans = st.builds(
    Recurring,
    zone=zones,
    cron=st.builds("{} {} * * {}".format, st.integers(0, 59), st.integers(0, 23), st.sampled_from(["*", "1-5", "0,6"])),
    duration=st.integers(1, 30 * 60).map(lambda minutes: timedelta(minutes=minutes)),
)
windows = st.builds(
    PlanWindow,
    name=st.uuids().map(str),
    span=spans,
    sizes=st.fixed_dictionaries({"web": st.one_of(sizes, st.integers(0, 500).map(Percent))}),
    priority=st.integers(-2, 2),
)


def target(**more) -> Target:
    return Target(**{"name": "web", "kind": Kind.SERVICE, "usual": 4, **more})


def plan(*found: PlanWindow, of: Target | None = None, **more) -> Plan:
    return Plan(name="p", zone="UTC", targets={"web": of or target()}, windows=found, **more)


def always(size, name: str = "always", priority: int = 0, opens: str = "2000-01-01", closes: str = "2100-01-01"):
    span = Once(zone="UTC", start=datetime.fromisoformat(opens), end=datetime.fromisoformat(closes))
    return PlanWindow(name, span, {"web": size}, priority)


# --- properties -------------------------------------------------------------------------------------------------------


@given(found=st.lists(windows, max_size=4), now=near_edges, guard=bounds, usual=st.integers(0, 100))
def test_no_size_ever_leaves_its_guards(found, now, guard, usual):
    guarded = target(minimum=guard.minimum, maximum=guard.maximum, usual=usual)
    size = plan(*found, of=guarded).sizes(now, {})["web"]
    for number in (size.minimum, size.maximum) if isinstance(size, Bounds) else (size,):
        assert guard.minimum <= number <= guard.maximum


@given(found=st.lists(windows, max_size=4), now=near_edges, zone=zones)
def test_an_instant_always_gives_the_same_whatever_zone_it_is_written_in(found, now, zone):
    whole = plan(*found)
    assert whole.sizes(now, {}) == whole.sizes(now, {}) == whole.sizes(now.astimezone(ZoneInfo(zone)), {})


@given(found=st.lists(windows, min_size=2, max_size=5), now=near_edges)
def test_where_windows_overlap_the_highest_priority_wins_and_then_the_earlier(found, now):
    holding = [each for each in found if each.span.holds(now)]
    claim = plan(*found).claim(target(), now)
    if not holding:
        assert claim == Claim()
        return
    highest = max(each.priority for each in holding)
    assert claim.window == next(each.name for each in holding if each.priority == highest)


@given(found=st.lists(windows, max_size=4), now=near_edges, order=st.randoms())
def test_the_order_of_windows_says_nothing_where_their_priorities_differ(found, now, order):
    ranked = [PlanWindow(each.name, each.span, each.sizes, number) for number, each in enumerate(found)]
    shuffled = list(ranked)
    order.shuffle(shuffled)
    assert plan(*ranked).claim(target(), now) == plan(*shuffled).claim(target(), now)


@given(span=spans, now=near_edges, lead=st.integers(0, 90))
def test_a_span_holds_with_a_lead_exactly_where_it_holds_at_some_minute_of_it(span, now, lead):
    later = [now + timedelta(minutes=by) for by in range(lead + 1)]
    assert span.holds(now, timedelta(minutes=lead)) == any(map(span.holds, later))


@given(found=st.lists(windows, min_size=1, max_size=3), now=near_edges, lead=st.integers(1, 60))
def test_nodes_are_never_fewer_than_any_pods_window_of_their_lead_needs(found, now, lead):
    nodes = target(kind=Kind.NODE_POOL, lead=timedelta(minutes=lead))
    ahead = plan(*found, of=nodes)
    size = ahead.claim(nodes, now).size(4)
    pods = target(kind=Kind.NODE_POOL)
    needed = [ahead.claim(pods, now + timedelta(minutes=by)).size(4) for by in range(lead + 1)]
    assert weight(size) == max(map(weight, needed))


def weight(size) -> tuple[int, int]:
    return (size.minimum, size.maximum) if isinstance(size, Bounds) else (size, size)


@given(size=sizes)
def test_a_recorded_size_is_read_as_it_was_written(size):
    assert read_size(show_size(size)) == size


# --- one by one -------------------------------------------------------------------------------------------------------


def test_outside_all_windows_the_usual_size_holds():
    assert plan(always(9, opens="2030-01-01")).sizes(NOON, {}) == {"web": 4}


def test_or_the_recorded_one_where_the_plan_says_none():
    assert plan(of=target(usual=None)).sizes(NOON, {"web": 7}) == {"web": 7}


@pytest.mark.parametrize(
    ("usual", "percent", "size"), [(4, 150, 6), (3, 150, 5), (5, 0, 0), (Bounds(2, 5), 50, Bounds(1, 3))]
)
def test_a_percentage_is_of_the_usual_size_and_rounded_up(usual, percent, size):
    assert plan(always(Percent(percent)), of=target(usual=usual)).sizes(NOON, {}) == {"web": size}


def test_a_lead_looks_past_a_small_window_that_ends_meanwhile():
    night = always(1, "night", priority=5, closes="2026-11-23 04:05:00")
    nodes = target(kind=Kind.NODE_POOL, lead=timedelta(minutes=10))
    assert plan(night, always(9), of=nodes).claim(nodes, NOON).wanted == 9


def test_a_lead_sees_a_short_window_that_is_over_before_it():
    rush = always(9, "rush", opens="2026-11-23 04:10:00", closes="2026-11-23 04:15:00")
    nodes = target(kind=Kind.NODE_POOL, lead=timedelta(minutes=30))
    assert plan(rush, of=nodes).claim(nodes, NOON).wanted == 9


def test_a_lead_never_makes_a_target_shrink_early():
    night = always(1, "night", priority=5, opens="2026-11-23 04:05:00")
    nodes = target(kind=Kind.NODE_POOL, lead=timedelta(minutes=10))
    assert plan(night, always(9), of=nodes).claim(nodes, NOON).wanted == 9


def test_a_freeze_holds_as_a_window_does():
    frozen = plan(freezes=[Freeze("audit", always(0).span)])
    assert (frozen.frozen(NOON), plan().frozen(NOON)) == ("audit", "")


def test_a_year_whose_holidays_are_not_known_is_told_before_it_begins():
    china, eve = Calendar(holidays="CN"), datetime(2099, 12, 1, tzinfo=timezone.utc)
    assert "The holidays of 2100 in mainland China are not known" in outlook(plan(calendar=china), eve)
    assert outlook(plan(calendar=china), datetime(2026, 6, 1, tzinfo=timezone.utc)) == ""
    assert outlook(plan(calendar=Calendar(holidays="CN", unknown_years="weekdays")), eve) == ""
    assert outlook(plan(), eve) == ""


def test_an_instant_without_zone_is_refused():
    with pytest.raises(InputError, match="has no time zone"):
        plan().sizes(NOON.replace(tzinfo=None), {})
