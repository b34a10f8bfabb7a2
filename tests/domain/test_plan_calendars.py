"""The calendar shows what the scalers will do."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tke_provider.domain.plan_calendars import calendar
from tke_provider.domain.plan_documents import parse

PLAN = """\
name: shop
time_zone: Asia/Shanghai
targets:
  shop:
    service: {namespace: production, name: shop}
    usual: 4
  cart:
    service: {namespace: production, name: cart}
windows:
  - name: working hours
    cron: "0 8 * * *"
    duration: 12h
    sizes: {shop: 150%, cart: 50%}
"""
DAY = datetime(2026, 11, 23, tzinfo=ZoneInfo("Asia/Shanghai"))


def drawn(name: str, days: int = 1) -> list[tuple[int, str, str]]:
    stretches = calendar(parse(PLAN), DAY, DAY + timedelta(days=days))[name]
    return [(each.start.hour, each.size, each.window) for each in stretches]


def test_a_day_is_night_working_hours_and_night():
    assert drawn("shop") == [(0, "4", ""), (8, "6", "working hours"), (20, "4", "")]


def test_where_the_plan_does_not_know_the_usual_size_it_says_so():
    assert drawn("cart") == [(0, "usual", ""), (8, "50 % of usual", "working hours"), (20, "usual", "")]


def test_stretches_follow_one_another_from_start_to_end():
    stretches = calendar(parse(PLAN), DAY, DAY + timedelta(days=14))["shop"]
    assert (stretches[0].start, stretches[-1].end) == (DAY, DAY + timedelta(days=14))
    assert all(one.end == other.start for one, other in itertools.pairwise(stretches))
    assert len(stretches) == 29


def test_every_stretch_is_what_the_plan_wants_in_it():
    plan = parse(PLAN)
    for each in calendar(plan, DAY, DAY + timedelta(days=3))["shop"]:
        assert plan.sizes(each.start, {"cart": 1})["shop"] == int(each.size)
