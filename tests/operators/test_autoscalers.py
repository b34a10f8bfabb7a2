"""HPAs on a real API server, with the real controller that looks after them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.live_cluster import run_of, until
from tke_provider.clients import leases
from tke_provider.clients.scaling import Number
from tke_provider.domain.owners import Owner
from tke_provider.domain.verdicts import passed
from tke_provider.exceptions import BusyError
from tke_provider.operators.autoscalers import TkeConfigureHpaOperator
from tke_provider.triggers.autoscalers import AutoscalerTrigger

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]

KIND = "HorizontalPodAutoscaler"


def configure(place, **more: Any) -> TkeConfigureHpaOperator:
    settings = {"minimum": 2, "maximum": 5, "metrics": {"nobodys_metric": 1}, "timeout": 1, "deferrable": False}
    where = {"namespace": place.namespace, "name": "web"}
    return TkeConfigureHpaOperator(task_id="hpa", poll_interval=0.2, **{**where, **settings, **more})


async def execute(operator: TkeConfigureHpaOperator) -> Any:
    return await asyncio.to_thread(operator.execute, run_of())


async def refused(operator: TkeConfigureHpaOperator) -> str:
    with pytest.raises(AirflowFailException) as caught:
        await execute(operator)
    return str(caught.value)


@pytest.fixture
async def web(place):
    manifest = place.workload(replicas=1)
    return await place.cluster.create({**manifest, "metadata": {"name": "web", "namespace": place.namespace}})


async def live(place, name: str = "web") -> dict | None:
    return await place.cluster.get(place.ref(KIND, name, "autoscaling/v2"))


async def test_a_metric_that_nobody_provides_is_told_in_the_hpas_own_words(place, web):
    await refused(configure(place))

    async def looked_for() -> bool:
        conditions = ((await live(place)).get("status") or {}).get("conditions") or ()
        return any(each["reason"] == "FailedGetPodsMetric" for each in conditions)

    await until(looked_for)
    said = await refused(configure(place))
    assert "does not see its metrics" in said
    assert "FailedGetPodsMetric" in said
    assert "nobodys_metric" in said or "custom.metrics.k8s.io" in said


async def test_the_hpa_is_what_was_asked_for(place, web):
    slow = {"scaleDown": {"stabilizationWindowSeconds": 120}}
    operator = configure(place, metrics={"cpu": 60, "network_out": "2M"}, behavior=slow)
    assert "stays and does not scale" in await refused(operator)
    spec = (await live(place))["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 5)
    assert [each["type"] for each in spec["metrics"]] == ["Resource", "Pods"]
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 120
    result = await asyncio.to_thread(
        operator.execute_complete, run_of(), passed("HorizontalPodAutoscaler web sees all").as_event()
    )
    assert result == {
        "name": f"{place.namespace}/web",
        "minimum": 2,
        "maximum": 5,
        "metrics": {"cpu": "60%", "k8s_pod_network_transmit_bytes_bw": "2M"},
        "reason": "HorizontalPodAutoscaler web sees all",
    }


async def test_an_hpa_that_is_there_is_changed_rather_than_joined_by_another(place, web):
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 9}},
    }
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3, "metrics": [metric]}
    metadata = {"name": "by-hand", "namespace": place.namespace}
    await place.cluster.create({"apiVersion": "autoscaling/v2", "kind": KIND, "metadata": metadata, "spec": spec})
    await refused(configure(place, metrics={"memory": 70}))
    assert await live(place) is None
    changed = (await live(place, "by-hand"))["spec"]
    assert changed["maxReplicas"] == 5
    assert [each["resource"]["name"] for each in changed["metrics"]] == ["memory"]


async def test_a_service_without_pods_is_refused_at_once_for_an_hpa_does_nothing_there(place):
    manifest = place.workload(replicas=0)
    await place.cluster.create({**manifest, "metadata": {"name": "web", "namespace": place.namespace}})
    assert "web has a size of 0, at which an HPA does nothing" in await refused(configure(place, timeout=60))
    assert await live(place) is None


async def test_a_service_that_is_being_released_is_left_alone(place, web):
    await leases.acquire(place.cluster, place.namespace, "web", "a-release")
    with pytest.raises(BusyError, match="a-release"):
        await execute(configure(place))
    assert await live(place) is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": "nowhere"}, "There is no Deployment .*nowhere"),
        ({"kind": "DaemonSet"}, "kind is 'DaemonSet'"),
        ({"minimum": 6}, "Bounds from 6 to 5"),
        ({"metrics": {}}, "would look at nothing"),
        ({"behavior": {"scaleDownn": {}}}, "scaleDownn"),
    ],
)
async def test_wrong_input_changes_nothing(place, web, more, words):
    with pytest.raises(AirflowFailException, match=words):
        await execute(configure(place, **more))
    assert await live(place) is None


async def test_an_hpa_that_is_deleted_meanwhile_is_not_waited_for(place):
    where = {"tke_conn_id": "tke_default", "deadline": 0.0, "namespace": place.namespace, "name": "web"}
    assert (await AutoscalerTrigger(**where).wait()).reason.endswith("web was deleted meanwhile")


def test_an_equal_trigger_can_be_made_from_what_is_stored():
    where = {"tke_conn_id": "tke_default", "deadline": 0.0, "namespace": "production", "name": "web"}
    path, arguments = AutoscalerTrigger(**where).serialize()
    assert path == "tke_provider.triggers.autoscalers.AutoscalerTrigger"
    assert AutoscalerTrigger(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


async def test_who_else_writes_the_size_is_named(place, web, monkeypatch):
    # Not by serving KEDA's kind: that the finder finds it is tried in test_services.py, and two tests that define and
    # remove the same kind in one cluster would get in each other's way.
    async def owned_by_keda(cluster, workload):
        return Number(workload, web, 1, Owner("keda.sh/v1alpha1", "ScaledObject", "by-queue"))

    monkeypatch.setattr("tke_provider.operators.autoscalers.find_number", owned_by_keda)
    assert "is written by ScaledObject by-queue" in await refused(configure(place))
    assert await live(place) is None
