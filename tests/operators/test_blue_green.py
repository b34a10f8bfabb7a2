import asyncio

import pytest

from tests.live_cluster import image, named, refused, released, report, run_of, until
from tests.operators.test_canaries import come_to, service, serving
from tests.operators.test_rollouts import CRASHED, free, record_of
from tke_provider.clients import releases
from tke_provider.clients.releases import ServiceRelease
from tke_provider.domain.blue_green import SWITCHED, TAKEN
from tke_provider.domain.releases import Stage
from tke_provider.domain.tracks import HASH, TRACK
from tke_provider.operators.base import operation_of
from tke_provider.operators.blue_green import TkeBlueGreenDeployOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]


def blue_green(place, digit: str, *manifests: dict, **more) -> TkeBlueGreenDeployOperator:
    given = {"manifests": list(manifests) or [place.workload(replicas=2), service()], "images": {"web": image(digit)}}
    settings = {"timeout": 120, "poll_interval": 0.5, "keep": 0, **given, **more}
    return TkeBlueGreenDeployOperator(task_id="deploy", namespace=place.namespace, **settings)


async def selector(place, name: str = "web") -> dict:
    live = await place.cluster.get(place.ref("Service", name, "v1"))
    return live and live["spec"]["selector"]


async def half_way(place, context: dict) -> tuple[TkeBlueGreenDeployOperator, asyncio.Task]:
    """A release that has switched and keeps the old version for long."""
    await released(blue_green(place, "a"))
    operator = blue_green(place, "b", keep=600)
    waiting = asyncio.create_task(released(operator, context))

    async def switched():
        record = await record_of(place)
        return record.step == SWITCHED and record.since

    await until(switched)
    return operator, waiting


async def test_the_services_are_switched_and_the_old_version_is_kept_for_a_while(place):
    await released(blue_green(place, "a"))
    going = asyncio.create_task(released(blue_green(place, "b", keep=3), run_of("run-2")))

    async def switched():
        return await selector(place) == {"app": "web", TRACK: "green"}

    await until(switched)
    await come_to(place, {named("a"): 2, named("b"): 2})
    assert await serving(place) == named("a")
    release = await going
    assert (release["images"], release["previous"]) == ({"web/web": named("b")}, {"web/web": named("a")})
    assert await selector(place) == {"app": "web"}
    assert await selector(place, "web-green") is None
    await come_to(place, {named("b"): 2})
    assert (await record_of(place)).stage is Stage.LIVE
    assert await free(place)


async def test_a_version_that_does_not_come_up_is_never_switched_to(place):
    await released(blue_green(place, "a"))
    bad = blue_green(place, "b", place.workload(replicas=2, kubelet=False), service())
    failing = asyncio.create_task(refused(bad, run_of("run-2")))
    pod = await place.pod(named("b"))
    assert (await selector(place)).keys() == {"app", HASH}
    await place.say(pod, **CRASHED)
    said = await failing
    assert "before the switch" in said
    assert f"web/web {named('a')} serves again" in said
    assert await selector(place) == {"app": "web"}
    assert await place.cluster.get(place.ref("Deployment", "web-green")) is None


async def test_a_killed_release_switches_back(place):
    operator, waiting = await half_way(place, run_of("run-2"))
    operator.on_kill()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await selector(place) == {"app": "web"}
    await come_to(place, {named("a"): 2})
    assert (await record_of(place)).stage is Stage.ROLLED_BACK


async def test_a_version_that_breaks_after_the_switch_is_switched_back_from(place):
    _, waiting = await half_way(place, run_of("run-2"))
    live = place.ref("Deployment", "web-green")
    await place.cluster.patch(live, {"metadata": {"annotations": {"tke.airflow/operation": "somebody"}}})
    with pytest.raises(Exception, match="Somebody else changed Deployment"):
        await waiting
    assert await selector(place) == {"app": "web"}


async def silence(place, **labels: str) -> None:
    """Let no pod of a version answer any more."""
    conditions = [{"type": each, "status": "False"} for each in ("Ready", "ContainersReady")]
    for pod in await place.pods(**labels):
        await report(place, pod, {"conditions": conditions})


async def test_a_version_none_of_whose_pods_answers_after_the_switch_is_switched_back_from(place):
    _, waiting = await half_way(place, run_of("run-2"))
    await silence(place, **{TRACK: "green"})
    with pytest.raises(Exception, match=r"no pod of Deployment .*/web-green answers any more"):
        await waiting
    assert await selector(place) == {"app": "web"}
    await come_to(place, {named("a"): 2})


async def test_a_version_that_breaks_while_the_workload_takes_over_is_not_all_that_users_have(place):
    await released(blue_green(place, "a"))
    await place.cluster.patch(place.ref("Deployment"), {"spec": {"paused": True}})  # so that it takes its time
    waiting = asyncio.create_task(released(blue_green(place, "b"), run_of("run-2")))

    async def taking_over() -> bool:
        record = await record_of(place)
        return (record.revision, record.step) == (2, TAKEN)

    await until(taking_over)
    await silence(place, **{TRACK: "green"})
    with pytest.raises(Exception, match=r"web/web .* serves again: no pod of .*web-green answers any more"):
        await waiting
    assert await serving(place) == named("a")
    assert await selector(place) == {"app": "web"}
    await come_to(place, {named("a"): 2})
    assert (await record_of(place)).stage is Stage.ROLLED_BACK


async def test_a_retry_goes_on_after_the_switch(place):
    await released(blue_green(place, "a"))
    context = run_of("run-2")
    operator = blue_green(place, "b", keep=600)
    await asyncio.to_thread(lambda: asyncio.run(operator.change(context)))
    trigger = operator.trigger(context, 0.0)

    async def switched():
        await trigger.look()
        return (await record_of(place)).step == SWITCHED

    await until(switched)
    pods = {pod["metadata"]["uid"] for pod in await place.pods(**{TRACK: "green"})}
    again = asyncio.create_task(released(blue_green(place, "b", keep=2), context))
    while not again.done():
        # None is made anew, at any time until they go.
        assert {pod["metadata"]["uid"] for pod in await place.pods(**{TRACK: "green"})} <= pods
        await asyncio.wait({again}, timeout=0.1)
    assert (await again)["previous"] == {"web/web": named("a")}
    assert await selector(place) == {"app": "web"}
    assert len(await releases.history(place.cluster, place.namespace, "web")) == 2


async def test_a_plain_release_puts_right_what_one_that_died_left_switched(place):
    dead = run_of("run-2")
    operator, waiting = await half_way(place, dead)
    loop, task = operator._running
    operator._running = None
    found = await ServiceRelease.find(place.cluster, place.namespace, "web", operation_of(dead).id)
    loop.call_soon_threadsafe(loop.stop)  # as if its process had died: nothing of it runs any more
    with pytest.raises(RuntimeError):
        await waiting
    del task
    await found.give_back()  # as if its lease had expired
    release = await released(blue_green(place, "c"), run_of("run-3"))
    assert release["previous"] == {"web/web": named("a")}
    assert await selector(place) == {"app": "web"}
    await come_to(place, {named("c"): 2})


async def test_nothing_to_switch_is_refused(place):
    await released(blue_green(place, "a", place.workload()))
    assert "No Service leads to the pods" in await refused(blue_green(place, "b", place.workload()), run_of("run-2"))
    assert (await record_of(place)).revision == 1
