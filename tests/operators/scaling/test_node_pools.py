"""Node pools, resized on the emulated cloud; its own log says what was written, and in which order."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tests.process_of_a_release import at_length
from tke_provider.clients.tke import Tke
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import DeadlineError
from tke_provider.hooks.tke import TkeHook
from tke_provider.operators.scaling import TkeScaleNodePoolOperator

if TYPE_CHECKING:
    from tke_provider.domain.clusters import ScalingActivity

pytestmark = pytest.mark.stack

SET_BOUNDS, SET_SIZE = "ModifyClusterNodePool", "ModifyNodePoolDesiredCapacityAboutAsg"
SET_NATIVE_BOUNDS, SET_NATIVE_SIZE = "ModifyNodePool", "ScaleNodePool"
WRITES = (SET_BOUNDS, SET_SIZE, SET_NATIVE_BOUNDS, SET_NATIVE_SIZE)
# The emulator's first state: regular pool "web" and native pool "native", each 0 ≤ 1 ≤ 10.
BEFORE = {"minimum": 0, "desired": 1, "maximum": 10}


class Instance(SimpleNamespace):
    """A task instance, with the XComs that outlive a deferral."""

    def __init__(self) -> None:
        super().__init__(dag_id="d", run_id="r", task_id="nodes", map_index=-1, max_tries=0, try_number=1, xcoms={})

    def xcom_push(self, key: str, value: object) -> None:
        self.xcoms[key] = value

    def xcom_pull(self, key: str, map_indexes: int) -> object:
        return self.xcoms.get(key, {"size": 1, "seen": ""})


def resumed(operator: TkeScaleNodePoolOperator, context: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    """Resume a deferred task, in another process."""
    return operator.execute_complete(context, event=verdict.as_event())


@pytest.fixture
def cloud(clouds):
    """The emulated cloud's pools, and the live cluster that their leases and nodes lie in."""
    return clouds


def scale(desired: int | str, *, node_pool: str = "web", **more: Any) -> TkeScaleNodePoolOperator:
    settings: dict[str, Any] = {"poll_interval": 0.01, "timeout": 90, "deferrable": False, **more}
    return TkeScaleNodePoolOperator(task_id="nodes", node_pool=node_pool, desired=desired, **settings)


def run(desired: int | str, **more: Any) -> dict[str, Any]:
    return scale(desired, **more).execute({"ti": Instance()})


def numbers(cloud, name: str = "web") -> tuple[int, int, int]:
    found = cloud.pool(name)
    return found["minimum"], found["desired"], found["maximum"]


def writes(cloud) -> list[dict[str, Any]]:
    return [call for call in cloud._ask("GET", "audit", {})["calls"] if call["action"] in WRITES]


def replayed(cloud) -> list[tuple[int, int, int]]:
    """Minimum, size and maximum after every write that the cloud accepted, from its own log."""
    now, history = dict(BEFORE), []
    for call in writes(cloud):
        request = call["request"]
        native = request.get("Native", {})
        scaling = native.get("Scaling", {})
        given = {
            "minimum": request.get("MinNodesNum", scaling.get("MinReplicas")),
            "maximum": request.get("MaxNodesNum", scaling.get("MaxReplicas")),
            "desired": request.get("DesiredCapacity", request.get("Replicas", native.get("Replicas"))),
        }
        if not call["code"]:
            now |= {name: value for name, value in given.items() if value is not None}
            history.append((now["minimum"], now["desired"], now["maximum"]))
    return history


# --- what is written --------------------------------------------------------------------------------------------------


def test_a_pool_grows_and_the_decision_says_from_where_to_where(cloud):
    web = cloud.pool()["id"]
    assert run("3") == {
        "target": f"node pool {web} (web)",
        "from": 1,
        "to": 3,
        "reason": f"node pool {web} has 3 nodes, all ready",
        "owner": "",
    }
    assert [call["action"] for call in writes(cloud)] == [SET_SIZE]


