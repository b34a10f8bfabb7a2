"""The loop of an HPA, whole: a load, a real Prometheus, the adapter, the HPA's controller, and real pods."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.live_cluster import Place, run_of, until
from tests.shop_on_a_node import asked, expose, start
from tke_provider.operators.autoscalers import TkeConfigureHpaOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected", "adapter"), pytest.mark.timeout(600)]

AT_ONCE = {"scaleDown": {"stabilizationWindowSeconds": 0}}
# CPU and memory in per cent of what a pod requests; TKE's own names for them are there, too, far from their targets.
METRICS = {
    "cpu": 70,
    "memory": 100,
    "network_out": "500",
    "k8s_pod_cpu_core_used": "1",
    "k8s_pod_mem_usage_bytes": "1Gi",
}
SEEN = {"cpu": "70%", "memory": "100%", "k8s_pod_network_transmit_bytes_bw": "500"}
ROOM = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "100m", "memory": "192Mi"}}
# What one answer of a service costs, and what its HPA says when that was too much. The full one keeps its 96 MiB for 5
# seconds, in the pod and not in the test: memory that is given back at once is seen by no scrape.
ANSWERS = {
    "busy": ("sum(range(2 * 10**6)) and b'.'", "cpu resource utilization (percentage of request)"),
    "full": ("(b'.' * (96 << 20), time.sleep(5))[0][:1]", "memory resource utilization (percentage of request)"),
    "wordy": ("b'.' * 2000", "pods metric k8s_pod_network_transmit_bytes_bw"),
}


async def test_services_grow_with_the_cpu_the_memory_or_the_bandwidth_they_use_and_shrink_again(place, python):
    for service, (answer, _) in ANSWERS.items():
        await expose(place, service, by="release")
        edits = {"before": "status, payload = answer()", "after": f"status, payload = 200, {answer}"}
        await start(place, python, "shop", service, resources=ROOM, **edits)
    async with contextlib.AsyncExitStack() as load:
        for service in ANSWERS:
            await load.enter_async_context(asked(place, service))
        configured = await asyncio.gather(*(asyncio.to_thread(hpa(place, each).execute, run_of()) for each in ANSWERS))
        assert all(each["metrics"].items() >= SEEN.items() for each in configured)
        await comes_to(place, 2)
    await comes_to(place, 1)
    for service, (_, why) in ANSWERS.items():
        up, down = f"New size: 2; reason: {why} above target", "New size: 1; reason: All metrics below target"
        assert await told(place, service) == {up, down}


def hpa(place: Place, service: str) -> TkeConfigureHpaOperator:
    """Every service gets the same one."""
    return TkeConfigureHpaOperator(
        task_id=service,
        namespace=place.namespace,
        name=service,
        minimum=1,
        maximum=2,
        metrics=METRICS,
        behavior=AT_ONCE,
        poll_interval=1,
    )


async def comes_to(place: Place, number: int) -> None:
    """Wait for every service; one may go back already while another is still on its way."""

    async def has(service: str) -> bool:
        live = await place.cluster.get(place.ref("Deployment", service))
        return live["status"].get("readyReplicas") == number

    await asyncio.gather(*(until(lambda service=service: has(service), 120) for service in ANSWERS))


async def told(place: Place, service: str) -> set[str]:
    """Say why a service was resized, in its HPA's words."""
    selector = f"reason=SuccessfulRescale,involvedObject.name={service}"
    events = await place.cluster.list("v1", "Event", place.namespace, field_selector=selector)
    return {each["message"] for each in events}
