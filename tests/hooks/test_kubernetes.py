"""The way from a connection to a cluster, with no more questions than needed."""

from __future__ import annotations

import pytest

from tke_provider.hooks import kubernetes, tencent_cloud
from tke_provider.hooks.kubernetes import TkeKubernetesHook


@pytest.fixture
def reads(monkeypatch):
    """Which connections Airflow was asked for; each one costs a request to the API server."""
    seen, find = [], tencent_cloud.find_connection

    async def counting(conn_id, *more):
        seen.append(conn_id)
        return await find(conn_id, *more)

    monkeypatch.setattr(tencent_cloud, "find_connection", counting)
    monkeypatch.setattr(kubernetes, "_kubeconfigs", {})
    return seen


@pytest.mark.parametrize("cluster_id", [None, "cls-local000"])
async def test_a_look_reads_the_connection_once_and_the_kubeconfig_rarely(cloud, monkeypatch, reads, cluster_id):
    cloud.connect(monkeypatch)
    hook = TkeKubernetesHook("tke_default", cluster_id)
    assert (await hook.cluster()).name == "cls-local000"
    assert reads == ["tke_default"]
    await hook.cluster()
    assert reads == ["tke_default"] * 2
    assert len(cloud.calls("DescribeClusterKubeconfig")) == 1
