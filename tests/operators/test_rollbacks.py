import asyncio

import pytest

from tests.live_cluster import deploy, image, named, refused, released, run_of, until
from tests.operators.test_rollouts import SERVICE, free, record_of
from tke_provider.clients import releases
from tke_provider.clients.releases import ServiceRelease
from tke_provider.domain.manifests import images_of
from tke_provider.domain.releases import HISTORY, Stage
from tke_provider.operators.base import operation_of
from tke_provider.operators.rollbacks import TkeRollbackServiceOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]


def rollback(place, **more) -> TkeRollbackServiceOperator:
    settings = {"timeout": 120, "poll_interval": 0.5, "service": "web", **more}
    return TkeRollbackServiceOperator(task_id="rollback", namespace=place.namespace, **settings)


async def past(place, *digits: str) -> None:
    for digit in digits:
        await released(deploy(place, digit), run_of(f"release-{digit}"))


async def serving(place) -> str:
    return images_of([await place.cluster.get(place.ref("Deployment"))])["web/web"]


async def test_the_last_good_release_serves_again_and_is_a_release_of_its_own(place):
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"a": "1"}}
    await released(deploy(place, "a", place.workload(replicas=2), settings), run_of("run-a"))
    changed = dict(settings, metadata={"name": "web"}, data={"b": "2"})
    await released(deploy(place, "b", place.workload(replicas=2), changed), run_of("run-b"))
    release = await released(rollback(place), run_of("back"))
    assert (release["images"], release["previous"]) == ({"web/web": named("a")}, {"web/web": named("b")})
    assert (release["commit"], release["record"]) == ("a" * 40, 3)
    live = await place.cluster.get(place.ref("Deployment"))
    assert live["status"]["updatedReplicas"] == live["status"]["availableReplicas"] == 2
    assert (await place.cluster.get(place.ref("ConfigMap", api_version="v1")))["data"] == {"a": "1"}
    record = await record_of(place)
    assert (record.strategy, record.restores, record.stage) == ("rollback", 1, Stage.LIVE)
    assert await free(place)


async def test_a_release_is_gone_back_to_by_number_or_digest(place):
    await past(place, "a", "b", "c")
    await released(rollback(place, revision="1"), run_of("back-1"))
    assert await serving(place) == named("a")
    await released(rollback(place, digest=image("b")["digest"]), run_of("back-2"))
    assert await serving(place) == named("b")


async def test_what_a_rollback_left_is_not_gone_back_to(place):
    await past(place, "a", "b", "c")
    await released(rollback(place), run_of("back-1"))
    assert await serving(place) == named("b")
    await released(rollback(place), run_of("back-2"))
    assert await serving(place) == named("a")
    assert "No good release before this one" in await refused(rollback(place), run_of("back-3"))


async def test_a_release_that_was_left_half_way_is_gone_back_from(place):
    await past(place, "a")
    dead = run_of("run-2")
    operator = deploy(place, "b", place.workload(kubelet=False), SERVICE)
    await asyncio.to_thread(lambda: asyncio.run(operator.change(dead)))
    found = await ServiceRelease.find(place.cluster, place.namespace, "web", operation_of(dead).id)
    await found.give_back()  # as if its lease had expired
    release = await released(rollback(place), run_of("back"))
    assert release["images"] == {"web/web": named("a")}
    assert await place.cluster.get(place.ref("Service", api_version="v1")) is None


async def test_a_retry_goes_where_its_first_try_went(place):
    await past(place, "a", "b")
    context = run_of("back")
    await asyncio.to_thread(lambda: asyncio.run(rollback(place).change(context)))
    release = await released(rollback(place), context)
    assert release["images"] == {"web/web": named("a")}
    again = await released(rollback(place), context)
    assert (again["images"], again["record"]) == ({"web/web": named("a")}, 3)


async def test_a_release_that_does_not_come_up_any_more_leaves_what_serves(place):
    await past(place, "a", "b")
    await place.without_room()
    context = run_of("back")
    await asyncio.to_thread(lambda: asyncio.run(rollback(place).change(context)))
    await until(place.unschedulable)
    said = await refused(rollback(place, timeout=2), context)
    assert "has no node" in said
    assert f"web/web {named('b')} serves again" in said
    assert await serving(place) == named("b")


async def test_no_record_is_no_way_back(place):
    said = await refused(rollback(place))
    assert "No good release before this one is written down: none" in said


@pytest.mark.parametrize("wrong", [{"revision": "last"}, {"revision": 1, "digest": "sha256:a"}])
async def test_a_way_back_that_cannot_be_meant_is_refused(place, wrong):
    assert "revision is" in await refused(rollback(place, **wrong))


async def test_records_of_long_ago_go_and_the_way_back_stays(place):
    quick = place.workload(replicas=0)
    for number in range(HISTORY + 2):
        await released(deploy(place, "ab"[number % 2], quick), run_of(f"run-{number}"))
    history = await releases.history(place.cluster, place.namespace, "web")
    assert [each.revision for each in history] == list(range(HISTORY + 2, 2, -1))
