from __future__ import annotations

import time

import pytest

from tke_provider.triggers.helm import HelmAbsenceTrigger, HelmTrigger
from tke_provider.triggers.scans import ScanTrigger

RELEASE = {"release": "web", "namespace": "shop", "cluster_id": "cls-1", "region": None, "change": "id", "after": 2}
SCAN = {"registry_id": "tcr-1", "repository": "test/web", "digest": "sha256:0", "limits": {"high": 0}}


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [(HelmTrigger, RELEASE), (HelmAbsenceTrigger, RELEASE), (ScanTrigger, {**SCAN, "scanned_before": "monday"})],
)
def test_an_equal_trigger_is_made_elsewhere_from_ids_alone(kind, arguments):
    trigger = kind(tke_conn_id="tke_default", deadline=1.0, **arguments)
    path, kept = trigger.serialize()
    assert path == f"{kind.__module__}.{kind.__qualname__}"
    assert arguments.items() <= kept.items()
    assert kind(**kept).serialize() == (path, kept)


@pytest.mark.asyncio
async def test_a_cluster_that_is_not_there_ends_the_wait_at_once(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    asked = {**RELEASE, "cluster_id": "cls-unknown0"}
    trigger = HelmTrigger(tke_conn_id="tke_default", deadline=time.time() + 60, **asked)
    verdict = await trigger.wait()
    assert (verdict.state.value, "cls-unknown0" in verdict.reason) == ("failed", True)


@pytest.mark.asyncio
async def test_a_cloud_that_hiccups_is_asked_again(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    asked = {**SCAN, "registry_id": "tcr-local000"}
    cloud.trouble("throttle", "DescribeAssetImageRegistryList")
    trigger = ScanTrigger(tke_conn_id="tke_default", deadline=time.time() + 60, poll_interval=0.1, **asked)
    assert (await trigger.wait()).state.value == "inconclusive"
    assert len(cloud.calls("DescribeAssetImageRegistryList")) == 2
