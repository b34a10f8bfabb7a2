import asyncio
import dataclasses

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from tests.live_cluster import image, named, refused, released, run_of, until
from tests.operators.test_rollouts import CRASHED, free, record_of
from tke_provider.clients import releases
from tke_provider.clients.releases import ServiceRelease
from tke_provider.domain.manifests import images_of
from tke_provider.domain.operations import OPERATION
from tke_provider.domain.releases import Stage
from tke_provider.domain.tracks import TRACK
from tke_provider.operators.base import operation_of
from tke_provider.operators.canaries import TkeCanaryDeployOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]


def service(name="web") -> dict:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def canary(place, digit: str, *manifests: dict, **more) -> TkeCanaryDeployOperator:
    given = {"manifests": list(manifests) or [place.workload(replicas=4)], "images": {"web": image(digit)}}
    settings = {"timeout": 120, "poll_interval": 0.5, "steps": [20, 50], **given, **more}
    return TkeCanaryDeployOperator(task_id="deploy", namespace=place.namespace, **settings)


async def serving(place) -> str:
    live = await place.cluster.get(place.ref("Deployment"))
    return images_of([live])["web/web"]


async def running(place) -> dict[str, int]:
    """How many pods there are of each image."""
    found = [pod["spec"]["containers"][0]["image"] for pod in await place.pods()]
    return {each: found.count(each) for each in found}


async def come_to(place, pods: dict[str, int]) -> None:
    """Wait until there are so many pods of each image: those that go take a moment."""

    async def there() -> bool:
        return await running(place) == pods

    await until(there)


async def stable(place, *manifests: dict) -> None:
    """Release the old version."""
    await released(canary(place, "a", *manifests))


async def test_a_first_release_has_nothing_to_be_compared_with(place):
    release = await released(canary(place, "a"))
    assert release["images"] == {"web/web": named("a")}
    assert (await record_of(place)).strategy == "canary"


async def test_the_new_version_gets_its_share_step_by_step_and_then_everything(place):
    await stable(place)
    running_task = asyncio.create_task(
        released(canary(place, "b", steps=[20, {"weight": 50, "pause": 3}]), run_of("run-2"))
    )

    async def at_half():
        return await running(place) == {named("a"): 4, named("b"): 4}

    await until(at_half)
    assert await serving(place) == named("a")
    assert not await free(place)
    release = await running_task
    assert release["images"] == {"web/web": named("b")}
    assert release["previous"] == {"web/web": named("a")}
    await come_to(place, {named("b"): 4})
    assert await place.cluster.get(place.ref("Deployment", "web-canary")) is None
    record = await record_of(place)
    assert (record.stage, record.revision, record.step) == (Stage.LIVE, 2, 3)
    assert await free(place)


async def test_a_service_of_its_own_leads_to_the_canary_alone_while_it_lasts(place):
    await stable(place, place.workload(replicas=2), service())
    paused = canary(place, "b", place.workload(replicas=2), service(), steps=[{"weight": 50, "pause": 3}])
    running_task = asyncio.create_task(released(paused, run_of("run-2")))
    own = place.ref("Service", "web-canary", "v1")

    async def there():
        return await place.cluster.get(own)

    live = await until(there)
    assert live["spec"]["selector"] == {"app": "web", TRACK: "canary"}
    await running_task
    assert await there() is None


async def test_a_canary_has_its_new_settings_and_the_old_version_keeps_its_own(place):
    def settings(name: str, value: str) -> dict:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"v": value}}

    await stable(place, place.workload(replicas=2), settings("web", "old"))
    given = [place.workload(replicas=2), settings("web", "new"), settings("web-new", "new")]
    going = asyncio.create_task(
        released(canary(place, "b", *given, steps=[{"weight": 50, "pause": 3}]), run_of("run-2"))
    )

    async def value(name: str) -> str | None:
        live = await place.cluster.get(place.ref("ConfigMap", name, "v1"))
        return live and live["data"]["v"]

    await place.pod(named("b"))
    assert (await value("web"), await value("web-new")) == ("old", "new")
    await going
    assert await value("web") == "new"


