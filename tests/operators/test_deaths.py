"""A worker or triggerer that dies at any point neither loses a release nor doubles it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from tests.live_cluster import image, named, released, run_of, until
from tests.operators.test_canaries import come_to, service
from tests.operators.test_rollouts import free, record_of
from tests.process_of_a_release import RETRY, path_of, process
from tke_provider.clients import releases
from tke_provider.domain.releases import Stage
from tke_provider.operators.blue_green import TkeBlueGreenDeployOperator
from tke_provider.operators.canaries import TkeCanaryDeployOperator
from tke_provider.operators.rollouts import TkeDeployServiceOperator

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected"), pytest.mark.timeout(600)]

STRATEGIES = {
    "deploy": (TkeDeployServiceOperator, {}),
    "canary": (TkeCanaryDeployOperator, {"steps": [{"weight": 30, "pause": 1}, {"weight": 50, "pause": 1}]}),
    "blue-green": (TkeBlueGreenDeployOperator, {"keep": 2}),
}


def arguments(place, digit: str, strategy: str, **more) -> dict:
    slow = place.workload(replicas=2, minReadySeconds=2)  # so that there is a middle to die in
    given = {"manifests": [service(), slow], "images": {"web": image(digit)}, "namespace": place.namespace}
    return {"task_id": "deploy", "timeout": 90, "poll_interval": 0.5, **given, **STRATEGIES[strategy][1], **more}


def operator(place, digit: str, strategy: str, **more):
    return STRATEGIES[strategy][0](**arguments(place, digit, strategy, **more))


async def reached(place, step: int, *, up: bool = False) -> None:
    async def there() -> bool:
        record = await record_of(place)
        return record.revision == 2 and record.step >= step and (record.since is not None or not up)

    await until(there)


async def whole(place) -> None:
    """The release is there once, and nothing of its way there."""
    history = await releases.history(place.cluster, place.namespace, "web")
    assert [(each.revision, each.stage) for each in history] == [(2, Stage.LIVE), (1, Stage.LIVE)]
    assert history[0].previous == {"web/web": named("a")}
    await come_to(place, {named("b"): 2})
    names = {each["metadata"]["name"] for each in await place.cluster.list("apps/v1", "Deployment", place.namespace)}
    assert names == {"web"}
    live = await place.cluster.get(place.ref("Service", "web", "v1"))
    assert live["spec"]["selector"] == {"app": "web"}
    assert await free(place)


@pytest.mark.parametrize(
    ("strategy", "step", "up"),
    [
        ("deploy", 0, False),
        pytest.param("canary", 0, True, marks=pytest.mark.soak),
        ("canary", 3, False),
        ("blue-green", 1, True),
        pytest.param("blue-green", 3, False, marks=pytest.mark.soak),
    ],
)
async def test_a_worker_that_is_killed_is_taken_over_by_the_retry(place, strategy, step, up):
    await released(operator(place, "a", "deploy"), run_of("run-1"))
    async with process("operator", path_of(STRATEGIES[strategy][0]), arguments(place, "b", strategy), "run-2"):
        await reached(place, step, up=up)
    release = await released(operator(place, "b", strategy), RETRY)
    assert (release["images"], release["record"]) == ({"web/web": named("b")}, 2)
    await whole(place)


async def deferred(place, strategy: str) -> BaseTrigger:
    """The wait of a task that has left its worker."""
    waiting = operator(place, "b", strategy, deferrable=True, defer_after=0)
    with pytest.raises(TaskDeferred) as caught:
        await released(waiting, run_of("run-2"))
    trigger: BaseTrigger = caught.value.trigger
    return trigger


async def resumed(place, strategy: str, trigger: BaseTrigger) -> None:
    """Another triggerer waits to the end, and the task resumes."""
    verdict = await type(trigger)(**trigger.serialize()[1]).wait()
    resuming = operator(place, "b", strategy, deferrable=True)
    await asyncio.to_thread(resuming.execute_complete, run_of("run-2"), verdict.as_event())
    await whole(place)


@pytest.mark.parametrize(("strategy", "step"), [("canary", 0), ("blue-green", 1)])
async def test_a_triggerer_that_is_killed_is_taken_over_by_another_one(place, strategy, step):
    await released(operator(place, "a", "deploy"), run_of("run-1"))
    trigger = await deferred(place, strategy)
    async with process("trigger", *trigger.serialize(), "run-2"):
        await reached(place, step, up=True)
    assert not await free(place)
    await resumed(place, strategy, trigger)


async def test_two_triggerers_that_hold_the_same_wait_do_not_double_it(place):
    await released(operator(place, "a", "deploy"), run_of("run-1"))
    trigger = await deferred(place, "canary")
    async with process("trigger", *trigger.serialize(), "run-2"):
        await resumed(place, "canary", trigger)
