"""When rules of a HorizontalPodCronscaler are due; what they do to a cluster is seen with the plans that size them."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from tke_provider.emulator.cron_scalers import CronScalers, due

ZONE = ZoneInfo("Asia/Shanghai")
MONDAY = datetime(2026, 11, 23, tzinfo=ZONE)
MORNING = {"name": "morning", "schedule": "0 0 8 * * 1-5", "targetSize": 8}
NIGHT = {"name": "night", "schedule": "30 0 20 * * *", "targetSize": 2}


def scaler(*rules: dict) -> dict:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {"metadata": {"name": "hours", "namespace": "shop"}, "spec": {"scaleTarget": target, "crons": list(rules)}}


def names(since: timedelta, until: timedelta, *rules: dict) -> list[str]:
    return [each.rule["name"] for each in due(scaler(*rules), MONDAY + since, MONDAY + until)]


@pytest.mark.parametrize(
    ("since", "until", "happens"),
    [
        (timedelta(hours=7), timedelta(hours=7, minutes=59, seconds=59), []),
        (timedelta(hours=7), timedelta(hours=8), ["morning"]),
        (timedelta(hours=8), timedelta(hours=9), []),
        (timedelta(hours=20), timedelta(hours=20, seconds=30), ["night"]),
        (timedelta(hours=7), timedelta(hours=21), ["morning", "night"]),
        (timedelta(days=-2), timedelta(days=-1), ["night"]),
    ],
    ids=["before", "at the second", "once", "with seconds", "both", "no working day"],
)
def test_a_rule_happens_at_its_second_and_once(since, until, happens):
    assert names(since, until, MORNING, NIGHT) == happens


@pytest.mark.parametrize(
    ("excluded", "happens"),
    [("* * * 23 11 *", []), ("* * * * * 1", []), ("* * * 24 11 *", ["morning"]), ("0 0 0 23 11 *", [])],
)
def test_days_may_be_left_out(excluded, happens):
    assert names(timedelta(0), timedelta(hours=9), {**MORNING, "excludeDates": [excluded]}) == happens


def test_a_rule_that_cannot_be_understood_keeps_no_other_from_happening():
    assert names(timedelta(0), timedelta(hours=9), {"name": "odd", "schedule": "whenever"}, MORNING) == ["morning"]


def test_the_clock_it_runs_on_can_be_any(monkeypatch):
    clock = [MONDAY + timedelta(hours=7)]
    controller = CronScalers(SimpleNamespace(api_client=None), lambda: clock[0])
    done: list[str] = []
    # The cluster is left out: what is asked is only when it is written to.
    monkeypatch.setattr(controller, "_scalers", lambda: [scaler(NIGHT, MORNING)])
    monkeypatch.setattr(controller, "_apply", lambda each: done.append(each.rule["name"]))
    for hour in (7, 8, 8, 21):
        clock[0] = MONDAY + timedelta(hours=hour)
        controller.reconcile()
    assert done == ["morning", "night"]
    clock[0] = MONDAY + timedelta(days=1, hours=22)
    controller.reconcile()
    assert done[2:] == ["morning", "night"], "what fell due meanwhile happens in its order"
