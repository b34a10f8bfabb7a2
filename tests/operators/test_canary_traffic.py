"""Canaries that get their share by an Ingress of ingress-nginx.

Its controller is not up: shown is what the cluster is told, in which order, and that nothing of it stays. Requests go
through a controller of Ingresses in ``test_canary_requests.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from types import SimpleNamespace

import pytest
import pytest_asyncio

from tests.live_cluster import image, named, refused, released, report, run_of, until
from tests.operators.test_canaries import canary, come_to, running, service, serving
from tests.operators.test_rollouts import CRASHED, free, record_of
from tests.process_of_a_release import RETRY, path_of, process
from tke_provider.clients import releases, tracks
from tke_provider.clients.kubernetes import Cluster
from tke_provider.clients.releases import ServiceRelease
from tke_provider.domain.canaries import SCALE_DOWN_DELAY
from tke_provider.domain.ingresses import API_VERSION, weight_of
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.releases import Stage
from tke_provider.domain.tracks import HASH
from tke_provider.operators.base import operation_of
from tke_provider.operators.canaries import TkeCanaryDeployOperator
from tke_provider.operators.rollouts import TkeDeployServiceOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]

PATIENT = [{"weight": 25, "pause": 600}]
BROKEN = {
    "conditions": [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "False"}],
    "containerStatuses": [{**CRASHED, "name": "web", "image": "web", "imageID": "", "ready": False, "restartCount": 2}],
}


def ingress(class_name: str | None) -> dict:
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}
    spec = {"ingressClassName": class_name, "rules": [{"host": "web.example", "http": {"paths": [path]}}]}
    return {"apiVersion": API_VERSION, "kind": "Ingress", "metadata": {"name": "web"}, "spec": spec}


@dataclasses.dataclass
class Shop:
    """A service behind an Ingress, and everything that is written while it is released."""

    place: object
    class_name: str
    kubeconfig: str
    waits: list[tuple] = dataclasses.field(default_factory=list)

    def manifests(self, **spec: object) -> list[dict]:
        workload = self.place.workload(**{"replicas": 4, **spec})
        return [workload, service(), ingress(self.class_name)]

    def canary(self, digit: str, *manifests: dict, **more: object) -> TkeCanaryDeployOperator:
        given = {"traffic": "ingress", "steps": [25, 50], **more}
        return canary(self.place, digit, *(manifests or self.manifests()), **given)

    async def get(self, kind: str, name: str = "web-canary", version: str = API_VERSION) -> dict | None:
        return await self.place.cluster.get(self.place.ref(kind, name, version))

    async def weight(self) -> str:
        return weight_of(await self.get("Ingress"))

    async def selector(self) -> dict:
        return (await self.get("Service", "web", "v1"))["spec"]["selector"]

    async def sleep(self, seconds: float) -> None:
        """Write down how a canary is when its controller is to hear that it takes nothing, instead of waiting."""
        if seconds != SCALE_DOWN_DELAY:
            await asyncio.sleep(seconds)
            return
        async with Cluster(self.kubeconfig) as cluster:  # for the release sleeps in a thread of its own
            seen = Shop(dataclasses.replace(self.place, cluster=cluster), self.class_name, "")
            there = await seen.get("Deployment", version="apps/v1"), await seen.get("Service", version="v1")
            self.waits.append((await seen.weight(), all(there)))

    async def clean(self, digit: str, ends: int = 1) -> None:
        """One version serves, and nothing of a canary is left; each one that ended was there until that was heard."""
        assert self.waits == [("0", True)] * ends
        left = [await self.get("Ingress"), await self.get("Service", version="v1")]
        assert [*left, await self.get("Deployment", version="apps/v1")] == [None, None, None]
        assert await self.selector() == {"app": "web"}
        assert await serving(self.place) == named(digit)
        await come_to(self.place, {named(digit): 4})
        assert await free(self.place)

    async def half_way(self, run: str = "run-2", **more: object) -> tuple[TkeCanaryDeployOperator, asyncio.Task]:
        """A canary that waits in its first step, with its share of the requests."""
        operator, context = self.canary("b", **{"steps": PATIENT, **more}), run_of(run)
        waiting = asyncio.create_task(released(operator, context))

        async def paused() -> bool:
            assert not waiting.done(), waiting.exception()
            record = await record_of(self.place)
            return record.op == operation_of(context).id and record.since is not None

        await until(paused)
        return operator, waiting


@contextlib.asynccontextmanager
async def told(place, *kinds: tuple[str, str]):
    """What the cluster is told of these kinds, in this order: a list that fills while it is open."""
    said: list[tuple[str, dict]] = []

    async def listen(version: str, kind: str) -> None:
        async for event, live in place.cluster.watch(version, kind, place.namespace):
            said.append((event, live))

    tasks = [asyncio.create_task(listen(*each)) for each in kinds]
    try:
        yield said
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest_asyncio.fixture
async def shop(place, kubeconfig, monkeypatch):
    """A service that is released in version a, and an IngressClass of ingress-nginx that nobody else uses."""
    ref = ObjectRef(API_VERSION, "IngressClass", "", place.namespace)
    spec = {"controller": "k8s.io/ingress-nginx"}
    metadata = {"name": ref.name}
    await place.cluster.create({"apiVersion": API_VERSION, "kind": ref.kind, "metadata": metadata, "spec": spec})
    try:
        made = Shop(place, ref.name, kubeconfig)
        monkeypatch.setattr(tracks, "asyncio", SimpleNamespace(sleep=made.sleep))
        await released(canary(place, "a", *made.manifests()))
        yield made
    finally:
        await place.cluster.delete(ref)


def line_of(event: str, live: dict) -> str:
    """What was written, in words."""
    spec, name = live["spec"], f"{live['kind']} {live['metadata']['name']}"
    if event == "DELETED":
        return f"{name} gone"
    if live["kind"] == "Service":
        return f"{name} led to {'one version' if HASH in (spec.get('selector') or {}) else 'all pods'}"
    if live["kind"] == "Ingress":
        return f"{name} takes {weight_of(live) or 'the rest'}"
    return f"{name} runs {spec['template']['spec']['containers'][0]['image'][-1]}"


def in_order(said: list[tuple[str, dict]]) -> list[str]:
    """What was written, each change once: the cluster numbers its writes over all kinds."""
    said = sorted(said, key=lambda each: int(each[1]["metadata"]["resourceVersion"]))
    seen: dict[str, str] = {}
    lines = []
    for event, live in said:
        line, name = line_of(event, live), f"{live['kind']} {live['metadata']['name']}"
        if seen.get(name) != line:
            lines.append(line)
        seen[name] = line
    return lines


WATCHED = (("v1", "Service"), (API_VERSION, "Ingress"), ("apps/v1", "Deployment"))


def moments(lines: list[str], *wanted: str) -> list[int]:
    """When each of these was first written."""
    assert not set(wanted) - set(lines), lines
    return [lines.index(each) for each in wanted]


async def test_each_step_moves_the_weight_of_the_ingress_and_nothing_of_the_canary_stays(shop):
    async with told(shop.place, *WATCHED) as said:
        going = asyncio.create_task(released(shop.canary("b", steps=[25, {"weight": 50, "pause": 2}]), run_of("run-2")))

        async def at_half() -> bool:
            return await shop.weight() == "50" and await running(shop.place) == {named("a"): 4, named("b"): 2}

        await until(at_half)
        assert (await shop.selector()).keys() == {"app", HASH}
        made = await shop.get("Ingress")
        (path,) = made["spec"]["rules"][0]["http"]["paths"]
        assert path["backend"]["service"]["name"] == "web-canary"
        release = await going
    assert (release["images"], release["previous"]) == ({"web/web": named("b")}, {"web/web": named("a")})
    await shop.clean("b")
    lines = in_order(said)
    lines.remove("Service web led to all pods")  # as it was before
    order = moments(
        lines,
        "Service web led to one version",
        "Deployment web-canary runs b",
        "Ingress web-canary takes 25",
        "Ingress web-canary takes 50",
        "Service web led to all pods",
        "Deployment web runs b",
        "Ingress web-canary takes 0",
        "Ingress web-canary gone",
        "Deployment web-canary gone",
    )
    assert order == sorted(order)


async def test_a_canary_that_breaks_takes_nothing_before_its_pods_go_and_no_user_meets_them(shop):
    _, waiting = await shop.half_way()
    async with told(shop.place, *WATCHED) as said:
        await report(shop.place, await shop.place.pod(named("b")), BROKEN)
        with pytest.raises(Exception, match=r"step 1 of 1, 25 percent by 1 pod: .*crashed 3 times"):
            await waiting
        await shop.clean("a")
    order = moments(
        in_order(said),
        "Ingress web-canary takes 0",
        "Ingress web-canary gone",
        "Deployment web-canary gone",
        "Service web led to all pods",
    )
    assert order == sorted(order)
    assert (await record_of(shop.place)).stage is Stage.ROLLED_BACK


async def test_a_canary_none_of_whose_pods_answers_takes_nothing_until_one_does(shop):
    operator, waiting = await shop.half_way()
    pod = await shop.place.pod(named("b"))
    ready = {"conditions": pod["status"]["conditions"]}
    await report(shop.place, pod, {"conditions": BROKEN["conditions"]})

    async def takes(weight: str) -> bool:
        return await shop.weight() == weight

    await until(lambda: takes("0"))
    await report(shop.place, pod, ready)
    await until(lambda: takes("25"))
    operator.on_kill()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await shop.clean("a")


async def test_a_version_that_somebody_rolls_out_by_hand_is_served_and_ends_the_canary(shop):
    _, waiting = await shop.half_way()
    theirs = {"spec": {"template": {"metadata": {"annotations": {"restarted": "by hand"}}}}}
    await shop.place.cluster.patch(shop.place.ref("Deployment"), theirs)
    with pytest.raises(Exception, match="was rolled out by somebody else meanwhile"):
        await waiting
    await shop.clean("a")


async def test_a_worker_that_is_killed_is_taken_over_by_the_retry(shop):
    arguments = {
        "task_id": "deploy",
        "namespace": shop.place.namespace,
        "manifests": shop.manifests(),
        "images": {"web": image("b")},
        "traffic": "ingress",
        "steps": [{"weight": 25, "pause": 2}],
        "poll_interval": 0.5,
    }

    async def weighs() -> bool:
        return await shop.weight() == "25"

    async with process("operator", path_of(TkeCanaryDeployOperator), arguments, "run-2"):
        await until(weighs)
    release = await released(TkeCanaryDeployOperator(**arguments), RETRY)
    assert (release["images"], release["record"]) == ({"web/web": named("b")}, 2)
    await shop.clean("b")


@pytest.mark.parametrize("traffic", [None, "ingress"])
async def test_a_later_release_takes_the_weight_of_a_canary_that_died_before_anything_else(shop, traffic):
    dead = run_of("run-2")
    operator = shop.canary("b", steps=PATIENT)
    await operator.change(dead)
    trigger = operator.trigger(dead, 0.0)

    async def weighs() -> bool:
        await trigger.look()
        return await shop.weight() == "25"

    await until(weighs)
    found = await ServiceRelease.find(shop.place.cluster, shop.place.namespace, "web", operation_of(dead).id)
    await found.give_back()  # as if its lease had expired
    # The Service is not among the manifests of the next one: it must not lead to pods of the past all the same.
    workload = shop.place.workload(replicas=4)
    later = canary(shop.place, "c", workload, traffic=traffic, steps=[50]) if traffic else None
    later = later or TkeDeployServiceOperator(
        task_id="deploy", namespace=shop.place.namespace, manifests=[workload], images={"web": image("c")}
    )
    async with told(shop.place, *WATCHED) as said:
        release = await released(later, run_of("run-3"))
        assert release["previous"] == {"web/web": named("a")}
        await shop.clean("c", ends=2 if traffic else 1)
    order = moments(
        in_order(said),
        "Ingress web-canary takes 0",
        "Deployment web-canary gone",
        "Service web led to all pods",
        "Deployment web runs c",
    )
    assert order == sorted(order)
    history = await releases.history(shop.place.cluster, shop.place.namespace, "web")
    assert [each.stage for each in history] == [Stage.LIVE, Stage.ABANDONED, Stage.LIVE]


async def test_what_knows_no_weights_is_refused_before_anything_is_changed(shop):
    cluster, main = shop.place.cluster, shop.place.ref("Ingress", "web", API_VERSION)

    async def said(**more: object) -> str:
        return await refused(shop.canary("b", **more), run_of("run-2"))

    assert "12.5 percent" in await said(steps=[12.5])
    rival = ingress(shop.class_name)
    rival["metadata"] = {
        "name": "theirs",
        "namespace": shop.place.namespace,
        "annotations": {"nginx.ingress.kubernetes.io/canary": "true"},
    }
    await cluster.create(rival)
    assert f"Ingress {shop.place.namespace}/theirs is a canary of the same rules already" in await said()
    await cluster.delete(ObjectRef.of(rival))
    await cluster.patch(main, {"spec": {"ingressClassName": "qcloud"}})
    assert "is not served by ingress-nginx" in await said()
    await cluster.delete(main)
    assert "No Ingress leads to Deployment" in await said()
    assert "scale_down_delay is 61" in await said(scale_down_delay=61)
    assert (await record_of(shop.place)).revision == 1
    await shop.clean("a", ends=0)
