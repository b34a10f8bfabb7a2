"""Plans, rehearsed and applied: services on a real cluster, node pools on the emulated cloud."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.live_cluster import report, run_of, until
from tke_provider.clients import leases
from tke_provider.clients.nodes import cordon, node_ref
from tke_provider.clients.pools import shrinking
from tke_provider.domain.manifests import annotation
from tke_provider.domain.operations import SIZED_BY
from tke_provider.domain.plans import USUAL
from tke_provider.exceptions import BusyError
from tke_provider.operators.plans import TkeApplyScheduleOperator, TkeScalePlanOperator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.stack

DAY, NIGHT = "2026-11-23T10:00:00+08:00", "2026-11-23T22:00:00+08:00"


def hours(
    place, sizes: str = "{web: 3}", *more: str, targets: str = "", web: str = "", service: str = "name: web"
) -> str:
    """A plan for the place's service web on working hours."""
    return "\n".join(
        [
            textwrap.dedent(f"""\
                name: hours
                time_zone: Asia/Shanghai
                targets:
                  web:
                    service: {{namespace: {place.namespace}, {service}}}
                """),
            textwrap.indent(textwrap.dedent(web), "    "),
            textwrap.indent(textwrap.dedent(targets), "  "),
            textwrap.dedent(f"""\
                windows:
                  - name: working hours
                    cron: 0 8 * * *
                    duration: 12h
                    sizes: {sizes}
                """),
            *more,
        ]
    )


async def apply(plan: str, at: str = DAY, run: str = "run-1", **more: Any) -> dict:
    operator = TkeApplyScheduleOperator(
        task_id="apply",
        plan=plan,
        at=at,
        **{"poll_interval": 0.2, "service_timeout": 120, "pool_timeout": 90, **more},
    )
    context = run_of(run)
    context["ti"].xcom_push = lambda **_: None
    return await asyncio.to_thread(operator.execute, context)


