"""Waiting for node pools, on the emulated cloud. Waiting for services is tried where they are scaled."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tke_provider.domain.verdicts import State
from tke_provider.hooks.tke import TkeHook
from tke_provider.triggers.scaling import NodePoolTrigger

CLUSTER = "cls-local000"
SET_SIZE = "ModifyNodePoolDesiredCapacityAboutAsg"


@pytest.fixture
def cloud(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    return cloud


def trigger(**more: Any) -> NodePoolTrigger:
    settings: dict[str, Any] = {"cluster_id": None, "node_pool": "web", "tke_conn_id": "tke_default", **more}
    return NodePoolTrigger(deadline=time.time() + 20, poll_interval=0.01, **settings)


async def resize(desired: int) -> None:
    async with await TkeHook().tke() as tke:
        await tke.set_pool_desired(CLUSTER, await tke.node_pool(CLUSTER, "web"), desired)


async def test_a_pool_at_rest_with_every_node_ready_passes(cloud):
    verdict = await trigger().look()
    assert verdict.state is State.PASSED
    assert verdict.reason == f"node pool {cloud.pool()['id']} has 1 node, all ready"


async def test_nodes_on_their_way_are_counted_until_they_are_there(cloud):
    cloud._ask("POST", "clock", {"node": {"mode": "told"}})
    await resize(3)
    assert (await trigger().look()).reason == f"node pool {cloud.pool()['id']} has 1 of 3 nodes ready"
    cloud._ask("POST", "tell", {"what": "node"})
    assert (await trigger().wait()).state is State.PASSED


async def test_what_the_cloud_gave_up_on_fails_with_its_words(cloud):
    cloud.trouble("sold_out", SET_SIZE, available=0, message="no address left in subnet-a")
    await resize(3)
    verdict = await trigger(desired=3).look()
    assert verdict.state is State.FAILED
    web = cloud.pool()["id"]
    assert verdict.reason.endswith(f"node pool {web} has 1 of 3 nodes ready: no address left in subnet-a")


async def test_a_failure_from_before_the_write_is_not_blamed_for_it(cloud):
    cloud.trouble("sold_out", SET_SIZE, available=0)
    await resize(3)
    async with await TkeHook().tke() as tke:
        pool = await tke.node_pool(CLUSTER, "web")
        seen = (await tke.scaling_activities(pool.autoscaling_group_id))[0].id
    assert (await trigger(desired=3, seen=seen).look()).state is State.PENDING


async def test_somebody_else_s_size_is_noticed(cloud):
    await resize(5)
    verdict = await trigger(desired=3).look()
    assert verdict.state is State.FAILED
    assert "was 3 and something else made it 5" in verdict.reason


async def test_a_pool_that_does_not_exist_fails_at_once(cloud):
    verdict = await trigger(node_pool="nowhere").wait()
    assert verdict.state is State.FAILED
    assert "no node pool nowhere" in verdict.reason


async def test_an_answer_that_does_not_come_is_waited_for(cloud):
    cloud.trouble("server_error", "DescribeNodePools", count=1)
    assert (await trigger().wait()).state is State.PASSED


async def test_a_wait_whose_triggerer_dies_is_taken_over_from_what_is_stored_and_writes_nothing(cloud):
    cloud._ask("POST", "clock", {"node": {"mode": "told"}})
    await resize(3)
    first = trigger(desired=3)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(first.wait(), 0.3)
    cloud._ask("POST", "tell", {"what": "node"})
    assert (await NodePoolTrigger(**first.serialize()[1]).wait()).state is State.PASSED
    assert len(cloud.calls(SET_SIZE)) == 1


def test_an_equal_trigger_can_be_made_from_what_is_stored():
    path, arguments = trigger(desired=3, at_least=True, seen="asa-1").serialize()
    assert path == "tke_provider.triggers.scaling.NodePoolTrigger"
    assert (arguments["desired"], arguments["at_least"], arguments["seen"]) == (3, True, "asa-1")
    assert NodePoolTrigger(**arguments).serialize() == (path, arguments)
