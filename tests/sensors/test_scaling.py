from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tke_provider.domain.verdicts import expired
from tke_provider.hooks.tke import TkeHook
from tke_provider.sensors.scaling import TkeNodePoolSensor

CLUSTER, SET_SIZE = "cls-local000", "ModifyNodePoolDesiredCapacityAboutAsg"


@pytest.fixture
def cloud(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    return cloud


def sensor(**more: Any) -> TkeNodePoolSensor:
    return TkeNodePoolSensor(task_id="settled", **{"node_pool": "web", "poke_interval": 0.01, "timeout": 20, **more})


def resize(desired: int) -> None:
    async def write() -> None:
        async with await TkeHook().tke() as tke:
            await tke.set_pool_desired(CLUSTER, await tke.node_pool(CLUSTER, "web"), desired)

    asyncio.run(write())


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_pool_at_rest_is_answered_at_once(cloud, deferrable):
    assert sensor(deferrable=deferrable).execute({}) is None


def test_a_pool_that_still_grows_is_no_yes(cloud):
    cloud._ask("POST", "clock", {"node": {"mode": "told"}})
    resize(3)
    assert sensor().poke({}) is False
    cloud._ask("POST", "tell", {"what": "node"})
    assert sensor().poke({}) is True


def test_it_waits_in_the_triggerer(cloud):
    cloud._ask("POST", "clock", {"node": {"mode": "told"}})
    resize(3)
    with pytest.raises(TaskDeferred) as deferred:
        sensor(deferrable=True).execute({})
    cloud._ask("POST", "tell", {"what": "node"})
    verdict = asyncio.run(deferred.value.trigger.wait())
    sensor(deferrable=True).execute_complete({}, event=verdict.as_event())


def test_the_execution_timeout_of_airflow_holds_while_the_sensor_is_deferred(cloud):
    cloud._ask("POST", "clock", {"node": {"mode": "told"}})
    resize(3)
    ask = sensor(deferrable=True, timeout=600, execution_timeout=timedelta(seconds=30))
    with pytest.raises(TaskDeferred) as deferred:
        ask.execute({})
    assert deferred.value.trigger.deadline == pytest.approx(time.time() + 30, abs=10)


def test_what_the_cloud_gave_up_on_is_not_waited_for(cloud):
    cloud.trouble("sold_out", SET_SIZE, available=0, message="sold out in ap-guangzhou-3")
    resize(3)
    with pytest.raises(AirflowFailException, match="sold out in ap-guangzhou-3"):
        sensor().poke({})


def test_a_pool_that_does_not_exist_is_named_at_once(cloud):
    with pytest.raises(AirflowFailException, match="no node pool nowhere"):
        sensor(node_pool="nowhere", deferrable=True).execute({})


def test_time_that_ran_out_is_no_yes(cloud):
    with pytest.raises(AirflowFailException, match=r"Not within 20 seconds: 1 of 3 nodes are ready\."):
        sensor().execute_complete({}, event=expired("1 of 3 nodes are ready").as_event())
