"""One writer of a pool's size at a time: tasks and plans exclude each other, rules of its scaling group are named."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tests.live_cluster import run_of, until
from tests.operators.scaling.test_node_pools import SET_SIZE, Instance, numbers, scale, writes
from tests.operators.test_plan_pools import joined
from tke_provider.clients import leases
from tke_provider.clients.kubernetes import Cluster
from tke_provider.clients.nodes import CORDONED_BY, cordon, node_ref
from tke_provider.clients.pools import shrinking, whole_pool
from tke_provider.domain.clusters import PoolSettings
from tke_provider.domain.manifests import annotation
from tke_provider.exceptions import BusyError
from tke_provider.hooks.tke import TkeHook
from tke_provider.operators.node_pool_life import TkeDeleteNodePoolOperator
from tke_provider.operators.node_pools import TkeConfigureNodePoolOperator
from tke_provider.operators.plans import TkeApplyScheduleOperator, TkeScalePlanOperator

if TYPE_CHECKING:
    from tests.conftest import EmulatedCloud
    from tke_provider.domain.manifests import ObjectRef

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("clouds")]

PLAN = """\
name: nodes
time_zone: Asia/Shanghai
targets: {nodes: {node_pool: web, usual: 1}}
windows:
  - {name: day, from: 2026-11-23 00:00, until: 2026-11-24 00:00, sizes: {nodes: 4}}
