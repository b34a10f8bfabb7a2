"""Beside KEDA's own operator: who writes the size, with the real controllers of both sides at it."""

from __future__ import annotations

import asyncio
import datetime as dt
import textwrap
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.live_cluster import deploy, refused, released, run_of, until
from tke_provider.domain.manifests import ObjectRef
from tke_provider.operators.autoscalers import TkeConfigureHpaOperator
from tke_provider.operators.plans import TkeApplyScheduleOperator, TkeScalePlanOperator
from tke_provider.operators.scaling import TkeScaleServiceOperator

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("keda", "clouds")]

PAUSED = "autoscaling.keda.sh/paused"


def window(*, now: bool) -> dict[str, str]:
    """A trigger that is on for some hours a day, these or others."""
    hour = dt.datetime.now(dt.timezone.utc).hour + (-1 if now else 3)
    hours = {"start": f"0 {hour % 24} * * *", "end": f"0 {(hour + 3) % 24} * * *"}
    return {"timezone": "UTC", "desiredReplicas": "1", **hours}


async def scaled_object(place, minimum: int, maximum: int = 5, *, now: bool = True) -> ObjectRef:
    """Have KEDA look after the service web, and wait until it does."""
    spec = {
        "scaleTargetRef": {"name": "web"},
        "minReplicaCount": minimum,
        "maxReplicaCount": maximum,
        "pollingInterval": 1,
        "cooldownPeriod": 1,
        "triggers": [{"type": "cron", "metadata": window(now=now)}],
    }
    kind = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject"}
    made = await place.cluster.create(
        {**kind, "metadata": {"name": "by-hours", "namespace": place.namespace}, "spec": spec}
    )
    await until(lambda: hpa(place))
    return ObjectRef.of(made)


async def hpa(place) -> dict | None:
    """The HPA that KEDA writes."""
    return await place.cluster.get(place.ref("HorizontalPodAutoscaler", "keda-hpa-by-hours", "autoscaling/v2"))


async def service(place, replicas: int = 1) -> None:
    manifest = place.workload(replicas=replicas)
    await place.cluster.create({**manifest, "metadata": {"name": "web", "namespace": place.namespace}})


async def size(place) -> int:
    return (await place.cluster.get(place.ref("Deployment")))["spec"]["replicas"]


async def comes_to(place, replicas: int) -> None:
    async def there() -> bool:
        return await size(place) == replicas

    await until(there)


def scale(place, replicas: int, **more: Any) -> TkeScaleServiceOperator:
    settings = {"poll_interval": 0.2, "timeout": 60, "deferrable": False, **more}
    where = {"namespace": place.namespace, "name": "web"}
    return TkeScaleServiceOperator(task_id="pods", replicas=replicas, **where, **settings)


def plan(place, target: str, sizes: str) -> str:
    """A plan for one target, the day round."""
    return textwrap.dedent(f"""\
        name: hours
        time_zone: UTC
        targets:
          web: {{{target.format(namespace=place.namespace)}}}
        windows:
          - name: always
            cron: 0 0 * * *
            duration: 24h
            sizes: {{web: {sizes}}}
        """)


SERVICE = "service: {{namespace: {namespace}, name: web}}, on_owner: bounds"
HPA = "hpa: {{namespace: {namespace}, name: keda-hpa-by-hours}}"


async def rehearsed(text: str) -> str:
    return (await asyncio.to_thread(TkeScalePlanOperator(task_id="show", plan=text).execute, run_of()))["markdown"]


async def test_a_size_that_keda_writes_is_left_to_it_by_everybody_and_keda_named(place):
    await service(place)
    await scaled_object(place, 1)
    said = "is written by ScaledObject by-hours"
    assert said in await refused(scale(place, 3))
    assert said in await refused(
        TkeConfigureHpaOperator(
            task_id="hpa", namespace=place.namespace, name="web", minimum=2, maximum=3, metrics={"cpu": 60}
        )
    )
    assert said in await rehearsed(plan(place, SERVICE.removesuffix(", on_owner: bounds"), "3"))
    assert said in await rehearsed(plan(place, HPA, "{min: 2, max: 3}")), "KEDA would undo what is written to its HPA"
    assert (await size(place), (await hpa(place))["spec"]["minReplicas"]) == (1, 1)


async def test_or_its_lower_bound_is_raised_and_keda_has_its_hpa_follow(place):
    await service(place)
    await scaled_object(place, 1)
    decision = await released(scale(place, 3, on_owner="bounds"))
    assert (decision["from"], decision["to"], decision["owner"]) == (1, 3, "ScaledObject by-hours")
    assert await size(place) == 3
    assert (await hpa(place))["spec"]["minReplicas"] == 3
    assert "above its maximum of 5" in await refused(scale(place, 6, on_owner="bounds"), run_of("run-2"))


async def test_a_plan_gives_keda_bounds_and_they_hold(place):
    await service(place)
    scaled = await scaled_object(place, 1)
    text = plan(place, SERVICE, "{min: 2, max: 4}")
    assert "ScaledObject by-hours" in await rehearsed(text)
    context = run_of()
    context["ti"].xcom_push = lambda **_: None
    operator = TkeApplyScheduleOperator(task_id="apply", plan=text, poll_interval=0.2, service_timeout=60)
    await asyncio.to_thread(operator.execute, context)
    spec = (await place.cluster.get(scaled))["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"], await size(place)) == (2, 4, 2)


async def test_what_keda_has_put_to_sleep_no_release_wakes_and_a_lower_bound_does(place):
    await service(place)
    scaled = await scaled_object(place, 0)
    await place.cluster.patch(scaled, {"spec": {"triggers": [{"type": "cron", "metadata": window(now=False)}]}})
    await comes_to(place, 0)
    await released(deploy(place, "b", place.workload(replicas=2)))
    assert await size(place) == 0
    decision = await released(scale(place, 2, on_owner="bounds"), run_of("run-2"))
    assert (decision["from"], decision["to"]) == (0, 2)
    assert await size(place) == 2


async def test_a_trigger_that_turns_on_wakes_what_sleeps(place):
    await service(place, 0)
    scaled = await scaled_object(place, 0, now=False)
    await place.cluster.patch(scaled, {"spec": {"triggers": [{"type": "cron", "metadata": window(now=True)}]}})
    await comes_to(place, 1)


@pytest.mark.parametrize(("annotation", "value", "held"), [(PAUSED, "true", 1), (f"{PAUSED}-replicas", "2", 2)])
async def test_a_paused_owner_is_named_with_its_pause_and_nobody_waits_for_it(place, annotation, value, held):
    await service(place)
    scaled = await scaled_object(place, 1)
    await place.cluster.patch(scaled, {"metadata": {"annotations": {annotation: value}}})

    async def stands_still() -> bool:
        return await hpa(place) is None and await size(place) == held

    await until(stands_still)
    said = f"is written by ScaledObject by-hours, paused by its annotation {annotation}; end the pause"
    for on_owner in ("refuse", "bounds"):
        with pytest.raises(AirflowFailException, match=said):
            await released(scale(place, 3, on_owner=on_owner))
    assert (await place.cluster.get(scaled))["spec"]["minReplicaCount"] == 1
    await place.cluster.patch(scaled, {"metadata": {"annotations": {annotation: None}}})
    await until(lambda: hpa(place))
    await released(scale(place, 3, on_owner="bounds"), run_of("run-2"))
    assert await size(place) == 3
