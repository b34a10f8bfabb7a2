"""Nodes, drained on a real API server, whose own controllers decide about disruption budgets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tests.live_cluster import run_of, until
from tests.process_of_a_release import process
from tke_provider.clients.nodes import CORDONED_BY, node_ref
from tke_provider.domain.manifests import annotation
from tke_provider.domain.verdicts import State
from tke_provider.exceptions import UnavailableError
from tke_provider.operators.nodes import TkeDrainNodesOperator
from tke_provider.triggers.nodes import DrainTrigger

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]


SETTINGS = {"task_id": "drain", "poll_interval": 0.2, "timeout": 120, "deferrable": False}
RETRY, CLEAR = {"max_tries": 1, "try_number": 2}, {"max_tries": 3, "try_number": 3}


def drain(nodes: list[str] | str, **more: Any) -> TkeDrainNodesOperator:
    return TkeDrainNodesOperator(nodes=nodes, **{**SETTINGS, **more})


async def run(nodes: list[str] | str, context: dict | None = None, **more: Any) -> dict:
    return await asyncio.to_thread(drain(nodes, **more).execute, context or run_of())


async def refused(nodes: list[str] | str, context: dict | None = None, **more: Any) -> str:
    with pytest.raises(AirflowFailException) as caught:
        await run(nodes, context, **more)
    return str(caught.value)


async def serve(place, replicas: int, **pod: Any) -> None:
    """A service whose pods run on the place's node."""
    workload = place.workload(replicas=replicas)
    workload["metadata"]["namespace"] = place.namespace
    # Not the cordon's taint: else the pods would come back to the node that they were evicted from.
    tolerations = [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]
    workload["spec"]["template"]["spec"] |= {"tolerations": tolerations, **pod}
    await place.cluster.create(workload)
    await until(lambda: ready(place, replicas))


async def ready(place, replicas: int) -> bool:
    live = await place.cluster.get(place.ref("Deployment"))
    return live["status"].get("availableReplicas", 0) == replicas


