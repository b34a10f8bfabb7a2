"""Dry runs: the checks of the task and a table of what it would change, and nothing is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.live_cluster import run_of
from tests.operators.scaling.test_services import eventually
from tke_provider.clients import leases
from tke_provider.domain.cron_scalers import API_VERSION, KIND
from tke_provider.operators.autoscalers import TkeConfigureHpaOperator
from tke_provider.operators.cron_scalers import TkeCronScalerOperator
from tke_provider.operators.metrics import TkeScaleOnMetricOperator
from tke_provider.operators.scaling import TkeScaleServiceOperator

if TYPE_CHECKING:
    from tke_provider.operators.rehearsals import TkeRehearsableOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]

HPA = ("autoscaling/v2", "HorizontalPodAutoscaler")
EVERYTHING = (("apps/v1", "Deployment"), HPA, (API_VERSION, KIND), ("coordination.k8s.io/v1", "Lease"))
MORNING = {"name": "morning", "schedule": "0 0 8 * * 1-5", "size": 4}


async def rehearse(place, kind: type[TkeRehearsableOperator], **more: Any) -> dict[str, Any]:
    settings = {"namespace": place.namespace, "name": "web", "dry_run": True, **more}
    return await asyncio.to_thread(kind(task_id="dry", **settings).execute, run_of())


async def written(place) -> dict[str, Any]:
    """Everything that a task may write; the cluster itself writes status and its own marks meanwhile."""
    found = {}
    for api_version, kind in EVERYTHING:
        for each in await place.cluster.list(api_version, kind, place.namespace):
            marks = each["metadata"].get("annotations") or {}
            ours = {name: text for name, text in marks.items() if name.startswith("tke.airflow/")}
            found[kind, each["metadata"]["name"]] = (each["spec"], ours)
    return found


@pytest.fixture
async def web(place, controller):
    """A service of two pods that none takes, in a cluster that has the add-on."""
    await eventually(lambda: place.cluster.list(API_VERSION, KIND, place.namespace))
    manifest = place.workload(kubelet=False, replicas=2)
    return await place.cluster.create({**manifest, "metadata": {"name": "web", "namespace": place.namespace}})


async def hpa(place, name: str = "web") -> None:
    spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 4}
    metadata = {"name": name, "namespace": place.namespace}
    await place.cluster.create({"apiVersion": HPA[0], "kind": HPA[1], "metadata": metadata, "spec": spec})


async def test_a_size_is_shown_with_its_owner_and_what_stands_against_it(place, web):
    before, ref = await written(place), f"Deployment {place.namespace}/web"
    shown = await rehearse(place, TkeScaleServiceOperator, replicas=5)
    row = {"ref": ref, "before": "2", "after": "5", "owner": "", "state": "to change", "reason": "as asked for"}
    assert shown["rows"] == [row]
    assert f"| {ref} | 2 | 5 | as asked for |  |  |  |" in shown["markdown"]
    assert (await rehearse(place, TkeScaleServiceOperator, replicas=2))["rows"][0]["state"] == "unchanged"
    with pytest.raises(AirflowFailException, match="above its maximum of 4"):
        await rehearse(place, TkeScaleServiceOperator, replicas=5, maximum=4)
    with pytest.raises(AirflowFailException, match="There is no Deployment"):
        await rehearse(place, TkeScaleServiceOperator, replicas=5, name="nowhere")
    assert await written(place) == before
    await hpa(place, "load")
    await leases.acquire(place.cluster, place.namespace, "web", "a-release")
    before = await written(place)
    (row,) = (await rehearse(place, TkeScaleServiceOperator, replicas=4))["rows"]
    told = "its size is written by HorizontalPodAutoscaler load; it is being changed by a-release"
    assert (row["state"], row["reason"]) == ("blocked", told)
    (row,) = (await rehearse(place, TkeScaleServiceOperator, replicas=3, on_owner="bounds"))["rows"]
    assert (row["before"], row["after"], row["owner"]) == ("1..4", "3..4", "HorizontalPodAutoscaler load")
    assert await written(place) == before


async def test_a_size_that_a_metric_asks_for_is_shown_with_its_value(place, web, prometheus):
    settings = {"query": "sum(queue_length)", "target": 30, "minimum": 1, "maximum": 6}
    before = await written(place)
    (row,) = (await rehearse(place, TkeScaleOnMetricOperator, **settings))["rows"]
    assert (row["before"], row["after"], row["reason"]) == ("2", "4", "120 at 30 a pod asks for 4 pods")
    assert await written(place) == before


async def test_an_hpa_is_checked_by_the_cluster_and_shown_by_what_it_would_look_at(place, web):
    before, settings = await written(place), {"minimum": 1, "maximum": 3, "metrics": {"cpu": 70, "network_out": "2M"}}
    (row,) = (await rehearse(place, TkeConfigureHpaOperator, **settings))["rows"]
    looks = "cpu 70%, k8s_pod_network_transmit_bytes_bw 2M"
    assert (row["before"], row["after"], row["state"]) == ("none", f"1..3 by {looks}", "to change")
    with pytest.raises(AirflowFailException, match="scaleDownn"):
        await rehearse(place, TkeConfigureHpaOperator, **settings, behavior={"scaleDownn": {}})
    assert await written(place) == before
    await hpa(place, "load")
    before = await written(place)
    (row,) = (await rehearse(place, TkeConfigureHpaOperator, **settings))["rows"]
    assert (row["ref"], row["before"]) == (f"HorizontalPodAutoscaler {place.namespace}/load", "1..4 by cpu 80%")
    slow = {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}
    (row,) = (await rehearse(place, TkeConfigureHpaOperator, minimum=1, maximum=4, metrics={"cpu": 80}, **slow))["rows"]
    assert row["after"] == "1..4 by cpu 80%, at another pace"
    assert await written(place) == before


async def test_a_cron_scaler_is_shown_by_its_rules_and_by_who_else_writes_the_size(place, web):
    before, settings = await written(place), {"name": "hours", "target": "web"}
    (row,) = (await rehearse(place, TkeCronScalerOperator, **settings, rules=[MORNING]))["rows"]
    assert (row["before"], row["after"], row["state"]) == ("none", "morning: 4 at 0 0 8 * * 1-5", "to change")
    (row,) = (await rehearse(place, TkeCronScalerOperator, **settings, state="absent"))["rows"]
    assert (row["after"], row["state"]) == ("none", "unchanged")
    assert await written(place) == before
    await hpa(place, "load")
    before = await written(place)
    (row,) = (await rehearse(place, TkeCronScalerOperator, **settings, rules=[MORNING]))["rows"]
    assert row["state"] == "blocked"
    assert f"is written by HorizontalPodAutoscaler {place.namespace}/load already" in row["reason"]
    assert await written(place) == before