@contextlib.asynccontextmanager
async def worker(plan: str, **more: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that carries out a plan, killed in the end as a machine kills: without a word."""
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
    script += "import asyncio\nfrom tests.operators.test_plans import apply\n"
    script += f"asyncio.run(apply({plan!r}, **{more!r}))"
    started = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        await started.wait()


async def rehearse(plan: str, at: str = DAY) -> dict:
    return await asyncio.to_thread(TkeScalePlanOperator(task_id="show", plan=plan, at=at).execute, run_of())


async def size(place, kind: str = "Deployment", name: str = "web") -> int:
    return (await place.cluster.get(place.ref(kind, name)))["spec"]["replicas"]


async def create(place, replicas: int = 1, name: str = "web", **more: Any) -> None:
    workload = place.workload(name=name, replicas=replicas, **more)
    workload["metadata"] |= {"namespace": place.namespace, "labels": {"app": name}}
    await place.cluster.create(workload)


def states(result: dict) -> dict[str, str]:
    return {row["ref"]: row["state"] for row in result["rows"]}


async def test_a_service_follows_its_window_and_returns_to_the_size_it_had(place, clouds):
    await create(place, 2)
    result = await apply(hours(place))
    ref = f"Deployment {place.namespace}/web"
    assert states(result) == {ref: "done"}
    live = await place.cluster.get(place.ref("Deployment"))
    assert live["status"]["availableReplicas"] == 3
    assert annotation(live, USUAL) == "2"
    assert annotation(live, SIZED_BY)
    assert (await apply(hours(place), run="run-2"))["rows"] == [], "the second run finds nothing to do"
    await apply(hours(place), NIGHT, "night")
    live = await place.cluster.get(place.ref("Deployment"))
    assert live["spec"]["replicas"] == 2
    assert not annotation(live, USUAL)
    assert not annotation(live, SIZED_BY), "manifests own the size again"


async def test_a_rehearsal_changes_nothing_and_shows_what_would_be(place, clouds):
    await create(place, 1)
    result = await rehearse(hours(place, web="price: 0.5"))
    ref = f"Deployment {place.namespace}/web"
    assert states(result) == {ref: "to change"}
    assert f"| {ref} | 1 | 3 | window working hours |  |  | +1 |" in result["markdown"]
    assert (result["cost_now"], result["cost_then"]) == (0.5, 1.5)
    assert await size(place) == 1


async def test_a_dry_run_of_a_plan_is_its_rehearsal(place, clouds):
    await create(place, 1)
    plan = hours(place, "{web: 3, nodes: 4}", targets="nodes: {node_pool: web, usual: 1}")
    before = await place.cluster.get(place.ref("Deployment"))
    result = await apply(plan, dry_run=True)
    assert result == await rehearse(plan)
    assert [(row["after"], row["state"]) for row in result["rows"]] == [("3", "to change"), ("4", "to change")]
    after = await place.cluster.get(place.ref("Deployment"))
    assert (after["spec"], annotation(after, USUAL)) == (before["spec"], "")
    asked = {call["action"] for call in clouds._ask("GET", "audit", {})["calls"]}
    assert {action for action in asked if not action.startswith("Describe")} == set()
    assert asked, "the cloud was asked, and nothing but that"


async def test_a_missing_service_is_named_and_the_rest_is_done(place, clouds):
    await create(place, 1)
    nowhere = f"nowhere: {{service: {{namespace: {place.namespace}, name: nowhere}}}}"
    plan = hours(place, "{web: 2, nowhere: 2}", targets=nowhere)
    with pytest.raises(AirflowFailException, match=r"1 of 2 objects .* there is no service .*/nowhere"):
        await apply(plan)
    assert await size(place) == 2


async def test_services_by_label_get_the_size_each_and_their_own_usual_back(place, clouds):
    for number in range(3):
        await create(place, number + 1, f"web-{number}")
    every = f"every: {{service: {{namespace: {place.namespace}, selector: app}}}}"
    plan = hours(place, "{every: 0}", targets=every, service="selector: none")
    assert len((await apply(plan))["rows"]) == 3
    assert [await size(place, name=f"web-{number}") for number in range(3)] == [0, 0, 0]
    await apply(plan, NIGHT, "night")
    assert [await size(place, name=f"web-{number}") for number in range(3)] == [1, 2, 3]


async def test_a_service_that_somebody_changes_is_left_to_a_retry_and_the_others_are_done(place, clouds):
    await create(place, 1)
    await create(place, 1, "other")
    other = f"other: {{service: {{namespace: {place.namespace}, name: other}}}}"
    plan = hours(place, "{web: 2, other: 2}", targets=other)
    await leases.acquire(place.cluster, place.namespace, "web", "another-plan")
    with pytest.raises(BusyError, match=r"1 of 2 objects .*changed by another-plan"):
        await apply(plan)
    assert (await size(place), await size(place, name="other")) == (1, 2)
    assert "being changed by another-plan" in (await rehearse(plan))["markdown"]
    await leases.release(place.cluster, place.namespace, "web", "another-plan")
    await apply(plan)
    assert await size(place) == 2


async def test_nothing_is_changed_in_a_freeze(place, clouds):
    await create(place, 1)
    freeze = "freezes:\n  - {name: audit, from: 2026-11-23 00:00, until: 2026-11-24 00:00}"
    result = await apply(hours(place, "{web: 3}", freeze))
    assert (result["frozen"], result["rows"], await size(place)) == ("audit", [], 1)


async def test_a_quota_that_has_no_room_for_the_pods_is_told_before_anything_is_changed(place, clouds):
    workload = place.workload(replicas=1)
    workload["metadata"]["namespace"] = place.namespace
    workload["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "300m"}}
    await place.cluster.create(workload)
    await place.pod("web")  # what appears at the same time as its quota is counted minutes later
    quota = place.ref("ResourceQuota", "team", "v1")
    metadata = {"name": quota.name, "namespace": quota.namespace}
    made = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"requests.cpu": "1"}}}
    await place.cluster.create(made)

    async def counted() -> bool:
        status = (await place.cluster.get(quota)).get("status") or {}
        return (status.get("used") or {}).get("requests.cpu") == "300m"

    await until(counted)
    result = await rehearse(hours(place, "{web: 5}"))
    assert [row["state"] for row in result["rows"]] == ["blocked"]
    assert "quota team (requests.cpu 300m of 1) has room for 2 pods more" in result["markdown"]
    assert list(states(await rehearse(hours(place, "{web: 3}"))).values()) == ["to change"]


async def test_an_autoscaler_that_may_be_changed_gets_the_bounds_and_gets_them_back(place, clouds):
    await create(place, 1)
    await autoscaler(place, 1, 4)
    with pytest.raises(AirflowFailException, match="is written by HorizontalPodAutoscaler web"):
        await apply(hours(place))
    plan = hours(place, "{web: {min: 2, max: 6}}", web="on_owner: bounds")
    await apply(plan)
    assert await bounds(place) == (2, 6)
    await apply(plan, NIGHT, "night")
    assert await bounds(place) == (1, 4)


async def test_an_autoscaler_can_be_a_target_itself(place, clouds):
    await create(place, 1)
    await autoscaler(place, 1, 4)
    load = f"load: {{hpa: {{namespace: {place.namespace}, name: web}}}}"
    plan = hours(place, "{load: 3}", targets=load, service="selector: none")
    await apply(plan)
    assert await bounds(place) == (3, 4)
    with pytest.raises(AirflowFailException, match="9 is above its maximum of 4"):
        await apply(plan.replace("{load: 3}", "{load: 9}"))


async def autoscaler(place, minimum: int, maximum: int) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "minReplicas": minimum, "maxReplicas": maximum}
    metadata = {"name": "web", "namespace": place.namespace}
    kind = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    await place.cluster.create({**kind, "metadata": metadata, "spec": spec})


async def bounds(place) -> tuple[int, int]:
    live = await place.cluster.get(place.ref("HorizontalPodAutoscaler", "web", "autoscaling/v2"))
    return live["spec"]["minReplicas"], live["spec"]["maxReplicas"]


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


async def test_a_worker_killed_in_the_middle_leaves_what_its_retry_completes(place, clouds):
    names = [f"web-{number}" for number in range(6)]
    for name in names:
        await create(place, 1, name)
    every = f"every: {{service: {{namespace: {place.namespace}, selector: app}}}}"
    plan = hours(place, "{every: 3}", targets=every, service="selector: none")

    async def sizes() -> list[int]:
        return [await size(place, name=name) for name in names]

    async with worker(plan, concurrency=1) as process:

        async def begun() -> bool:
            assert process.returncode is None, "it ended before it could be killed"
            return (await sizes()).count(3) >= 2

        await until(begun)
    assert 2 <= (await sizes()).count(3) < 6
    result = await apply(plan)
    assert await sizes() == [3] * 6
    told = list(states(result).values())
    assert told.count("verified") >= 2, "what the first try did is seen through, and not done again"
    assert told.count("done") + told.count("verified") == 6
    await apply(plan, NIGHT, "night")
    assert await sizes() == [1] * 6, "nobody forgot what was usual"


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


async def test_two_plans_never_change_one_service_at_a_time(place, clouds):
    await create(place, 1)
    plans = [hours(place, f"{{web: {number}}}") for number in (2, 3)]
    ends = await asyncio.gather(
        *(apply(plan, run=f"run-{number}") for number, plan in enumerate(plans)), return_exceptions=True
    )
    busy = [each for each in ends if isinstance(each, BusyError)]
    assert [each for each in ends if not isinstance(each, (dict, BusyError))] == []
    won = [each["rows"][0]["after"] for each in ends if isinstance(each, dict)]
    assert len(busy) + len(won) == 2
    assert str(await size(place)) in won, "the size is that of a plan which was carried out to its end"
