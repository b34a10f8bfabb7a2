"""A triggerer that dies while it waits for pods or nodes: another one takes over, and nobody gets in between."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from tests.live_cluster import deploy, image, named, released, until
from tests.operators.scaling.test_node_pools import Instance
from tests.operators.test_plan_deaths import calls_of, check_log, of
from tests.operators.test_plan_pools import joined
from tests.operators.test_plans import create, size
from tests.operators.test_rollouts import record_of
from tests.process_of_a_release import process
from tke_provider.clients import leases
from tke_provider.clients.pools import whole_pool
from tke_provider.domain.manifests import ObjectRef, images_of
from tke_provider.domain.releases import Stage
from tke_provider.exceptions import BusyError
from tke_provider.operators.rollouts import TkeDeployServiceOperator
from tke_provider.operators.scaling import TkeScaleNodePoolOperator, TkeScaleServiceOperator

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tke_provider.operators.base import TkeWaitingOperator

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


async def survived(
    cluster, task: type[TkeWaitingOperator], given: dict[str, Any], lease: ObjectRef, end: Callable[[], Awaitable[None]]
) -> Any:
    """Defer a task, kill the triggerer that waits for it, and return what the task returns that another one resumes.

    :param end: lets what is waited for happen.
    """
    context: dict[str, Any] = {"ti": Instance()}
    given = {"task_id": "task", "poll_interval": 0.5, "timeout": 180, **given}
    with pytest.raises(TaskDeferred) as deferred:
        await released(task(**given, deferrable=True, defer_after=0), context)
    path, arguments = deferred.value.trigger.serialize()
    held = await cluster.get(leases.lease_of(lease.namespace, lease.name))

    async def renewed() -> bool:
        live = await cluster.get(ObjectRef.of(held))
        assert live["spec"]["holderIdentity"] == held["spec"]["holderIdentity"]
        return live["spec"]["renewTime"] > held["spec"]["renewTime"]

    async with process("trigger", path, arguments, "r"):
        await until(renewed, 120)
    with pytest.raises(BusyError):
        await leases.acquire(cluster, lease.namespace, lease.name, "somebody-else")
    await end()
    verdict = await type(deferred.value.trigger)(**arguments).wait()
    result = await asyncio.to_thread(task(**given).execute_complete, context, verdict.as_event())
    await leases.acquire(cluster, lease.namespace, lease.name, "somebody-else")
    await leases.release(cluster, lease.namespace, lease.name, "somebody-else")  # the pool is other tests', too
    return result


@pytest.mark.usefixtures("connected")
async def test_a_triggerer_killed_while_it_waits_for_a_release_is_taken_over_by_another_one(place):
    await released(deploy(place, "a"))
    given = {"manifests": [place.workload()], "images": {"web": image("b")}, "namespace": place.namespace}
    room = functools.partial(place.without_room, room=True)
    await place.without_room()
    release = await survived(place.cluster, TkeDeployServiceOperator, given, place.ref("Lease"), room)
    assert (release["images"], release["previous"]) == ({"web/web": named("b")}, {"web/web": named("a")})
    record = await record_of(place)
    assert (record.revision, record.stage) == (2, Stage.LIVE)
    assert images_of([await place.cluster.get(place.ref("Deployment"))]) == {"web/web": named("b")}


@pytest.mark.usefixtures("connected")
async def test_a_triggerer_killed_while_it_waits_for_pods_is_taken_over_by_another_one(place):
    await create(place, 1)
    given = {"namespace": place.namespace, "name": "web", "replicas": 3}
    room = functools.partial(place.without_room, room=True)
    await place.without_room()
    decision = await survived(place.cluster, TkeScaleServiceOperator, given, place.ref("Lease"), room)
    assert (decision["from"], decision["to"], await size(place)) == (1, 3, 3)


async def test_a_triggerer_killed_while_it_waits_for_nodes_is_taken_over_by_another_one(place, clouds):
    clouds.tell("clock", node={"mode": "told"})

    async def join() -> None:
        clouds._ask("POST", "tell", {"what": "*"})

    pool = clouds.pool()["id"]
    given = {"node_pool": pool, "desired": 4, "minimum": 2}
    decision = await survived(place.cluster, TkeScaleNodePoolOperator, given, whole_pool(pool), join)
    assert (decision["from"], decision["to"]) == (1, 4)
    assert (of(clouds, "web"), len(joined(clouds))) == ((2, 4, 10), 4)
    check_log(clouds, calls_of(clouds))
    assert len(clouds.calls("ModifyNodePoolDesiredCapacityAboutAsg")) == 1