def test_a_pool_that_is_there_is_not_written(cloud):
    decision = run(1)
    assert (decision["from"], decision["to"]) == (1, 1)
    assert writes(cloud) == []


def test_a_pool_shrinks_until_the_last_surplus_node_has_left(cloud):
    run(4)
    assert run(2)["from"] == 4
    nodes = cloud._ask("GET", "state", {})["clusters"]["cls-local000"]["nodes"].values()
    assert sum(node["pool"] == cloud.pool()["id"] for node in nodes) == 2


@pytest.mark.parametrize("name", ["web", "native"])
@pytest.mark.parametrize("wanted", [(0, 12, 15), (12, 12, 12), (0, 0, 0), *at_length((3, 3, 10), (1, 2, 3))])
def test_the_size_lies_within_the_bounds_after_every_write(cloud, name, wanted):
    minimum, desired, maximum = wanted
    run(desired, node_pool=name, minimum=minimum, maximum=maximum)
    history = replayed(cloud)
    assert history[-1] == numbers(cloud, name) == wanted
    assert all(low <= size <= high for low, size, high in history)
    assert all(not call["code"] for call in writes(cloud)), "nothing was refused on the way"


def test_a_native_pool_is_scaled_by_its_own_call(cloud):
    run(3, node_pool=cloud.pool("native")["id"])
    assert [call["action"] for call in writes(cloud)] == [SET_NATIVE_SIZE]


def test_the_next_write_waits_until_the_pool_is_at_rest(cloud):
    cloud._ask("POST", "clock", {"pool": {"mode": "looks", "amount": 3}})
    run(12, minimum=12, maximum=12)
    assert [call["code"] for call in writes(cloud)] == ["", "", ""]


# --- what is refused, before anything is written ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"desired": 11}, "{web} cannot get a size of 11, which is above its maximum of 10"),
        ({"desired": 2, "minimum": 3}, "{web} cannot get a size of 2, which is below its minimum of 3"),
        ({"desired": 3, "minimum": 5, "maximum": 4}, "Bounds from 5 to 4 hold no size"),
        ({"desired": "three"}, "desired is 'three'; give a whole number"),
        ({"desired": -1}, "desired is -1; give a whole number"),
        ({"desired": 2, "node_pool": "super"}, "{super} is a pool of super nodes, which has no size"),
        ({"desired": 2, "node_pool": "nowhere"}, "no node pool nowhere; use one of its pools: {web}"),
        ({"desired": 2, "cluster_id": "cls-nowhere"}, "cls-nowhere"),
    ],
)
def test_bad_input_ends_the_task_at_once_with_one_sentence(cloud, wrong, sentence):
    with pytest.raises(AirflowFailException) as raised:
        run(**wrong)
    ids = {name: cloud.pool(name)["id"] for name in ("web", "super")}
    assert sentence.format_map(ids) in str(raised.value)
    assert writes(cloud) == []


# --- who writes the size ----------------------------------------------------------------------------------------------


def autoscale(cloud, name: str) -> None:
    """Hand the pool to the cluster autoscaler, as a person does in the console."""

    async def switch() -> None:
        which = {"ClusterId": "cls-local000", "NodePoolId": cloud.pool(name)["id"]}
        async with await TkeHook().tke() as tke:
            if name == "native":
                await tke._tke_2022(SET_NATIVE_BOUNDS, {**which, "Native": {"EnableAutoscaling": True}})
            else:
                await tke._tke(SET_BOUNDS, {**which, "EnableAutoscale": True})

    asyncio.run(switch())


@pytest.mark.parametrize("name", ["web", "native"])
def test_a_pool_that_the_autoscaler_sizes_is_left_to_it(cloud, name):
    autoscale(cloud, name)
    with pytest.raises(AirflowFailException, match="is written by the cluster autoscaler"):
        run(3, node_pool=name)
    assert numbers(cloud, name) == (0, 1, 10)