"""
AT = {"plan": PLAN, "at": "2026-11-23T10:00:00+08:00"}


@pytest.fixture
async def cluster(kubeconfig):
    async with Cluster(kubeconfig, name="live") as cluster:
        yield cluster


async def run(operator: Any, context: dict[str, Any]) -> Any:
    return await asyncio.to_thread(operator.execute, context)


def apply_plan(**more: Any) -> TkeApplyScheduleOperator:
    return TkeApplyScheduleOperator(task_id="apply", **AT, **{"poll_interval": 0.1, "pool_timeout": 90, **more})


def planned(run_id: str = "planned") -> dict[str, Any]:
    context = run_of(run_id)
    context["ti"].xcom_push = lambda **_: None
    return context


def lease(clouds: EmulatedCloud) -> ObjectRef:
    return whole_pool(clouds.pool()["id"])


async def holder(cluster: Cluster, clouds: EmulatedCloud) -> str:
    live = await cluster.get(leases.lease_of("default", lease(clouds).name))
    return leases.holder_of(live) if live else ""


async def test_a_pool_that_a_plan_is_changing_is_left_to_the_retry(cluster, clouds):
    async with leases.kept(cluster, lease(clouds), "a-plan"):
        with pytest.raises(BusyError, match=f"{clouds.pool()['id']} .* is being changed by a-plan"):
            await run(scale(3), {"ti": Instance()})
    assert writes(clouds) == []
    await run(scale(3), {"ti": Instance()})
    assert numbers(clouds) == (0, 3, 10)
    assert await holder(cluster, clouds) == ""


async def test_a_plan_leaves_a_pool_alone_for_as_long_as_a_task_waits_for_its_nodes(cluster, clouds):
    clouds._ask("POST", "clock", {"node": {"mode": "told"}})
    context = {"ti": Instance()}
    with pytest.raises(TaskDeferred) as deferred:
        await run(scale(3, deferrable=True, defer_after=0), context)
    assert await holder(cluster, clouds), "it is held across the deferral"
    with pytest.raises(BusyError, match="1 of 1 objects of plan nodes"):
        await run(apply_plan(), planned())
    clouds._ask("POST", "clock", {"node": {"mode": "at once"}})
    verdict = await deferred.value.trigger.wait()
    await asyncio.to_thread(scale(3, deferrable=True).execute_complete, context, verdict.as_event())
    assert await holder(cluster, clouds) == ""
    await run(apply_plan(), planned())
    assert [call["request"]["DesiredCapacity"] for call in writes(clouds)] == [3, 4]


async def test_of_a_task_and_a_plan_at_the_same_time_one_is_carried_out_and_the_other_refused(clouds):
    clouds._ask("POST", "clock", {"node": {"mode": "told"}})  # until one is refused, the other is not done
    both = [asyncio.create_task(each) for each in (run(scale(2), {"ti": Instance()}), run(apply_plan(), planned()))]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    clouds._ask("POST", "clock", {"node": {"mode": "at once"}})
    ends = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(isinstance(end, BusyError) for end in ends) == [False, True], ends
    assert len(writes(clouds)) == 1


async def test_a_wait_that_a_person_ends_gives_the_pool_back(cluster, clouds):
    clouds._ask("POST", "clock", {"node": {"mode": "told"}})
    with pytest.raises(TaskDeferred) as deferred:
        await run(scale(3, deferrable=True, defer_after=0), {"ti": Instance()})
    await deferred.value.trigger.on_kill()

    async def free() -> bool:
        return await holder(cluster, clouds) == ""

    await until(free)


def configure(**settings: Any) -> TkeConfigureNodePoolOperator:
    return TkeConfigureNodePoolOperator(task_id="set", node_pool="web", poll_interval=0.1, timeout=90, **settings)


def delete() -> TkeDeleteNodePoolOperator:
    more: dict[str, Any] = {"confirm": "web", "instances": "terminate", "poll_interval": 0.1, "deferrable": False}
    return TkeDeleteNodePoolOperator(task_id="delete", node_pool="web", timeout=90, **more)


@pytest.mark.parametrize("task", [lambda: configure(maximum=20), delete], ids=["settings", "a deletion"])
async def test_nobody_sets_or_deletes_a_pool_that_a_plan_is_changing(cluster, clouds, task):
    before = clouds.pool()
    async with leases.kept(cluster, lease(clouds), "a-plan"):
        with pytest.raises(BusyError, match=r"is being changed by a-plan; wait for it to end"):
            await run(task(), {"ti": Instance()})
    assert clouds.pool() == before
    assert clouds.calls("ModifyClusterNodePool") + clouds.calls("DeleteClusterNodePool") == []
    await run(task(), {"ti": Instance()})
    assert not leases.holder_of(await cluster.get(leases.lease_of("default", before["id"])))


async def test_settings_that_a_pool_has_already_disturb_nobody(cluster, clouds):
    async with leases.kept(cluster, lease(clouds), "a-plan"):
        assert (await run(configure(maximum=10), {"ti": Instance()}))["changed"] == []


async def test_no_plan_changes_a_pool_whose_settings_are_being_written(clouds):
    clouds.tell("clock", pool={"mode": "told"})
    setting = asyncio.create_task(run(configure(maximum=20), {"ti": Instance()}))

    async def written() -> bool:
        return bool(clouds.calls("ModifyClusterNodePool"))

    await until(written)
    with pytest.raises(BusyError, match="1 of 1 objects of plan nodes"):
        await run(apply_plan(), planned())
    clouds._ask("POST", "tell", {"what": "*"})
    assert (await setting)["changed"] == ["maximum"]
    assert numbers(clouds) == (0, 1, 20)


# --- rules of the scaling group ---------------------------------------------------------------------------------------


def group(clouds: EmulatedCloud) -> str:
    return clouds.pool()["id"].replace("np-", "asg-")


async def rule(clouds: EmulatedCloud, action: str, **params: object) -> None:
    """Make one, as a person does in the console of Auto Scaling."""
    async with await TkeHook().tke() as tke:
        await tke._client.call("as", "2018-04-19", action, {"AutoScalingGroupId": group(clouds), **params})


async def scheduled(clouds: EmulatedCloud, start: str, **more: str) -> None:
    sizes = {"MinSize": 0, "MaxSize": 9, "DesiredCapacity": 2}
    await rule(clouds, "CreateScheduledAction", ScheduledActionName="nightly", StartTime=start, **sizes, **more)


AGAIN = {"Recurrence": "0 20 * * *", "EndTime": "2099-01-01T00:00:00+08:00"}


async def test_a_scheduled_action_of_the_scaling_group_is_named_and_nothing_changed(clouds):
    await scheduled(clouds, "2026-11-01T20:00:00+08:00", **AGAIN)
    told = r"is written by the scheduled action nightly \(cron 0 20 \* \* \*\) of its scaling group " + group(clouds)
    with pytest.raises(AirflowFailException, match=told):
        await run(scale(3), {"ti": Instance()})
    with pytest.raises(AirflowFailException, match="is written by the scheduled action nightly"):
        await run(apply_plan(), planned())
    shown = await run(TkeScalePlanOperator(task_id="show", **AT), run_of())
    assert [row["state"] for row in shown["rows"]] == ["blocked"]
    assert writes(clouds) == []
    await run(scale(1), {"ti": Instance()})  # where nothing is to be written, nobody is in the way


async def test_an_alarm_policy_is_named_likewise(clouds):
    alarm = {"ComparisonOperator": "GREATER_THAN", "MetricName": "CPU_UTILIZATION"}
    alarm |= {"Threshold": 80, "Period": 60, "ContinuousTime": 3}
    await rule(clouds, "CreateScalingPolicy", ScalingPolicyName="busy", MetricAlarm=alarm)
    with pytest.raises(AirflowFailException, match=r"the alarm policy busy \(CPU_UTILIZATION\)"):
        await run(scale(3, on_autoscaler="bounds"), {"ti": Instance()})
    assert writes(clouds) == []


async def test_what_will_never_happen_again_is_nobody_s_rule(clouds):
    await scheduled(clouds, "2020-01-01T20:00:00+08:00")
    await scheduled(clouds, "2020-01-01T20:00:00+08:00", **{**AGAIN, "EndTime": "2021-01-01T00:00:00+08:00"})
    await run(scale(3), {"ti": Instance()})
    assert [call["action"] for call in writes(clouds)] == [SET_SIZE]


# --- dry runs: what would be written, and nothing is ------------------------------------------------------------------


async def dry(clouds: EmulatedCloud, cluster: Cluster, operator: Any) -> list[tuple[str, ...]]:
    """Rehearse; return of every row the values before and after, its state and its reason."""
    before = await cluster.get(leases.lease_of("default", lease(clouds).name))
    shown = await run(operator, run_of("dry"))
    assert {
        call["action"] for call in clouds._ask("GET", "audit", {})["calls"] if call["action"][:8] != "Describe"
    } == set()
    assert await cluster.get(leases.lease_of("default", lease(clouds).name)) == before, "nobody holds a lease for it"
    return [(row["before"], row["after"], row["state"], row["reason"]) for row in shown["rows"]]


async def test_a_dry_run_of_a_size_shows_it_and_who_stands_against_it(cluster, clouds):
    assert await dry(clouds, cluster, scale(3, maximum=20, dry_run=True)) == [
        ("1 in 0..10", "3 in 0..20", "to change", "as asked for")
    ]
    assert (await dry(clouds, cluster, scale(1, dry_run=True)))[0][2] == "unchanged"
    assert (await dry(clouds, cluster, scale(3, direction="down", dry_run=True)))[0][2] == "unchanged"
    for direction in (None, "down"):
        with pytest.raises(AirflowFailException, match="11, which is above its maximum of 10"):
            await run(scale(11, direction=direction, dry_run=True), run_of("dry"))
    async with leases.kept(cluster, lease(clouds), "a-plan"):
        ((*_, state, why),) = await dry(clouds, cluster, scale(3, dry_run=True))
    assert (state, why) == ("blocked", "it is being changed by a-plan")


async def test_a_dry_run_of_settings_shows_each(cluster, clouds):
    settings = {"autoscaling": True, "minimum": 0, "labels": {"tier": "web"}}
    operator = TkeConfigureNodePoolOperator(task_id="pool", node_pool="web", dry_run=True, **settings)
    assert await dry(clouds, cluster, operator) == [
        ("off", "on", "to change", "as asked for"),
        ("0", "0", "unchanged", "as asked for"),
        ("none", "tier=web", "to change", "as asked for"),
    ]


async def test_a_dry_run_names_the_autoscaler_that_writes_the_size(cluster, clouds):
    async with await TkeHook().tke() as tke:
        pool = await tke.node_pool("cls-local000", "web")
        await tke.configure_pool("cls-local000", pool, PoolSettings(autoscaling=True))
    shown = await run(scale(3, dry_run=True), run_of("dry"))
    (row,) = shown["rows"]
    assert (row["state"], row["reason"]) == ("blocked", "its size is written by the cluster autoscaler")
    shown = await run(scale(3, on_autoscaler="bounds", dry_run=True), run_of("dry"))
    assert (shown["rows"][0]["after"], shown["rows"][0]["owner"]) == ("3 in 3..10", "the cluster autoscaler")


async def test_a_task_that_scales_opens_what_a_killed_plan_left_closed(cluster, clouds):
    (name,) = [node["id"] for node in joined(clouds)]
    await until(lambda: cluster.get(node_ref(name)))
    await cordon(cluster, [name], "dead", closed_by=shrinking(clouds.pool()["id"]))
    await run(scale(2), {"ti": Instance()})
    live = await cluster.get(node_ref(name))
    assert (live["spec"].get("unschedulable"), annotation(live, CORDONED_BY)) == (None, "")
