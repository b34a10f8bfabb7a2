"""Plans, rehearsed and applied to services of a real cluster; those for node pools are in ``test_plan_pools.py``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.live_cluster import run_of, until
from tke_provider.clients import leases
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
