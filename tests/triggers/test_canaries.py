import asyncio
import time

import pytest

from tests.live_cluster import named, released, run_of, until
from tests.operators.test_canaries import canary, come_to, service, serving
from tke_provider.clients import releases
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.releases import Stage
from tke_provider.domain.verdicts import State, Verdict, passed, pending
from tke_provider.triggers import rollouts
from tke_provider.triggers.blue_green import BlueGreenTrigger
from tke_provider.triggers.canaries import CanaryTrigger

IDS = {
    "tke_conn_id": "tke_default",
    "deadline": 1.0,
    "poll_interval": 5.0,
    "name": "web",
    "namespace": "shop",
    "service": "web",
    "operation": "op-1",
}


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        (CanaryTrigger, {"steps": [{"weight": 10.0, "pause": 0.0}], "traffic": "ingress"}),
        (BlueGreenTrigger, {"keep": 5.0}),
    ],
)
def test_arguments_are_ids_and_make_an_equal_trigger(kind, own):
    first = kind(**IDS, **own, gates=[{"name": "errors", "query": "up", "at_most": 1.0}])
    path, stored = first.serialize()
    assert path == f"{kind.__module__}.{kind.__name__}"
    assert kind(**stored).serialize() == (path, stored)


def test_a_wait_that_an_older_version_stored_goes_by_replicas():
    assert CanaryTrigger(**IDS, steps=[]).traffic == "replicas"


class Looks:
    """What two looks at a workload find; no cluster, because there nothing else stands still meanwhile."""

    def __init__(self, *_: object) -> None:
        self.cluster = self

    async def get(self, ref: ObjectRef) -> dict:
        return {"kind": ref.kind, "metadata": {"name": ref.name}}

    async def assess(self, *_: object) -> Verdict:
        return passed("up")

    async def settled(self, workload: dict, up: Verdict, _: int) -> Verdict:
        return pending("has just started") if workload["metadata"]["name"] == "web" else up


async def test_what_has_just_started_is_looked_at_soon_whatever_else_was_looked_at_since(monkeypatch):
    monkeypatch.setattr("tke_provider.clients.rollouts.RolloutLook", Looks)
    monkeypatch.setattr(rollouts, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(rollouts, "_LEAST_SECONDS", 0.0)
    trigger = CanaryTrigger(**{**IDS, "operation": ""}, steps=[])
    trigger._quiet = 600.0
    assert (await trigger._up(Looks(), ["Deployment/web"])).state is State.PENDING
    assert (await trigger._up(Looks(), ["Deployment/web-canary"])).state is State.PASSED
    await asyncio.wait_for(trigger.changed(600), 60)
    trigger._quiet = 600.0
    with pytest.raises(asyncio.TimeoutError):  # and no longer than it has to be
        await asyncio.wait_for(trigger.changed(600), 0.1)


@pytest.mark.stack
@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize(
    ("state", "there", "stage"),
    [("failed", False, Stage.ROLLED_BACK), ("success", True, Stage.APPLYING), ("queued", True, Stage.APPLYING)],
)
async def test_what_a_person_makes_of_a_canary_half_way_decides(place, monkeypatch, state, there, stage):
    await released(canary(place, "a", place.workload(replicas=1), service()))
    context = run_of("run-2")
    operator = canary(place, "b", place.workload(replicas=1), service(), steps=[{"weight": 50, "pause": 600}])
    await operator.change(context)
    trigger = operator.trigger(context, time.time() + 60)

    async def task_state() -> str:  # a mock, because only a triggerer can ask Airflow
        return state

    monkeypatch.setattr(trigger, "_task_state", task_state)

    async def paused() -> bool:
        await trigger.look()
        return (await releases.read(place.cluster, place.namespace, "web")).since is not None

    await until(paused)
    await trigger.on_kill()
    await come_to(place, {named("a"): 1, named("b"): 1} if there else {named("a"): 1})
    assert (await releases.read(place.cluster, place.namespace, "web")).stage is stage


@pytest.mark.stack
@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize(
    ("state", "serves", "stage"),
    [("failed", "a", Stage.ROLLED_BACK), ("success", "b", Stage.LIVE), ("queued", "b", Stage.APPLYING)],
)
async def test_what_a_person_makes_of_a_canary_in_its_last_rollout_decides(place, monkeypatch, state, serves, stage):
    await released(canary(place, "a", place.workload(replicas=2)))
    context = run_of("run-2")
    operator = canary(place, "b", place.workload(replicas=2, minReadySeconds=3), steps=[50])
    await operator.change(context)
    trigger = operator.trigger(context, time.time() + 60)

    async def task_state() -> str:  # a mock, because only a triggerer can ask Airflow
        return state

    monkeypatch.setattr(trigger, "_task_state", task_state)

    async def taking_over() -> bool:
        await trigger.look()
        return (await releases.read(place.cluster, place.namespace, "web")).step == 2

    await until(taking_over)
    await trigger.on_kill()
    assert await serving(place) == named(serves)
    assert (await releases.read(place.cluster, place.namespace, "web")).stage is stage
    cleared = run_of("run-2", max_tries=1)
    release = await released(canary(place, "b", place.workload(replicas=2), steps=[50]), cleared)
    assert release["images"] == {"web/web": named("b")}
    await come_to(place, {named("b"): 2})
    assert await place.cluster.get(place.ref("Deployment", "web-canary")) is None
