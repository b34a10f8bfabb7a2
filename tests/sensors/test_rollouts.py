import asyncio

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tke_provider.domain.verdicts import expired, failed, passed
from tke_provider.sensors.rollouts import TkeRolloutSensor


def sensor(namespace="shop", **more) -> TkeRolloutSensor:
    settings = {"timeout": 30, "poke_interval": 1, **more}
    return TkeRolloutSensor(task_id="wait", name="web", namespace=namespace, **settings)


async def apply(place, **more):
    workload = place.workload(**more)
    workload["metadata"]["namespace"] = place.namespace
    await place.cluster.apply(workload)


@pytest.mark.stack
@pytest.mark.usefixtures("connected")
async def test_it_ends_when_the_workload_is_up(place):
    await apply(place)
    await asyncio.to_thread(sensor(place.namespace, mode="poke", timeout=120).execute, {})


@pytest.mark.stack
@pytest.mark.usefixtures("connected")
async def test_it_waits_in_the_triggerer_for_what_is_not_up_yet(place):
    await apply(place, kubelet=False)
    with pytest.raises(TaskDeferred) as deferred:
        await asyncio.to_thread(sensor(place.namespace, deferrable=True).execute, {})
    assert deferred.value.trigger.workloads == ["Deployment/web"]
    assert deferred.value.trigger.operation == ""


def test_a_pass_from_the_trigger_ends_it():
    sensor().execute_complete({}, passed("it is up").as_event())


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (failed("the image is not found").as_event(), r"the image is not found\."),
        (expired("1 of 2 pods are available").as_event(), r"Not within 30 seconds: 1 of 2 pods are available\."),
        (failed("Cluster a has no Pod b; name another.").as_event(), r"^Cluster a has no Pod b; name another\.$"),
        (None, "which is no verdict"),
    ],
)
def test_anything_else_from_the_trigger_fails_it(event, said):
    with pytest.raises(AirflowFailException, match=said):
        sensor().execute_complete({}, event)
