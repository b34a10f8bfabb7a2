"""A cluster for a day, from its making to its deletion."""

from __future__ import annotations

import asyncio

import pytest

from local.endpoints import REGION, SECRET_ID
from tke_provider.clients.credentials import StaticKey
from tke_provider.clients.tencent_cloud import TencentCloudClient

pytestmark = [pytest.mark.e2e, pytest.mark.aside]
TKE = ("tke", "2018-05-25")


@pytest.fixture(autouse=True)
def no_leftovers(airflow):
    """Delete what a test left, before it and after: the emulator remembers."""

    async def delete() -> None:
        key = StaticKey(SECRET_ID, airflow.secret_key)
        async with TencentCloudClient(key, REGION, endpoint=airflow.emulator_url) as cloud:
            for each in (await cloud.call(*TKE, "DescribeClusters", {}))["Clusters"]:
                if each["ClusterName"] == "for-a-day":
                    named = {"ClusterId": each["ClusterId"], "InstanceDeleteMode": "terminate"}
                    await cloud.call(*TKE, "DeleteCluster", named)

    asyncio.run(delete())
    yield
    asyncio.run(delete())


def test_a_cluster_is_made_used_and_deleted(run_dag):
    run = run_dag("cluster_for_a_day", {"nodes": 2})
    assert run.state == "success", run.states
    made = run.result("cluster")
    assert run.result("pool")["nodes"] == 2
    assert run.result("way_in")["endpoint"] == "private"
    assert run.result("no_cluster")["cluster_id"] == made["cluster_id"]
    assert run.result("no_cluster")["reason"].endswith("is gone")


def test_a_cluster_that_is_still_used_stays_and_the_next_run_names_it(run_dag):
    kept = run_dag("cluster_for_a_day", {"nodes": 1}, approval="Reject")
    assert kept.states["no_cluster"] == "skipped"
    cluster_id = kept.result("cluster")["cluster_id"]
    refused = run_dag("cluster_for_a_day", {"nodes": 1})
    assert refused.states["cluster"] == "failed"
    assert cluster_id in refused.reason("cluster")
