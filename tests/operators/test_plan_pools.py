"""Plans for node pools of the emulated cloud, whose machines are nodes of a real cluster."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.live_cluster import report, run_of, until
from tests.operators.test_plans import DAY, NIGHT, apply, create, hours, rehearse, size, states
from tke_provider.clients import leases
from tke_provider.clients.nodes import cordon, node_ref
from tke_provider.clients.pools import shrinking
from tke_provider.operators.plans import TkeApplyScheduleOperator

pytestmark = pytest.mark.stack


def joined(cloud) -> list[dict[str, Any]]:
    web = cloud.pool()["id"]
    nodes = cloud._ask("GET", "state", {})["clusters"]["cls-local000"]["nodes"].values()
    return [node for node in nodes if node["pool"] == web]


async def is_closed(place, name: str) -> bool:
    return bool((await place.cluster.get(node_ref(name)))["spec"].get("unschedulable"))


async def labelled(place, names: list[str]) -> None:
    """Wait until the pool's machines are nodes of the live cluster, and label them so that a pod can choose one."""
    for name in names:

        async def there(name: str = name) -> object:
            return await place.cluster.get(node_ref(name))

        await until(there)
        await place.cluster.patch(node_ref(name), {"metadata": {"labels": {"test": name}}})


async def test_nodes_come_before_pods_and_go_after_them(place, clouds):
    await create(place, 1)
    plan = hours(place, "{web: 3, nodes: 4}", targets="nodes: {node_pool: web, usual: 1}")
    result = await apply(plan)
    assert [row["ref"].split()[0] for row in result["rows"]] == ["node", "Deployment"]
    assert clouds.pool()["desired"] == 4
    result = await apply(plan, NIGHT, "night")
    assert [row["ref"].split()[0] for row in result["rows"]] == ["Deployment", "node"]
    assert (clouds.pool()["desired"], await size(place)) == (1, 1)


async def test_a_pool_that_gets_no_nodes_is_told_in_the_cloud_s_words_and_the_pods_are_sized(place, clouds):
    await create(place, 1)
    clouds.trouble("sold_out", "ModifyNodePoolDesiredCapacityAboutAsg", available=0, message="S5 is sold out")
    plan = hours(place, "{web: 2, nodes: 3}", targets="nodes: {node_pool: web, usual: 1}")
    with pytest.raises(AirflowFailException, match=r"1 of 2 objects .*S5 is sold out"):
        await apply(plan)
    assert await size(place) == 2


async def test_a_pool_shrinks_by_the_nodes_that_are_least_missed_and_drained_before(place, clouds):
    plan = hours(place, "{nodes: 3}", targets="nodes: {node_pool: web, usual: 1}", service="selector: none")
    await apply(plan)
    machines = sorted(machine["id"] for machine in joined(clouds))
    await labelled(place, machines)
    # The service's one pod runs on a node that is not the first to go by its age.
    await create(place, 1)
    pinned = {"spec": {"template": {"spec": {"nodeSelector": {"test": machines[2]}}}}}
    await place.cluster.patch(place.ref("Deployment"), pinned)

    async def there() -> bool:
        return [pod["spec"].get("nodeName") for pod in await place.pods()] == [machines[2]]

    await until(there)
    await apply(plan, NIGHT, "night")
    assert [machine["id"] for machine in joined(clouds)] == [machines[2]], "the node with the pod stays"
    assert clouds.pool()["desired"] == 1
    assert not await is_closed(place, machines[2])


async def test_nodes_that_never_came_are_given_up_before_any_that_works(place, clouds):
    clouds.trouble("sold_out", "ModifyNodePoolDesiredCapacityAboutAsg", available=1, message="S5 is sold out")
    plan = hours(place, "{nodes: 4}", targets="nodes: {node_pool: web, usual: 2}", service="selector: none")
    with pytest.raises(AirflowFailException, match="S5 is sold out"):
        await apply(plan)
    came = [machine["id"] for machine in joined(clouds)]
    assert (len(came), clouds.pool()["desired"]) == (2, 4)
    await apply(plan, NIGHT, "night")
    assert ([machine["id"] for machine in joined(clouds)], clouds.pool()["desired"]) == (came, 2)


async def a_node_in_use(place, clouds) -> str:
    """The pool's one node, with a pod that a disruption budget keeps there."""
    (machine,) = joined(clouds)
    await labelled(place, [machine["id"]])
    await create(place, 1)
    await place.cluster.patch(
        place.ref("Deployment"), {"spec": {"template": {"spec": {"nodeSelector": {"test": machine["id"]}}}}}
    )
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    metadata = {"name": "careful", "namespace": place.namespace}
    await place.cluster.create(
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}
    )

    async def there() -> bool:
        live = await place.cluster.get(place.ref("PodDisruptionBudget", "careful", "policy/v1"))
        pods = [pod["spec"].get("nodeName") for pod in await place.pods()]
        return pods == [machine["id"]] and live.get("status", {}).get("currentHealthy") == 1

    await until(there)
    return str(machine["id"])


EMPTY = {"sizes": "{nodes: 0}", "targets": "nodes: {node_pool: web, usual: 1}", "service": "selector: none"}