@pytest.mark.parametrize("name", ["web", "native"])
def test_or_its_lower_bound_is_raised_and_lowered_again(cloud, name):
    autoscale(cloud, name)
    decision = run(3, node_pool=name, on_autoscaler="bounds")
    assert (decision["from"], decision["to"], decision["owner"]) == (0, 3, "the cluster autoscaler")
    assert numbers(cloud, name) == (3, 3, 10)
    run(1, node_pool=name, on_autoscaler="bounds")
    assert numbers(cloud, name) == (1, 3, 10), "how far it shrinks is the autoscaler's to say"
    assert all(low <= size <= high for low, size, high in replayed(cloud))


@pytest.mark.parametrize(("direction", "desired"), [("up", 0), ("down", 5)])
def test_a_task_of_one_direction_leaves_a_pool_beyond_alone(cloud, direction, desired):
    decision = run(desired, direction=direction)
    assert (decision["from"], decision["to"]) == (1, 1)
    assert "this task only" in decision["reason"]
    assert writes(cloud) == []


# --- when things go wrong ---------------------------------------------------------------------------------------------


def test_a_lost_answer_is_looked_up_and_the_write_not_repeated(cloud):
    cloud.trouble("lost_answer", SET_SIZE)
    assert run(4)["to"] == 4
    assert len(writes(cloud)) == 1


def test_a_write_that_never_arrived_is_made_again(cloud):
    cloud.trouble("server_error", SET_SIZE)
    assert run(4)["to"] == 4
    assert len(writes(cloud)) == 2


def test_a_pool_that_somebody_else_changes_is_waited_for(cloud):
    cloud.trouble("error", SET_SIZE, code="OperationDenied", message="node pool is updating", count=2)
    assert run(4)["to"] == 4
    assert [call["code"] for call in writes(cloud)] == ["OperationDenied", "OperationDenied", ""]


def test_throttling_is_waited_out(cloud):
    cloud.trouble("throttle", SET_SIZE, count=2)
    assert run(4)["to"] == 4


def test_a_sold_out_zone_ends_the_task_with_the_cloud_s_own_words(cloud):
    cloud.trouble("sold_out", SET_SIZE, available=1, message="S5.MEDIUM4 is sold out in ap-guangzhou-3")
    with pytest.raises(AirflowFailException) as raised:
        run(4)
    assert f"{cloud.pool()['id']} has 2 nodes of 4" in str(raised.value)
    assert "S5.MEDIUM4 is sold out in ap-guangzhou-3" in str(raised.value)


def test_an_old_failure_says_nothing_about_a_new_write(cloud):
    cloud.trouble("sold_out", SET_SIZE, available=0)
    with pytest.raises(AirflowFailException):
        run(2)
    assert run(1)["to"] == 1
    assert run(3)["to"] == 3


def test_nodes_that_do_not_come_in_time_are_counted(cloud):
    cloud._ask("POST", "clock", {"node": {"mode": "told"}})
    with pytest.raises(AirflowFailException, match="has 1 of 3 nodes ready") as raised:
        run(3, timeout=0.5)
    assert isinstance(raised.value.__cause__, DeadlineError)


@pytest.mark.parametrize(("max_tries", "found"), [(0, 1), (2, 4)], ids=["a retry", "a Clear"])
def test_a_retry_tells_the_size_before_the_first_try_and_a_clear_begins_anew(cloud, max_tries, found):
    store: dict[str, Any] = {}
    memory = SimpleNamespace(get=store.get, set=store.__setitem__)
    for tries, before in ((0, 1), (max_tries, found)):
        # Airflow clears the XComs before each try.
        instance = Instance()
        instance.max_tries = tries
        assert scale(4).execute({"ti": instance, "task_state_store": memory})["from"] == before


