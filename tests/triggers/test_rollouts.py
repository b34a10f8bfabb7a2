import asyncio
import datetime as dt
import time

import pytest

from tests.live_cluster import until
from tke_provider.clients import leases, releases
from tke_provider.domain.manifests import stamp
from tke_provider.domain.releases import Record, Stage, begin
from tke_provider.domain.verdicts import State
from tke_provider.triggers import rollouts, watches
from tke_provider.triggers.rollouts import RolloutTrigger

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]


def trigger(place, *names, seconds=90.0, **more) -> RolloutTrigger:
    return RolloutTrigger(
        tke_conn_id="tke_default",
        deadline=time.time() + seconds,
        poll_interval=300,  # nothing but a watch is in time
        namespace=place.namespace,
        workloads=[f"Deployment/{name}" for name in names or ["web"]],
        **more,
    )


async def apply(place, name="web", op="", **more):
    workload = place.workload(name=name, **more)
    workload["metadata"]["namespace"] = place.namespace
    stamp([workload], op, "") if op else None
    return await place.cluster.apply(workload)


async def test_it_wakes_when_the_last_pod_is_ready(place):
    waiting = asyncio.create_task(trigger(place).wait())
    await apply(place, replicas=2)
    assert (await waiting).state is State.PASSED


async def test_it_ends_at_its_deadline_with_what_was_missing(place):
    await apply(place, kubelet=False)

    async def counted():
        return "0 of 1 pods are available" in (await trigger(place).look()).reason

    await until(counted)
    verdict = await trigger(place, seconds=1).wait()
    assert verdict.state is State.EXPIRED
    assert "0 of 1 pods are available" in verdict.reason


async def test_all_workloads_have_to_be_up(place):
    await apply(place, "web")
    await apply(place, "api", kubelet=False)
    assert (await trigger(place, "web", "api", seconds=2).wait()).state is State.EXPIRED


async def test_what_is_not_there_is_waited_for_by_a_question_and_a_failure_of_an_operation(place):
    assert (await trigger(place).look()).state is State.PENDING
    verdict = await trigger(place, operation="op-1", service="web").look()
    assert (verdict.state, verdict.reason) == (State.FAILED, f"Deployment {place.namespace}/web was deleted meanwhile")


async def test_many_that_wait_share_one_watch_a_kind_and_the_last_ends_it(place):
    await apply(place, kubelet=False)
    waiting = [asyncio.create_task(trigger(place).wait()) for _ in range(20)]

    async def all_listen():
        return [len(watch._listeners) for watch in watches._shared.values()] == [20, 20]

    await until(all_listen)
    assert {scope.kind for scope in watches._shared} == {"Pod", "Deployment"}
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)
    assert watches._shared == {}


async def test_a_watch_that_breaks_begins_again(place, monkeypatch):
    monkeypatch.setattr(watches, "_FIRST_PAUSE", 0.1)
    streams = []
    stream = watches.Watch._stream

    async def breaking(self, hook):
        streams.append(self)
        if len(streams) <= 2:  # a mock, because no live cluster can be told to break off a watch
            raise watches.TkeError("The stream broke", way_out="begin again")
        await stream(self, hook)

    monkeypatch.setattr(watches.Watch, "_stream", breaking)
    waiting = asyncio.create_task(trigger(place).wait())

    async def again():
        return len(streams) > 3

    await until(again)
    await apply(place)
    assert (await waiting).state is State.PASSED


async def test_it_looks_more_often_after_a_change_for_the_event_that_explains_it_follows(place, monkeypatch):
    monkeypatch.setattr(rollouts, "_LEAST_SECONDS", 0.01)
    monkeypatch.setattr(rollouts, "_QUIET_SECONDS", 0.05)
    waiting, pauses = trigger(place), []
    for changes in (False, False, False, True, False):
        if changes:
            waiting._listener.happened.set()
        pauses.append(waiting._quiet)
        await waiting.changed(60)
    assert pauses == [0.01, 0.02, 0.04, 0.05, 0.01]


async def test_it_holds_the_lease_of_its_operation(place):
    await apply(place, op="op-1", kubelet=False)
    await trigger(place, operation="op-1", service="web", seconds=1).wait()
    live = await place.cluster.get(leases.lease_of(place.namespace, "web"))
    assert live["spec"]["holderIdentity"] == "op-1"


async def test_it_holds_the_lease_while_the_way_back_is_awaited(place):
    await apply(place, op="op-0")
    verdict = await trigger(place, operation="op-1", service="web", back=True).wait()
    live = await place.cluster.get(leases.lease_of(place.namespace, "web"))
    assert (verdict.state, live["spec"]["holderIdentity"]) == (State.PASSED, "op-1")


def test_its_arguments_are_ids_and_make_an_equal_trigger():
    arguments = {"tke_conn_id": "c", "deadline": 1.0, "namespace": "shop", "workloads": ["Deployment/web"]}
    first = RolloutTrigger(**arguments, operation="op-1", service="web")
    path, stored = first.serialize()
    assert path == "tke_provider.triggers.rollouts.RolloutTrigger"
    assert RolloutTrigger(**stored).serialize() == (path, stored)
    assert {type(value) for value in stored.values()} <= {str, int, float, bool, list, type(None)}


# --- a person ends the wait ----------------------------------------------------------------------------------------


@pytest.fixture
async def waiting(place, monkeypatch):
    """A release in the middle: the way back is no Deployment at all."""
    workload = place.workload(kubelet=False)
    workload["metadata"]["namespace"] = place.namespace
    draft = Record(service="web", namespace=place.namespace, op="op-1", applied=(workload,))
    now = dt.datetime.now(dt.timezone.utc)
    await releases.write(place.cluster, begin(None, draft, {place.ref("Deployment"): None}, now))
    await leases.acquire(place.cluster, place.namespace, "web", "op-1")
    await apply(place, op="op-1", kubelet=False)

    def ended_as(state: str | None) -> RolloutTrigger:
        ended = trigger(place, operation="op-1", service="web")

        async def task_state():  # a mock, because only a triggerer can ask Airflow
            return state

        monkeypatch.setattr(ended, "_task_state", task_state)
        return ended

    return ended_as


@pytest.mark.parametrize(
    ("state", "stays", "stage"),
    [
        ("failed", False, Stage.ROLLED_BACK),
        ("removed", False, Stage.ROLLED_BACK),
        ("success", True, Stage.LIVE),
        ("queued", True, Stage.APPLYING),
        (None, True, Stage.APPLYING),
    ],
)
async def test_what_a_person_makes_of_the_task_decides(place, waiting, state, stays, stage):
    await waiting(state).on_kill()
    assert bool(await place.cluster.get(place.ref("Deployment"))) is stays
    assert (await releases.read(place.cluster, place.namespace, "web")).stage is stage
    assert not (await place.cluster.get(leases.lease_of(place.namespace, "web")))["spec"].get("holderIdentity")


async def test_the_work_of_a_newer_operation_is_left_alone(place, waiting):
    await apply(place, op="op-2", kubelet=False)
    await waiting("failed").on_kill()
    assert await place.cluster.get(place.ref("Deployment"))