async def test_a_canary_that_crashes_is_taken_away_and_the_old_version_was_never_touched(place):
    await stable(place)
    before = await place.cluster.get(place.ref("Deployment"))
    failing = asyncio.create_task(
        refused(canary(place, "b", place.workload(replicas=4, kubelet=False)), run_of("run-2"))
    )
    await place.say(await place.pod(named("b")), **CRASHED)
    said = await failing
    assert "step 1 of 2, 20 percent by 1 pod:" in said
    assert "crashed 2 times" in said
    assert f"web/web {named('a')} serves again" in said
    after = await place.cluster.get(place.ref("Deployment"))
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert await place.cluster.get(place.ref("Deployment", "web-canary")) is None
    assert (await record_of(place)).stage is Stage.ROLLED_BACK
    assert await free(place)


async def test_the_same_again_makes_no_canary(place):
    await stable(place)
    pods = {pod["metadata"]["uid"] for pod in await place.pods()}
    await released(canary(place, "a", steps=[{"weight": 50, "pause": 600}]), run_of("run-2"))
    assert {pod["metadata"]["uid"] for pod in await place.pods()} == pods


async def test_somebodys_own_deployment_is_no_canary(place):
    await stable(place)
    theirs = place.workload(name="web-canary")
    theirs["metadata"]["namespace"] = place.namespace
    await place.cluster.create(theirs)
    assert "is somebody's own" in await refused(canary(place, "b"), run_of("run-2"))
    assert (await record_of(place)).revision == 1


async def test_only_one_deployment_is_taken(place):
    said = await refused(canary(place, "a", place.workload("StatefulSet")))
    assert "takes one Deployment" in said


# --- gates ---------------------------------------------------------------------------------------------------------


def errors(version: str, **more) -> dict:
    """A gate on the error rate of a version that the test's Prometheus knows."""
    of = f'service="shop",version="{version}"'
    query = f'sum(rate(requests_total{{{of},status=~"5.."}}[5m])) / sum(rate(requests_total{{{of}}}[5m]))'
    return {"name": "error rate", "query": query, "at_most": 0.05, **more}


@pytest.mark.usefixtures("prometheus")
async def test_a_metric_that_is_good_lets_the_canary_go_on(place):
    await stable(place)
    release = await released(canary(place, "b", steps=[50], gates=[errors("good")]), run_of("run-2"))
    assert release["images"] == {"web/web": named("b")}


@pytest.mark.usefixtures("prometheus")
async def test_a_metric_that_is_bad_ends_the_canary_long_before_its_pause_is_over(place):
    await stable(place)
    patient = canary(place, "b", steps=[{"weight": 50, "pause": 600}], gates=[errors("bad")])
    said = await refused(patient, run_of("run-2"))
    assert "step 1 of 1" in said
    assert "error rate" in said
    assert "above" in said
    await come_to(place, {named("a"): 4})


@pytest.mark.usefixtures("prometheus")
async def test_a_metric_that_says_nothing_is_never_a_pass(place):
    await stable(place)
    context = run_of("run-2")
    operator = canary(place, "b", steps=[50], gates=[errors("unknown")], timeout=2)
    await asyncio.to_thread(lambda: asyncio.run(operator.change(context)))
    trigger = operator.trigger(context, 0.0)

    async def asked() -> bool:
        return "there is no error rate" in (await trigger.look()).reason

    await until(asked)
    said = await refused(operator, context)
    assert "not up within 2 seconds" in said
    assert "there is no error rate" in said
    assert await serving(place) == named("a")


@pytest.mark.usefixtures("prometheus")
async def test_the_words_of_a_query_tell_the_versions_apart(place):
    await stable(place)
    pods = 'count(requests_total{service="shop",version="good",pods!="{pods}",workload!="{workload}"})'
    gate = {"name": "series", "query": pods, "at_most_times_baseline": 1}
    release = await released(canary(place, "b", steps=[50], gates=[gate]), run_of("run-2"))
    assert release["images"] == {"web/web": named("b")}


async def test_a_gate_that_makes_no_sense_is_refused_before_anything_is_changed(place):
    assert "Gate 'x'" in await refused(canary(place, "b", gates=[{"name": "x", "query": "y"}]))
    assert await record_of(place) is None


# --- crashes -------------------------------------------------------------------------------------------------------


async def half_way(place, context: dict, **more) -> TkeCanaryDeployOperator:
    """A canary that waits in its first step."""
    operator = canary(place, "b", steps=[{"weight": 50, "pause": 600}], **more)
    waiting = asyncio.create_task(released(operator, context))

    async def paused():
        record = await record_of(place)
        return record.op == operation_of(context).id and record.since

    await until(paused)
    operator.waiting_task = waiting
    return operator


