from __future__ import annotations

import pytest
import yaml

from tke_provider.clients.tke import _closed_endpoint
from tke_provider.domain.clusters import PoolKind
from tke_provider.exceptions import BusyError, InputError, NotFoundError

CLUSTER = "cls-local000"


@pytest.fixture
async def pools(tke):
    """The first pool of each kind."""
    return {pool.kind: pool for pool in reversed(await tke.node_pools(CLUSTER))}


async def test_an_open_endpoint_has_a_kubeconfig(tke):
    assert (await tke.endpoint(CLUSTER, external=True)).status == "Created"
    assert yaml.safe_load(await tke.kubeconfig(CLUSTER, True))["kind"] == "Config"


async def test_no_kubeconfig_is_asked_for_while_the_endpoint_is_closed(tke, cloud):
    await tke._tke("DeleteClusterEndpoint", {"ClusterId": CLUSTER, "IsExtranet": True})
    with pytest.raises(NotFoundError, match=r"no open public endpoint.*let the connection use the private one"):
        await tke.kubeconfig(CLUSTER, True)
    assert cloud.calls("DescribeClusterKubeconfig") == []


async def test_an_endpoint_on_its_way_is_worth_a_retry():
    assert type(_closed_endpoint(CLUSTER, False, "Creating")) is BusyError


async def test_pools_of_every_kind_are_listed(pools):
    assert pools.keys() >= {PoolKind.REGULAR, PoolKind.NATIVE, PoolKind.SUPER}
    assert pools[PoolKind.REGULAR].autoscaling_group_id.startswith("asg-")
    assert pools[PoolKind.NATIVE].autoscaling_group_id == ""
    assert all(pool.settled for pool in pools.values())


async def test_a_pool_is_found_by_id_and_by_name(tke, pools):
    pool = pools[PoolKind.REGULAR]
    assert await tke.node_pool(CLUSTER, pool.id) == pool
    assert await tke.node_pool(CLUSTER, pool.name) == pool


async def test_an_unknown_pool_is_answered_with_those_there_are(tke, pools):
    with pytest.raises(
        NotFoundError, match=f"no node pool np-nowhere; use one of its pools: .*{pools[PoolKind.NATIVE].id}"
    ):
        await tke.node_pool(CLUSTER, "np-nowhere")


async def test_a_name_that_two_pools_bear_is_refused(tke, pools):
    pool, other = pools[PoolKind.REGULAR], pools[PoolKind.NATIVE]
    await tke._tke("ModifyClusterNodePool", {"ClusterId": CLUSTER, "NodePoolId": pool.id, "Name": other.name})
    with pytest.raises(InputError, match=r"2 node pools named .* name it by id"):
        await tke.node_pool(CLUSTER, other.name)


@pytest.mark.parametrize("kind", [PoolKind.REGULAR, PoolKind.NATIVE])
async def test_a_pool_is_resized_whatever_call_its_kind_needs(tke, pools, kind):
    pool = pools[kind]
    await tke.set_pool_bounds(CLUSTER, pool, 0, 7)
    await tke.set_pool_desired(CLUSTER, pool, 2)
    now = await tke.node_pool(CLUSTER, pool.id)
    assert (now.minimum, now.maximum, now.desired) == (0, 7, 2)


async def test_a_size_outside_of_the_bounds_is_refused(tke, pools):
    pool = pools[PoolKind.REGULAR]
    with pytest.raises(InputError, match=pool.id):
        await tke.set_pool_desired(CLUSTER, pool, pool.maximum + 1)


async def test_a_super_pool_has_no_size(tke, pools):
    with pytest.raises(InputError, match="consists of super nodes, which the cloud does not scale"):
        await tke.set_pool_desired(CLUSTER, pools[PoolKind.SUPER], 2)
    with pytest.raises(InputError, match="super"):
        await tke.set_pool_bounds(CLUSTER, pools[PoolKind.SUPER], 0, 2)


async def test_the_nodes_of_a_pool_are_its_own(tke, pools):
    pool = pools[PoolKind.REGULAR]
    await tke.set_pool_desired(CLUSTER, pool, 2)
    nodes = await tke.nodes(CLUSTER, pool.id)
    assert len(nodes) == 2
    assert {(node.state, node.reason) for node in nodes} == {("running", "")}


async def test_all_pages_are_read_and_nothing_comes_twice(tke, pools, monkeypatch):
    pool = pools[PoolKind.REGULAR]
    await tke.set_pool_desired(CLUSTER, pool, 3)
    monkeypatch.setattr("tke_provider.clients.tke._PAGE", 2)
    ids = [node.id for node in await tke.nodes(CLUSTER, pool.id)]
    assert len(ids) == len(set(ids)) == 3


async def test_every_rule_of_a_scaling_group_is_read_however_many_there_are(tke, pools, monkeypatch):
    group = pools[PoolKind.REGULAR].autoscaling_group_id
    for number in range(3):
        when = {"StartTime": "2030-01-01T08:00:00+08:00", "MinSize": 0, "MaxSize": 9, "DesiredCapacity": 1}
        name = {"AutoScalingGroupId": group, "ScheduledActionName": f"action-{number}"}
        await tke._as("CreateScheduledAction", {**name, **when})
        name = {"AutoScalingGroupId": group, "ScalingPolicyName": f"policy-{number}"}
        await tke._as("CreateScalingPolicy", name)
    monkeypatch.setattr("tke_provider.clients.tke._PAGE", 2)
    rules = " ".join(map(str, await tke.group_rules(group)))
    assert [rules.count(f"{kind}-{number}") for kind in ("action", "policy") for number in range(3)] == [1] * 6


async def test_a_sold_out_zone_is_told_by_the_scaling_group(tke, cloud, pools):
    pool = pools[PoolKind.REGULAR]
    cloud.trouble("sold_out", "ModifyNodePoolDesiredCapacityAboutAsg", available=0)
    await tke.set_pool_desired(CLUSTER, pool, pool.desired + 1)
    activity = (await tke.scaling_activities(pool.autoscaling_group_id, limit=1))[0]
    assert activity.failed
    assert activity.kind == "SCALE_OUT"
    assert activity.reason