async def budget(place, least: int) -> None:
    """A disruption budget that the cluster has looked at."""
    ref = place.ref("PodDisruptionBudget", "careful", "policy/v1")
    spec = {"minAvailable": least, "selector": {"matchLabels": {"app": "web"}}}
    metadata = {"name": ref.name, "namespace": place.namespace}
    await place.cluster.create({"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata, "spec": spec})

    async def seen() -> bool:
        status = (await place.cluster.get(ref)).get("status", {})
        return status.get("expectedPods", 0) == status.get("currentHealthy") == len(await running(place)) > 0

    await until(seen)


async def closed(place, node: str = "") -> bool:
    return bool((await place.cluster.get(node_ref(node or place.namespace)))["spec"].get("unschedulable"))


async def marked(place, node: str = "") -> bool:
    return bool(annotation(await place.cluster.get(node_ref(node or place.namespace)), CORDONED_BY))


async def running(place) -> list[dict]:
    return [pod for pod in await place.pods(app="web") if pod["spec"].get("nodeName")]


async def test_a_drained_node_is_closed_and_has_no_pod_left_that_had_to_go(place):
    await serve(place, 3)
    result = await run(place.namespace)
    assert result == {"nodes": [place.namespace], "reason": f"1 node drained: {place.namespace}"}
    assert (await closed(place), await marked(place)) == (True, False), "only a person opens it again"
    assert await running(place) == []


async def test_a_disruption_budget_is_honoured_and_named_when_time_is_up(place):
    await serve(place, 2)
    await budget(place, 2)
    told = await refused(place.namespace, timeout=2, uncordon_on_failure=False)
    assert "is kept by PodDisruptionBudget careful, which needs 2 healthy pods and has 2" in told
    assert "stay closed to new pods" in told
    assert len(await running(place)) == 2
    assert await closed(place)


async def test_a_dry_run_shows_what_would_go_and_which_budget_keeps_it(place):
    await serve(place, 2)
    await budget(place, 2)
    before = (await place.cluster.get(node_ref(place.namespace)))["spec"]
    (row,) = (await run(place.namespace, dry_run=True))["rows"]
    assert (row["before"], row["after"], row["state"]) == (
        "open, 2 pods to evict",
        "closed, 0 pods to evict",
        "blocked",
    )
    assert "is kept by PodDisruptionBudget careful, which needs 2 healthy pods and has 2" in row["reason"]
    await place.cluster.delete(place.ref("PodDisruptionBudget", "careful", "policy/v1"))
    assert (await run(place.namespace, dry_run=True))["rows"][0]["state"] == "to change"
    assert (await place.cluster.get(node_ref(place.namespace)))["spec"] == before
    assert (len(await running(place)), await marked(place)) == (2, False)
    assert "has no node nowhere" in await refused("nowhere", dry_run=True)


async def test_the_nodes_are_opened_again_on_failure(place):
    await serve(place, 1)
    await budget(place, 1)
    assert "are open again" in await refused(place.namespace, timeout=1)
    assert (await closed(place), await marked(place)) == (False, False)


async def test_a_node_that_was_emptied_stays_closed_beside_one_that_was_not(place):
    await serve(place, 1)
    await budget(place, 1)
    empty = f"{place.namespace}-idle"
    told = await refused([place.namespace, empty], timeout=1)
    assert f"and open again are {place.namespace} of them" in told
    assert (await closed(place), await closed(place, empty)) == (False, True)


async def test_a_node_that_somebody_else_closed_is_not_opened(place):
    await serve(place, 1)
    await budget(place, 1)
    await place.cluster.patch(node_ref(place.namespace), {"spec": {"unschedulable": True}})
    await refused(place.namespace, timeout=1)
    assert (await closed(place), await marked(place)) == (True, False)


async def test_pods_go_one_after_the_other_where_the_budget_lets_one_go(place):
    await serve(place, 2)
    await budget(place, 1)
    told = await refused(place.namespace, timeout=3, uncordon_on_failure=False)
    # The pod that went cannot come back: the only node for it is closed.
    assert len(await running(place)) == 1
    assert "PodDisruptionBudget careful" in told


@pytest.mark.parametrize(
    ("node", "told"), [("nowhere", "has no node nowhere; name nodes as kubectl get nodes does"), (" , ", "No node")]
)
async def test_a_node_that_does_not_exist_is_named(place, node, told):
    assert told in await refused(node)


async def test_a_pod_that_would_be_lost_is_named_and_nothing_is_changed(place):
    lonely = place.workload()["spec"]["template"]
    metadata = {"name": "lonely", "namespace": place.namespace, "labels": {"app": "web"}}
    await place.cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": lonely["spec"]})
    await until(lambda: running(place))
    assert "lonely has no controller" in await refused(place.namespace)
    assert not await closed(place)
    await run(place.namespace, force=True)
    assert await running(place) == []


async def test_data_on_the_node_is_not_given_up_unasked(place):
    await serve(place, 1, volumes=[{"name": "scratch", "emptyDir": {}}])
    assert "keeps data on its node" in await refused(place.namespace)
    assert not await closed(place)
    await run(place.namespace, delete_empty_dir=True)
    assert await running(place) == []


async def test_it_drains_in_the_triggerer(place):
    await serve(place, 2)
    operator = drain([place.namespace], deferrable=True, defer_after=-1)
    with pytest.raises(TaskDeferred) as deferred:
        await asyncio.to_thread(operator.execute, run_of())
    trigger = deferred.value.trigger
    assert DrainTrigger(**trigger.serialize()[1]).serialize() == trigger.serialize()
    verdict = await trigger.wait()
    assert verdict.state is State.PASSED
    assert await running(place) == []


# --- whoever is killed ------------------------------------------------------------------------------------------------


async def killed_in_the_middle(place) -> None:
    """Let a worker begin to drain a node whose pods are kept, and kill it as a machine kills."""
    await serve(place, 2)
    await budget(place, 2)
    path = f"{TkeDrainNodesOperator.__module__}.{TkeDrainNodesOperator.__qualname__}"
    async with process("operator", path, {**SETTINGS, "nodes": place.namespace}, "run-1"):
        await until(lambda: marked(place))
    assert (await closed(place), len(await running(place))) == (True, 2)


async def test_a_drain_that_was_killed_is_gone_on_with_by_its_retry(place):
    await killed_in_the_middle(place)
    await place.cluster.delete(place.ref("PodDisruptionBudget", "careful", "policy/v1"))
    await run(place.namespace, run_of("run-1", **RETRY))
    assert (await closed(place), await running(place)) == (True, [])


async def test_a_node_that_was_left_closed_is_opened_by_a_clear_that_fails_and_by_no_other_run(place):
    await killed_in_the_middle(place)
    assert "open again are none of them" in await refused(place.namespace, run_of("run-2"), timeout=0.5)
    assert await closed(place)
    assert "are open again" in await refused(place.namespace, run_of("run-1", **CLEAR), timeout=0.5)
    assert not await closed(place)


async def test_a_person_who_ends_a_drain_finds_the_node_open(place):
    await serve(place, 1)
    await budget(place, 1)
    operator = drain(place.namespace)
    task = asyncio.create_task(asyncio.to_thread(operator.execute, run_of()))
    await until(lambda: closed(place))
    operator.on_kill()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await closed(place), await marked(place)) == (False, False)


@pytest.mark.parametrize("opens", [True, False])
async def test_a_person_who_ends_a_deferred_drain_finds_the_node_as_was_said(place, opens):
    await serve(place, 1)
    await budget(place, 1)
    operator = drain(place.namespace, deferrable=True, defer_after=-1, uncordon_on_failure=opens)
    with pytest.raises(TaskDeferred) as deferred:
        await asyncio.to_thread(operator.execute, run_of())
    await deferred.value.trigger.on_kill()
    assert await closed(place) is not opens


@pytest.mark.parametrize(("context", "still"), [(run_of(max_tries=2), True), (run_of(try_number=2), False)])
async def test_an_error_that_a_retry_may_mend_opens_nothing_before_the_last_try(place, monkeypatch, context, still):
    await serve(place, 1)

    async def no_answer(*_: object) -> None:
        raise UnavailableError("The cluster does not answer", way_out="wait")

    # A cluster that answers until the node is closed, and then no more, cannot be had otherwise.
    monkeypatch.setattr(DrainTrigger, "wait", no_answer)
    with pytest.raises(UnavailableError):
        await run(place.namespace, context)
    assert await closed(place) is still
