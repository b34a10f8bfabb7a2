"""HorizontalPodCronscalers as targets of a plan, and what their controller then makes of a workload."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
import yaml
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.live_cluster import until
from tests.operators.test_plans import NIGHT, apply, autoscaler, bounds, create, rehearse, size, states
from tke_provider.domain.cron_scalers import API_VERSION, KIND
from tke_provider.domain.manifests import annotation
from tke_provider.domain.plans import USUAL
from tke_provider.exceptions import NotFoundError

if TYPE_CHECKING:
    from tke_provider.emulator.cron_scalers import CronScalers

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("clouds", "controller")]

ZONE = ZoneInfo("Asia/Shanghai")


async def scaler(place, *rules: dict, kind: str = "Deployment") -> None:
    target = {"apiVersion": "apps/v1", "kind": kind, "name": "web", "namespace": place.namespace}
    metadata = {"name": "hours", "namespace": place.namespace}
    spec = {"scaleTarget": target, "crons": list(rules)}
    made = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}

    async def created() -> bool:
        with contextlib.suppress(NotFoundError):  # a kind is served a moment after its definition
            return bool(await place.cluster.create(made))
        return False

    await until(created)


MORNING = {"name": "morning", "schedule": "0 0 11 * * *", "targetSize": 4, "excludeDates": ["* * * 1 1 *"]}
EVENING = {"name": "evening", "schedule": "0 0 13 * * *", "targetSize": 2}


def plan(place, sizes: str, rule: str = "") -> str:
    target = {"namespace": place.namespace, "name": "hours"} | ({"rule": rule} if rule else {})
    window = {"name": "sale", "from": "2026-11-23 08:00", "until": "2026-11-23 20:00", "sizes": yaml.safe_load(sizes)}
    whole = {"name": "sale", "time_zone": "Asia/Shanghai", "targets": {"hours": {"cron_scaler": target}}}
    return yaml.safe_dump({**whole, "windows": [window]})


async def rules(place) -> list:
    live = await place.cluster.get(place.ref(KIND, "hours", API_VERSION))
    return [each.get("targetSize", (each.get("minSize"), each.get("maxSize"))) for each in live["spec"]["crons"]]


async def test_every_rule_gets_its_share_and_its_own_size_back(place):
    await create(place, 1)
    await scaler(place, MORNING, EVENING)
    ref = f"{KIND} {place.namespace}/hours"
    shown = await rehearse(plan(place, "{hours: 300%}"))
    assert f"| {ref} rule morning | 4 | 12 |" in shown["markdown"]
    result = await apply(plan(place, "{hours: 300%}"))
    assert states(result) == {f"{ref} rule morning": "done", f"{ref} rule evening": "done"}
    assert await rules(place) == [12, 6]
    live = await place.cluster.get(place.ref(KIND, "hours", API_VERSION))
    assert annotation(live, USUAL) == '{"evening": "2", "morning": "4"}'
    assert live["spec"]["crons"][0]["excludeDates"] == MORNING["excludeDates"], "what is no size stays as it is"
    assert (await apply(plan(place, "{hours: 300%}"), run="run-2"))["rows"] == []
    await apply(plan(place, "{hours: 300%}"), NIGHT, "night")
    assert await rules(place) == [4, 2]
    assert not annotation(await place.cluster.get(place.ref(KIND, "hours", API_VERSION)), USUAL)


async def test_one_rule_can_be_the_target_and_one_that_does_not_exist_is_named(place):
    await create(place, 1)
    await scaler(place, MORNING, EVENING)
    await apply(plan(place, "{hours: 9}", "evening"))
    assert await rules(place) == [4, 9]
    with pytest.raises(AirflowFailException, match=r"there is no HorizontalPodCronscaler .*/hours rule noon"):
        await apply(plan(place, "{hours: 9}", "noon"))


async def test_rules_of_an_hpa_get_bounds(place, controller):
    await create(place, 1)
    await autoscaler(place, 1, 4)
    rule = {"name": "morning", "schedule": "0 0 11 * * *", "minSize": 2, "maxSize": 5}
    await scaler(place, rule, kind="HorizontalPodAutoscaler")
    await apply(plan(place, "{hours: {min: 3, max: 8}}"))
    assert await rules(place) == [(3, 8)]
    await strike(controller, 11)
    assert await bounds(place) == (3, 8)


async def test_the_effect_is_seen_when_the_clock_strikes(place, controller):
    await create(place, 1)
    await scaler(place, MORNING, EVENING)
    await apply(plan(place, "{hours: 200%}"))
    assert await size(place) == 1, "it writes at its own times, not before"
    await strike(controller, 11)
    assert await size(place) == 8
    await strike(controller, 13)
    assert await size(place) == 4
    await apply(plan(place, "{hours: 200%}"), NIGHT, "night")
    await strike(controller, 11)
    assert await size(place) == 4, "back at the usual"


async def strike(controller: CronScalers, hour: int) -> None:
    """Let the controller live through one minute of a day, whatever the time is."""
    around = [datetime(2026, 11, 23, *minute, 30, tzinfo=ZONE) for minute in ((hour - 1, 59), (hour, 0))]
    await asyncio.to_thread(controller.happen, *around)