async def test_a_killed_canary_is_taken_away(place):
    await stable(place)
    operator = await half_way(place, run_of("run-2"))
    operator.on_kill()
    with pytest.raises(asyncio.CancelledError):
        await operator.waiting_task
    assert await place.cluster.get(place.ref("Deployment", "web-canary")) is None
    assert await serving(place) == named("a")
    assert await free(place)


async def taking_over(place, context: dict) -> TkeCanaryDeployOperator:
    """A canary whose last rollout has begun, and is not done."""
    slow = place.workload(replicas=4, minReadySeconds=3)
    operator = canary(place, "b", slow, steps=[50])
    operator.waiting_task = asyncio.create_task(released(operator, context))

    async def begun() -> bool:
        return (await record_of(place)).step == 2 and await serving(place) == named("b")

    await until(begun)
    return operator


async def test_a_canary_that_is_killed_in_its_last_rollout_is_undone(place):
    await stable(place)
    operator = await taking_over(place, run_of("run-2"))
    operator.on_kill()
    with pytest.raises(asyncio.CancelledError):
        await operator.waiting_task
    assert await serving(place) == named("a")
    assert await place.cluster.get(place.ref("Deployment", "web-canary")) is None
    await come_to(place, {named("a"): 4})
    assert (await record_of(place)).stage is Stage.ROLLED_BACK
    assert await free(place)


async def test_a_retry_goes_on_at_the_step_that_the_first_try_reached(place):
    await stable(place)
    context = run_of("run-2")
    operator = canary(place, "b")
    await asyncio.to_thread(lambda: asyncio.run(operator.change(context)))
    found = await ServiceRelease.find(place.cluster, place.namespace, "web", operation_of(context).id)
    await found.note(step=1)
    release = await released(canary(place, "b"), context)
    assert release["images"] == {"web/web": named("b")}
    assert release["previous"] == {"web/web": named("a")}
    assert len(await releases.history(place.cluster, place.namespace, "web")) == 2


async def test_a_later_release_takes_away_a_canary_that_died(place):
    await stable(place)
    dead = run_of("run-2")
    operator = canary(place, "b", steps=[{"weight": 50, "pause": 600}], timeout=3)
    await asyncio.to_thread(lambda: asyncio.run(operator.change(dead)))
    trigger = operator.trigger(dead, 0.0)
    await trigger.look()
    assert await place.cluster.get(place.ref("Deployment", "web-canary"))
    found = await ServiceRelease.find(place.cluster, place.namespace, "web", operation_of(dead).id)
    await found.give_back()  # as if its lease had expired
    release = await released(canary(place, "c"), run_of("run-3"))
    assert release["images"] == {"web/web": named("c")}
    assert await place.cluster.get(place.ref("Deployment", "web-canary")) is None
    history = await releases.history(place.cluster, place.namespace, "web")
    assert [each.stage for each in history] == [Stage.LIVE, Stage.ABANDONED, Stage.LIVE]


async def test_a_deferred_canary_goes_on_in_the_triggerer(place):
    await stable(place)
    operator = canary(place, "b", deferrable=True, defer_after=0, steps=[{"weight": 50, "pause": 2}])
    with pytest.raises(TaskDeferred) as deferred:
        await released(operator, run_of("run-2"))
    path, arguments = deferred.value.trigger.serialize()
    assert path.endswith(".canaries.CanaryTrigger")
    events = [event.payload async for event in type(deferred.value.trigger)(**arguments).run()]
    resumed = canary(place, "b", deferrable=True, defer_after=0)
    release = await asyncio.to_thread(resumed.execute_complete, run_of("run-2"), events[0])
    assert release["images"] == {"web/web": named("b")}
    assert await place.cluster.get(place.ref("Deployment", "web-canary")) is None


async def test_the_work_of_somebody_who_changed_the_canary_is_left_alone(place):
    await stable(place)
    operator = await half_way(place, run_of("run-2"))
    other = {"metadata": {"annotations": {OPERATION: "somebody"}}}
    await place.cluster.patch(place.ref("Deployment", "web-canary"), other)
    with pytest.raises(Exception, match="Somebody else changed Deployment"):
        await operator.waiting_task


def test_steps_are_counted_into_the_time_that_it_may_take():
    place = dataclasses.make_dataclass("Place", ["namespace"])("shop")
    operator = canary(place, "b", {}, steps=[10, {"weight": 50, "pause": 600}], timeout=60)
    assert operator.seconds == 660