def test_nodes_that_are_merely_late_are_not_explained_by_an_old_failure(cloud, monkeypatch):
    cloud.trouble("sold_out", SET_SIZE, available=0)
    with pytest.raises(AirflowFailException, match="gave up on more"):
        run(2)
    run(1)
    old = activities()
    # The emulated scaling group records its try at once; the real one does so some time after the write.
    monkeypatch.setattr(Tke, "scaling_activities", AsyncMock(return_value=old))
    cloud._ask("POST", "clock", {"node": {"mode": "told"}})
    context = {"ti": Instance()}
    with pytest.raises(TaskDeferred):
        scale(3, deferrable=True, defer_after=0).execute(context)
    late = Verdict(State.EXPIRED, "node pool np-web has 1 of 3 nodes ready")
    with pytest.raises(AirflowFailException, match="1 of 3 nodes ready") as raised:
        resumed(scale(3), context, late)
    assert isinstance(raised.value.__cause__, DeadlineError)


def activities() -> list[ScalingActivity]:
    """What the scaling group of the pool did, without its scale-ins, latest first."""

    async def ask() -> list[ScalingActivity]:
        async with await TkeHook().tke() as tke:
            group = (await tke.node_pool("cls-local000", "web")).autoscaling_group_id
            return await tke.scaling_activities(group)

    return [each for each in asyncio.run(ask()) if each.kind == "SCALE_OUT"]


def test_a_worker_killed_between_two_writes_leaves_what_its_retry_completes(cloud):
    cloud._ask("POST", "clock", {"pool": {"mode": "told"}})
    script = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"  # noqa: PTH120
    script += f"import {__name__.rpartition('.')[2]} as tests\ntests.run(12, minimum=12, maximum=12, timeout=60)"
    worker = subprocess.Popen([sys.executable, "-c", script])
    try:
        wait_until(lambda: writes(cloud) or worker.poll() is not None)
        worker.kill()
    finally:
        worker.wait()
    assert numbers(cloud) == (0, 1, 12), "killed after the first of three writes, the pool still updating"
    cloud._ask("POST", "clock", {"pool": {"mode": "at once"}})
    decision = run(12, minimum=12, maximum=12)
    assert decision["to"] == 12
    assert replayed(cloud) == [(0, 1, 12), (0, 12, 12), (12, 12, 12)]


def wait_until(true) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


# --- without a worker -------------------------------------------------------------------------------------------------


def test_it_waits_in_the_triggerer_and_concludes_with_what_it_found_before(cloud):
    cloud._ask("POST", "clock", {"node": {"mode": "told"}})
    instance = Instance()
    with pytest.raises(TaskDeferred) as deferred:
        scale(3, deferrable=True, defer_after=0).execute({"ti": instance})
    trigger = deferred.value.trigger
    assert "secret" not in str(trigger.serialize()).lower()
    assert cloud.endpoint not in str(trigger.serialize())
    cloud._ask("POST", "tell", {"what": "*"})
    verdict = asyncio.run(trigger.wait())
    assert verdict.state is State.PASSED
    # Another process resumes the task.
    decision = resumed(scale(3, deferrable=True, defer_after=0), {"ti": instance}, verdict)
    assert (decision["from"], decision["to"]) == (1, 3)


def test_an_event_that_is_no_verdict_is_no_success(cloud):
    with pytest.raises(Exception, match="is no verdict"):
        scale(1).execute_complete({"ti": Instance()}, event={"state": "fine"})


def test_somebody_else_who_changes_the_size_meanwhile_is_noticed(cloud):
    verdict = Verdict(State.FAILED, "the size of node pool np-web was 3 and something else made it 5")
    with pytest.raises(AirflowFailException, match="something else made it 5"):
        scale(3).execute_complete({"ti": Instance()}, event=verdict.as_event())


def test_the_links_and_the_rendered_fields_know_the_pool(cloud):
    operator = scale(1)
    operator.execute({"ti": Instance()})
    assert (operator.region, operator.cluster_id, operator.node_pool_id) == (
        "ap-guangzhou",
        "cls-local000",
        cloud.pool()["id"],
    )
    assert list(operator.template_fields) == sorted(operator.template_fields)
