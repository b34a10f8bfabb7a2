from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tke_provider.domain.verdicts import passed
from tke_provider.sensors.metrics import TkeMetricSensor

if TYPE_CHECKING:
    from tke_provider.domain.metrics import Query

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("prometheus")]


def sensor(query: Query = "sum(queue_length)", at_most: float = 150, **more: Any) -> TkeMetricSensor:
    settings = {"poke_interval": 0.01, "timeout": 90, **more}
    return TkeMetricSensor(task_id="queue", gates=[{"name": "queue", "query": query, "at_most": at_most}], **settings)


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_short_queue_is_answered_at_once(deferrable):
    assert sensor(deferrable=deferrable).execute({}) is None


@pytest.mark.parametrize(("query", "at_most"), [("sum(queue_length)", 100), ("nothing_of_that_name", 100)])
def test_a_long_queue_or_an_unknown_one_is_no_yes(query, at_most):
    assert sensor(query, at_most).poke({}) is False


def test_it_waits_in_the_triggerer():
    with pytest.raises(TaskDeferred) as deferred:
        sensor(at_most=100, deferrable=True).execute({})
    assert asyncio.run(deferred.value.trigger.look()).reason == "queue is 120, above the 100 allowed"
    sensor().execute_complete({}, event=passed("queue is 90").as_event())


def test_a_query_that_is_not_understood_ends_it_at_once():
    with pytest.raises(AirflowFailException, match="parse error"):
        sensor("sum(").poke({})


@pytest.mark.parametrize(("value", "good"), [(None, False), (90, False), (40, True)])
def test_the_cloud_s_own_monitoring_may_be_asked_instead(cloud, monkeypatch, value, good):
    cloud.connect(monkeypatch)
    query = {"namespace": "QCE/CVM", "metric": "CPUUsage", "dimensions": {"InstanceId": "ins-1"}}
    if value is not None:
        cloud._ask("POST", "metrics", {**query, "value": value})
    assert sensor(query, at_most=80).poke({}) is good
