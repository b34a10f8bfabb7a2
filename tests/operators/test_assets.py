from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import Asset
from airflow.sdk.execution_time.context import OutletEventAccessors
from airflow.sdk.execution_time.task_runner import _build_asset_profiles, _serialize_outlet_events

from tests.live_cluster import deploy, named, refused, released, run_of
from tke_provider.domain.releases import Record
from tke_provider.operators.assets import emit_release, release_asset

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
RECORD = Record(service="shop", namespace="production", op="x", commit="c", started=NOW, finished=NOW)


def emitted(cluster_id: str | None, times: int = 1, region: str | None = None) -> tuple[list, list]:
    """What Airflow would hear of a task that released: its outlets and their events."""
    task = SimpleNamespace(tke_conn_id="tke_default", region=region, outlets=[])
    context = {"task": task, "outlet_events": OutletEventAccessors()}
    for _ in range(times):
        emit_release(context, RECORD, cluster_id)
    return list(_build_asset_profiles(task.outlets)), list(_serialize_outlet_events(context["outlet_events"]))


def test_a_release_is_an_event_of_its_asset_although_nobody_listed_an_outlet():
    outlets, events = emitted("cls-1")
    assert [(each.name, each.type) for each in outlets] == [("tke-releases", "AssetAlias")]
    assert [each["dest_asset_key"]["uri"] for each in events] == ["tke://cls-1/production/shop"]
    assert events[0]["extra"]["commit"] == "c"


def test_the_event_is_of_the_very_asset_that_others_are_scheduled_on():
    _, (event,) = emitted("cls-1")
    asset = release_asset("cls-1", "production", "shop")
    assert event["dest_asset_key"] == {"name": asset.name, "uri": asset.uri}
    assert asset == Asset("tke://cls-1/production/shop")


def test_a_cluster_without_an_id_is_named_by_its_connection():
    _, (event,) = emitted("")
    assert event["dest_asset_key"]["uri"] == "tke://tke_default/production/shop"


def test_the_event_tells_through_which_connection_and_region_it_came():
    told = [emitted("cls-1", region=region)[1][0]["extra"] for region in ("ap-shanghai", None)]
    assert [(each["connection"], each["region"]) for each in told] == [
        ("tke_default", "ap-shanghai"),
        ("tke_default", ""),
    ]


def test_the_alias_is_an_outlet_once():
    outlets, _ = emitted("cls-1", times=2)
    assert len(outlets) == 1


@pytest.mark.stack
@pytest.mark.usefixtures("connected")
async def test_a_service_that_went_live_is_told_of_with_its_digest_and_way_back(place):
    first = deploy(place, "a")
    await released(first, {**run_of("run-1"), "task": first, "outlet_events": OutletEventAccessors()})
    second = deploy(place, "b", approver="bob", checks=["12 tests passed"])
    context = {**run_of("run-2"), "task": second, "outlet_events": OutletEventAccessors()}
    await released(second, context)
    (event,) = _serialize_outlet_events(context["outlet_events"])
    assert event["dest_asset_key"]["uri"] == f"tke://tke_default/{place.namespace}/web"
    told = event["extra"]
    assert (told["images"], told["way_back"]) == ({"web": named("b")}, {"web/web": named("a")})
    assert (told["approver"], told["checks"], told["revision"]) == ("bob", ["12 tests passed"], 2)
    assert told["duration"] > 0


@pytest.mark.stack
@pytest.mark.usefixtures("connected")
async def test_a_release_that_failed_is_not_told_of(place):
    broken = deploy(place, "a", place.workload(kubelet=False), timeout=1)
    context = {**run_of(), "task": broken, "outlet_events": OutletEventAccessors()}
    await refused(broken, context)
    assert list(_serialize_outlet_events(context["outlet_events"])) == []
