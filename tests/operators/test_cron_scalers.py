"""HorizontalPodCronscalers on a real API server. What they do there is seen with the plans that size them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.live_cluster import run_of
from tests.operators.scaling.test_services import eventually
from tke_provider.domain.cron_scalers import API_VERSION, KIND
from tke_provider.domain.manifests import ObjectRef
from tke_provider.operators.cron_scalers import TkeCronScalerOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]

MORNING = {"name": "morning", "schedule": "0 0 8 * * 1-5", "size": 4}
NIGHT = {"name": "night", "schedule": "0 0 20 * * *", "size": 1, "exclude": ["* * * 11 11 *"]}


@pytest.fixture
async def served(controller, place):
    """A cluster that has the add-on."""
    await eventually(lambda: place.cluster.list(API_VERSION, KIND, place.namespace))


async def run(place, *rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    settings = {"target": "web", "name": "hours", "rules": list(rules), **more}
    operator = TkeCronScalerOperator(task_id="hours", namespace=place.namespace, **settings)
    return await asyncio.to_thread(operator.execute, run_of())


async def refused(place, *rules: dict[str, Any], **more: Any) -> str:
    with pytest.raises(AirflowFailException) as caught:
        await run(place, *rules, **more)
    return str(caught.value)


async def create(place) -> None:
    workload = place.workload(replicas=1)
    workload["metadata"]["namespace"] = place.namespace
    await place.cluster.create(workload)


async def scaler(place) -> dict[str, Any] | None:
    return await place.cluster.get(ObjectRef(API_VERSION, KIND, place.namespace, "hours"))


async def test_a_workload_gets_sizes_at_times_in_the_words_of_the_add_on(place, served):
    await create(place)
    result = await run(place, MORNING, NIGHT)
    assert result["rules"] == ["morning", "night"]
    live = await scaler(place)
    assert live["spec"] == {
        "scaleTarget": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "namespace": place.namespace},
        "crons": [
            {"name": "morning", "schedule": "0 0 8 * * 1-5", "targetSize": 4},
            {"name": "night", "schedule": "0 0 20 * * *", "targetSize": 1, "excludeDates": ["* * * 11 11 *"]},
        ],
    }
    await run(place, MORNING)
    assert (await scaler(place))["metadata"]["generation"] == live["metadata"]["generation"] + 1
    await run(place, MORNING)
    assert (await scaler(place))["metadata"]["generation"] == live["metadata"]["generation"] + 1, "nothing to change"
    await run(place, state="absent")
    assert await scaler(place) is None


async def test_beside_an_hpa_it_is_refused_and_may_move_its_bounds_instead(place, served):
    await create(place)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    hpa = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    metadata = {"name": "load", "namespace": place.namespace}
    await place.cluster.create({**hpa, "metadata": metadata, "spec": {"scaleTargetRef": target, "maxReplicas": 9}})
    told = await refused(place, MORNING)
    assert "is written by HorizontalPodAutoscaler" in told
    assert "scale HorizontalPodAutoscaler load by time instead" in told
    bounds = {"name": "morning", "schedule": MORNING["schedule"], "min": 3, "max": 9}
    await run(place, bounds, target="load", target_kind="HorizontalPodAutoscaler")
    (rule,) = (await scaler(place))["spec"]["crons"]
    assert (rule["minSize"], rule["maxSize"]) == (3, 9)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({**MORNING, "schedule": "0 8 * * *"}, "it has 5 fields; write six fields: second, minute"),
        ({**MORNING, "schedule": "0 0 25 * * *"}, "no schedule of a HorizontalPodCronscaler"),
        ({**NIGHT, "exclude": ["11-11"]}, "write six fields"),
        ({"name": "x", "schedule": "0 0 8 * * *", "min": 1, "max": 2}, "has the wrong size for Deployment"),
        ({"name": "x", "size": 2}, "A rule has no schedule"),
        ({**MORNING, "replicas": 2}, "A rule says replicas"),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(place, rule, told):
    assert told in await refused(place, rule)


async def test_a_target_that_does_not_exist_is_named(place, served):
    assert f"There is no Deployment {place.namespace}/web" in await refused(place, MORNING)
