"""Services that follow a metric: a real Prometheus is asked, and a real API server resizes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tests.live_cluster import run_of
from tke_provider.domain.demand import SIZED_AT
from tke_provider.domain.manifests import annotation
from tke_provider.domain.verdicts import passed
from tke_provider.exceptions import InconclusiveError
from tke_provider.operators.metrics import TkeScaleOnMetricOperator

if TYPE_CHECKING:
    from tke_provider.domain.metrics import Query

QUEUE = 'sum(queue_length{queue="orders"})'


def kept(context: dict) -> dict:
    """Give a task's context what Airflow keeps for it."""
    pushed: dict[str, Any] = {}
    context["ti"].xcom_push = lambda key, value: pushed.update({key: value})
    context["ti"].xcom_pull = lambda key, map_indexes: pushed[key]
    return context


def scale(place, query: Query = QUEUE, **more: Any) -> TkeScaleOnMetricOperator:
    settings = {"target": 30, "minimum": 1, "maximum": 6, "timeout": 120, "poll_interval": 0.5, "deferrable": False}
    where = {"namespace": place.namespace, "name": "web"}
    return TkeScaleOnMetricOperator(task_id="scale", query=query, **{**settings, **where, **more})


async def run(operator: TkeScaleOnMetricOperator, run_id: str = "run-1") -> Any:
    return await asyncio.to_thread(operator.execute, kept(run_of(run_id)))


async def deployed(place, replicas: int = 2, *, kubelet: bool = True) -> None:
    whole = place.workload(kubelet=kubelet, replicas=replicas)
    await place.cluster.create({**whole, "metadata": {"name": "web", "namespace": place.namespace}})


async def size(place) -> int:
    live = await place.cluster.get(place.ref("Deployment"))
    return live["spec"]["replicas"]


pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected", "prometheus")]


async def test_a_service_has_as_many_pods_as_the_queue_asks_for(place):
    await deployed(place)
    decision = await run(scale(place))
    assert (decision["from"], decision["to"]) == (2, 4)
    assert decision["reason"].startswith("120 at 30 a pod asks for 4 pods; ")
    live = await place.cluster.get(place.ref("Deployment"))
    assert live["status"]["availableReplicas"] == 4
    assert float(annotation(live, SIZED_AT)) == pytest.approx(time.time(), abs=60)


async def test_what_is_right_is_left_alone_with_no_write(place):
    await deployed(place, 4)
    before = await place.cluster.get(place.ref("Deployment"))
    decision = await run(scale(place))
    assert (decision["from"], decision["to"], decision["owner"]) == (4, 4, "")
    after = await place.cluster.get(place.ref("Deployment"))
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert annotation(after, SIZED_AT) == ""


async def test_a_retry_waits_for_what_its_first_try_has_written(place):
    await deployed(place)
    first = await run(scale(place))
    again = await run(scale(place))
    assert (again["from"], again["to"]) == (first["from"], first["to"]) == (2, 4)


async def test_a_second_change_waits_for_the_cooldown(place):
    await deployed(place)
    await run(scale(place))
    decision = await run(scale(place, "vector(180)", cooldown=600), "run-2")
    assert decision["to"] == 4
    assert "seconds of cooldown" in decision["reason"]
    assert (await run(scale(place, "vector(180)", cooldown=0), "run-3"))["to"] == 6


async def test_a_dip_is_not_followed_while_the_window_remembers_more(place):
    await deployed(place, 4)
    # 30 in this very minute, and 120 before.
    dip = f"30 + 90 * (vector(time() < bool {time.time():.0f} - 20))"
    assert (await run(scale(place, dip, stabilise_down=120)))["to"] == 4
    assert (await run(scale(place, dip, stabilise_down=0)))["to"] == 1


async def test_bounds_hold_whatever_the_metric_says(place):
    await deployed(place)
    assert (await run(scale(place, "vector(1e9)")))["to"] == 6


@pytest.mark.parametrize("query", ["nothing_of_that_name", "vector(0) / 0"])
async def test_without_data_nothing_is_changed(place, query):
    await deployed(place)
    with pytest.raises(InconclusiveError, match=r"There is no value to size Deployment .*web by"):
        await run(scale(place, query))
    assert await size(place) == 2


async def test_who_owns_the_number_is_named(place):
    await deployed(place)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 5}
    metadata = {"name": "web", "namespace": place.namespace}
    hpa = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}
    await place.cluster.create(hpa)
    with pytest.raises(AirflowFailException, match="is written by HorizontalPodAutoscaler web"):
        await run(scale(place))
    decision = await run(scale(place, "vector(90)", on_owner="bounds"))
    assert (decision["from"], decision["to"]) == (2, 3)
    assert decision["owner"] == "HorizontalPodAutoscaler web"
    live = await place.cluster.get(place.ref("HorizontalPodAutoscaler", "web", "autoscaling/v2"))
    assert live["spec"]["minReplicas"] == 3


async def test_the_size_that_was_chosen_outlives_a_deferral(place):
    await deployed(place, kubelet=False)
    context = kept(run_of())
    with pytest.raises(TaskDeferred) as deferred:
        await asyncio.to_thread(scale(place, deferrable=True, defer_after=0).execute, context)
    assert deferred.value.trigger.size == 4
    # The metric has changed meanwhile, in vain.
    resumed = scale(place, "vector(0)", deferrable=True)
    decision = await asyncio.to_thread(resumed.execute_complete, context, passed("all available").as_event())
    assert (decision["from"], decision["to"]) == (2, 4)
    assert decision["reason"] == "120 at 30 a pod asks for 4 pods; all available"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"target": 0}, "target is 0"),
        ({"target": "many"}, "target is 'many'"),
        ({"minimum": 7}, "Bounds from 7 to 6 hold no size"),
        ({"query": "sum("}, "parse error"),
        ({"query": "requests_total"}, "makes 7 numbers"),
        ({"query": 'up{v="{version}"}'}, r"Nobody fills in \{version\}"),
        ({"tolerance": -1}, "tolerance is -1"),
    ],
)
async def test_wrong_input_ends_the_task_before_anything_is_changed(place, more, words):
    await deployed(place)
    with pytest.raises(AirflowFailException, match=words):
        await run(scale(place, **more))
    assert await size(place) == 2


async def test_a_service_may_follow_the_cloud_s_own_monitoring(place, clouds):
    await deployed(place)
    dimensions = {"tke_cluster_instance_id": "cls-local000", "workload_name": "{service}"}
    query = {"namespace": "QCE/TKE2", "metric": "K8sWorkloadCpuCoreUsed", "dimensions": dimensions}
    with pytest.raises(InconclusiveError, match=r"There is no value to size Deployment .*web by"):
        await run(scale(place, query, target=0.5))
    clouds._ask("POST", "metrics", {**query, "dimensions": {**dimensions, "workload_name": "web"}, "value": 1.8})
    decision = await run(scale(place, query, target=0.5))
    assert (decision["from"], decision["to"], await size(place)) == (2, 4, 4)
    assert decision["reason"].startswith("1.8 at 0.5 a pod asks for 4 pods; ")
