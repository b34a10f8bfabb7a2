"""Canaries that get their share by weights behind a CLB.

TKE's controller of Services is not up: shown is what it would be told.
"""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from tests.live_cluster import image, named, refused, released, run_of
from tests.operators.test_canaries import canary, come_to, service
from tests.operators.test_rollouts import free, record_of
from tests.process_of_a_release import RETRY, at_length, killed_after, path_of
from tke_provider.clients import releases
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.releases import Stage
from tke_provider.domain.tracks import TRACK
from tke_provider.operators.canaries import TkeCanaryDeployOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]


WEIGHT = "service.cloud.tencent.com/custom-weight"
DIRECT = {"service.cloud.tencent.com/direct-access": "true"}


@pytest_asyncio.fixture
async def controller_of_services(place):
    """What TKE's controller of Services says of its version."""
    name = "tke-service-controller-config"
    metadata = {"name": name, "namespace": "kube-system"}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"VERSION": "v2.5.0"}}
    await place.cluster.apply(config)
    yield config
    await place.cluster.delete(ObjectRef.of(config))


def behind_a_clb(place, weight: str | None = "10", **annotations: str) -> list[dict]:
    workload, front = place.workload(replicas=4), service()
    if weight:
        workload["spec"]["template"]["metadata"]["annotations"] = {WEIGHT: weight}
    front["metadata"]["annotations"] = annotations
    front["spec"] |= {"type": "LoadBalancer"}
    return [workload, front]


async def test_the_pods_of_a_canary_behind_a_clb_weigh_its_share_at_each_step(place, controller_of_services):
    given = behind_a_clb(place, **DIRECT)
    await released(canary(place, "a", *given))
    steps = [{"weight": 10, "pause": 1}, {"weight": 50, "pause": 2}]
    going = asyncio.create_task(released(canary(place, "b", *given, traffic="clb", steps=steps), run_of("run-2")))
    seen: list[list[str]] = []
    while not going.done():
        pods = await place.pods(**{TRACK: "canary"})
        now = sorted(pod["metadata"]["annotations"][WEIGHT] for pod in pods)
        assert len(set(now)) <= 1, "two weights would add up"
        if now and now != seen[-1:]:
            seen.append(now)
        await asyncio.wait({going}, timeout=0.1)
    assert (await going)["images"] == {"web/web": named("b")}
    assert ["4"] in seen
    assert ["20", "20"] in seen
    await come_to(place, {named("b"): 4})
    assert {pod["metadata"]["annotations"][WEIGHT] for pod in await place.pods()} == {"10"}
    assert await place.cluster.get(place.ref("Deployment", "web-canary")) is None


@pytest.mark.parametrize("moment", [r"PATCH .*/deployments/web\?", *at_length("PATCH .*/deployments/web-canary")])
async def test_a_worker_killed_when_a_clb_was_told_new_weights_is_taken_over_by_the_retry(
    place, controller_of_services, moment
):
    given = behind_a_clb(place, **DIRECT)
    await released(canary(place, "a", *given))
    arguments = {"manifests": given, "images": {"web": image("b")}, "namespace": place.namespace, "poll_interval": 0.5}
    arguments |= {"task_id": "deploy", "traffic": "clb", "steps": [{"weight": 50, "pause": 1}]}
    await killed_after(moment, path_of(TkeCanaryDeployOperator), arguments, "run-2")
    release = await released(TkeCanaryDeployOperator(**arguments), RETRY)
    assert (release["images"], release["previous"]) == ({"web/web": named("b")}, {"web/web": named("a")})
    history = await releases.history(place.cluster, place.namespace, "web")
    assert [(each.revision, each.stage) for each in history] == [(2, Stage.LIVE), (1, Stage.LIVE)]
    await come_to(place, {named("b"): 4})
    assert {pod["metadata"]["annotations"][WEIGHT] for pod in await place.pods()} == {"10"}
    assert await place.cluster.get(place.ref("Deployment", "web-canary")) is None
    assert await free(place)


async def test_a_clb_that_would_not_go_by_weights_is_refused_before_anything_is_changed(place, controller_of_services):
    async def said(digit: str, run: str, *given: dict) -> str:
        return await refused(canary(place, digit, *given, traffic="clb"), run_of(run))

    async def release(*given: dict) -> None:
        await released(canary(place, "a", *given, steps=[50]), run_of(f"run-{len(given[1]['metadata'])}"))

    await release(place.workload(replicas=4), service())
    assert "No CLB leads to Deployment" in await said("b", "b", place.workload(replicas=4), service())
    await place.cluster.delete(place.ref("Service", "web", "v1"))
    unsaid = behind_a_clb(place, None)
    front = {**unsaid[1], "metadata": {**unsaid[1]["metadata"], "namespace": place.namespace}}
    await place.cluster.create(front)
    assert "sends to nodes" in await said("b", "c", *unsaid)
    await place.cluster.patch(ObjectRef.of(front), {"metadata": {"annotations": DIRECT}})
    assert "do not say what they weigh" in await said("b", "d", *behind_a_clb(place, "10", **DIRECT))
    config = ObjectRef.of(controller_of_services)
    await place.cluster.patch(config, {"data": {"VERSION": "v2.3.1"}})
    assert "has to be 2.4.0 or newer" in await said("b", "e", *behind_a_clb(place, "10", **DIRECT))
    assert (await record_of(place)).revision == 1
