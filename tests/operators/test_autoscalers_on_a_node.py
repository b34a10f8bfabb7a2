"""The loop of an HPA, whole: a load, a real Prometheus, the adapter, the HPA's controller, and real pods."""

from __future__ import annotations

import asyncio

import pytest

from tests.live_cluster import run_of, until
from tests.shop_on_a_node import asked, expose, start
from tke_provider.operators.autoscalers import TkeConfigureHpaOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected", "adapter"), pytest.mark.timeout(300)]

AT_ONCE = {"scaleDown": {"stabilizationWindowSeconds": 0}}


async def test_a_service_grows_with_what_it_sends_and_shrinks_again(place, python):
    for service in ("prices", "stock", "shop"):
        await expose(place, service)
        await start(place, python, service)
    operator = TkeConfigureHpaOperator(
        task_id="hpa",
        namespace=place.namespace,
        name="shop",
        minimum=1,
        maximum=3,
        # The shop answers some two hundred bytes, and is asked some fifteen times a second.
        metrics={"network_out": "500"},
        behavior=AT_ONCE,
    )

    async def pods(number: int) -> bool:
        live = await place.cluster.get(place.ref("Deployment", "shop"))
        return live["status"].get("readyReplicas") == number

    async with asked(place, "shop"):
        configured = await asyncio.to_thread(operator.execute, run_of())
        assert configured["metrics"] == {"k8s_pod_network_transmit_bytes_bw": "500"}
        await until(lambda: pods(3), 120)
    await until(lambda: pods(1), 120)
