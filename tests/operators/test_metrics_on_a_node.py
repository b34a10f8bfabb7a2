"""Two versions of the sample shop serve side by side, a real Prometheus scrapes them, and a gate tells them apart."""

from __future__ import annotations

import asyncio
import re

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from local.endpoints import PROMETHEUS_URL
from tests.live_cluster import run_of, until
from tests.shop_on_a_node import asked, expose, start
from tke_provider.operators.metrics import TkeMetricGateOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]

OF = 'namespace="{namespace}",version="{version}"'
ERROR_RATE = f'sum(rate(http_requests_total{{{OF},status=~"5.."}}[30s])) / sum(rate(http_requests_total{{{OF}}}[30s]))'
GATE = {
    "name": "error rate",
    "query": ERROR_RATE,
    "at_most_times_baseline": 1.5,
    "slack": 0.01,
    "samples": f"sum(increase(http_requests_total{{{OF}}}[30s]))",
    "min_samples": 20,
}


def gate(place, new: str, old: str) -> TkeMetricGateOperator:
    return TkeMetricGateOperator(
        task_id="gate",
        gates=[GATE],
        new={"namespace": place.namespace, "version": new},
        old={"version": old},
        looks=3,
        interval=5,
        inconclusive="wait",
        timeout=180,
    )


async def test_a_version_that_fails_more_than_the_old_one_is_stopped_and_a_good_one_is_not(place, python, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_PROMETHEUS_DEFAULT", PROMETHEUS_URL.replace("http:", "prometheus:"))

    async def ready() -> bool:
        listed = await place.cluster.list("apps/v1", "Deployment", place.namespace)
        return all(each["status"].get("readyReplicas") for each in listed)

    for service in ("prices", "stock", "shop"):
        await expose(place, service)
    for service in ("prices", "stock"):
        await start(place, python, service)
    await until(ready)  # a good version has no error from when it did not find them yet
    await start(place, python, "shop")
    await start(place, python, "shop", "shop-good", "v2")
    edits = {"before": 'fetch("stock")', "after": 'fetch("no-such-stock")'}
    await start(place, python, "shop", "shop-broken", "v3", **edits)
    await until(ready)
    async with asked(place, "shop"):
        looks = [asyncio.to_thread(gate(place, new, "v1").execute, run_of()) for new in ("v2", "v3")]
        good, broken = await asyncio.gather(*looks, return_exceptions=True)
    assert good["verdict"] == "passed"
    assert isinstance(broken, AirflowFailException)
    assert re.search(
        r"error rate of the new version is 1, above the \S+ that the old version's \S+ allows", str(broken)
    )
