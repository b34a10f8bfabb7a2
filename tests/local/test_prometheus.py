from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from local import endpoints
from local.part import Settings
from local.prometheus import Prometheus
from local.targets import targets
from tests.live_cluster import until


def pod(name: str = "shop-1", phase: str = "Running", ip: str = "10.199.0.7", **annotations: str) -> dict:
    marks = {f"prometheus.io/{key}": value for key, value in annotations.items()}
    metadata = {"name": name, "namespace": "production", "labels": {"app": "shop"}, "annotations": marks}
    return {"metadata": metadata, "spec": {"nodeName": "local"}, "status": {"phase": phase, "podIP": ip}}


def test_a_pod_that_asks_for_it_is_scraped():
    assert targets([pod(scrape="true", port="8080")]) == [
        {
            "targets": ["10.199.0.7:8080"],
            "labels": {"namespace": "production", "pod": "shop-1", "node": "local", "app": "shop"},
        }
    ]


@pytest.mark.parametrize(
    "silent",
    [
        pod(),
        pod(scrape="false"),
        pod(scrape="true", ip=""),
        pod(phase="Pending", scrape="true"),
        pod(phase="Succeeded", scrape="true"),
        {"metadata": {"name": "bare", "namespace": "default"}, "spec": {}},
    ],
)
def test_any_other_is_left_alone(silent):
    assert targets([silent]) == []


def test_the_kubelet_is_scraped_only_where_the_cluster_is_ours():
    def jobs(settings: Settings) -> list[str]:
        return [job["job_name"] for job in Prometheus(settings).configuration()["scrape_configs"]]

    assert jobs(Settings()) == ["pods", "kubelet"]
    assert jobs(Settings(kubeconfig=Path("/home/me/.kube/config"))) == ["pods"]


@pytest.mark.stack
async def test_the_nodes_memory_is_known():
    async with httpx.AsyncClient(base_url=endpoints.PROMETHEUS_URL) as http:

        async def known() -> list:
            answer = await http.get("/api/v1/query", params={"query": "node_memory_working_set_bytes"})
            return answer.json()["data"]["result"]

        (found,) = await until(known)
    assert float(found["value"][1]) > 2**20