async def test_a_pool_whose_nodes_cannot_be_drained_keeps_them_and_says_which_budget(place, clouds):
    node = await a_node_in_use(place, clouds)
    async with leases.held(place.cluster, [("default", clouds.pool()["id"])], "another-plan"):
        shown = await rehearse(hours(place, **EMPTY))
    why = "PodDisruptionBudget careful, which needs 1 healthy pods and has 1"
    assert [row["state"] for row in shown["rows"]] == ["blocked"]
    assert f"it is being changed by another-plan; Pod {place.namespace}/web-" in shown["markdown"]
    assert f"is kept by {why}" in shown["markdown"]
    with pytest.raises(AirflowFailException, match=why):
        await apply(hours(place, **EMPTY), pool_timeout=2)
    assert clouds.pool()["desired"] == 1
    assert not await is_closed(place, node)


async def test_a_person_who_ends_a_plan_that_drains_a_node_finds_it_open(place, clouds):
    operator = TkeApplyScheduleOperator(task_id="apply", plan=hours(place, **EMPTY), at=DAY, poll_interval=0.2)
    context = run_of()
    context["ti"].xcom_push = lambda **_: None
    node = await a_node_in_use(place, clouds)
    running = asyncio.create_task(asyncio.to_thread(operator.execute, context))
    await until(lambda: is_closed(place, node))
    operator.on_kill()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not await is_closed(place, node)
    assert clouds.pool()["desired"] == 1


async def test_a_node_that_a_killed_plan_left_closed_is_opened_by_the_next_one_and_a_person_s_is_not(place, clouds):
    pool, (machine,) = clouds.pool()["id"], joined(clouds)
    await labelled(place, [machine["id"]])
    # What a plan leaves behind that dies while it drains a node.
    await cordon(place.cluster, [machine["id"]], "dead", closed_by=shrinking(pool))
    plan = hours(place, **EMPTY)
    assert states(await apply(plan, NIGHT, "night")) == {f"node pool {pool} (web)": "verified"}
    assert not await is_closed(place, machine["id"])
    assert not clouds.calls("ModifyNodePoolDesiredCapacityAboutAsg"), "the pool has had its size all the time"
    await place.cluster.patch(node_ref(machine["id"]), {"spec": {"unschedulable": True}})
    assert (await apply(plan, NIGHT, "later"))["rows"] == []
    assert await is_closed(place, machine["id"])


async def say_ready(place, name: str, status: str) -> None:
    """Write what a kubelet says of its node; kwok leaves alone what does not bear its annotation."""
    await place.cluster.patch(node_ref(name), {"metadata": {"annotations": {"kwok.x-k8s.io/node": None}}})
    said = {"reason": "KubeletNotReady", "message": "cni plugin not initialized"}
    await report(
        place, await place.cluster.get(node_ref(name)), {"conditions": [{"type": "Ready", "status": status, **said}]}
    )


async def test_a_node_that_kubernetes_does_not_call_ready_is_waited_for_and_named(place, clouds):
    (machine,) = joined(clouds)
    await labelled(place, [machine["id"]])
    await say_ready(place, machine["id"], "False")
    plan = hours(place, "{nodes: 2}", targets="nodes: {node_pool: web, usual: 1}", service="selector: none")
    said = f"has 1 of 2 nodes ready in Kubernetes: {machine['id']} is not ready: KubeletNotReady: cni plugin not init"
    with pytest.raises(AirflowFailException, match=said):
        await apply(plan, pool_timeout=2)
    assert clouds.pool()["desired"] == 2, "by the cloud's word, both are there"
    await say_ready(place, machine["id"], "True")
    await apply(plan)


async def test_a_retry_takes_no_second_step(place, clouds):
    await create(place, 1)
    plan = hours(
        place,
        "{web: 9, nodes: 9, machines: {min: 4, max: 9}}",
        targets="nodes: {node_pool: web, usual: 1, guards: {step: 2}}\n"
        "machines: {node_pool: native, usual: 1, guards: {step: 2}}",
        web="guards: {step: 2}",
    )
    clouds._ask("POST", "clock", {"node": {"mode": "told"}})
    with pytest.raises(AirflowFailException, match=r"2 of 3 objects .* has 1 of 3 nodes ready"):
        await apply(plan, pool_timeout=1)
    clouds._ask("POST", "clock", {"node": {"mode": "at once"}})
    clouds._ask("POST", "tell", {"what": "*"})
    sizes = []
    for run in ("run-1", "run-1", "run-2"):
        await apply(plan, run=run)
        native = clouds.pool("native")
        sizes.append((await size(place), clouds.pool()["desired"], native["minimum"], native["maximum"]))
    assert sizes == [(3, 3, 2, 9), (3, 3, 2, 9), (5, 5, 4, 9)]


async def test_a_retry_waits_for_the_nodes_that_its_first_try_asked_for(place, clouds):
    plan = hours(place, "{nodes: 3}", targets="nodes: {node_pool: web, usual: 1}", service="selector: none")
    clouds._ask("POST", "clock", {"node": {"mode": "told"}})
    for _ in range(2):
        with pytest.raises(AirflowFailException, match=r"1 of 1 objects .* has 1 of 3 nodes ready"):
            await apply(plan, pool_timeout=1)
    clouds._ask("POST", "tell", {"what": "*"})
    result = await apply(plan)
    assert (result["rows"], len(joined(clouds))) == ([], 3)
    assert len(clouds.calls("ModifyNodePoolDesiredCapacityAboutAsg")) == 1
