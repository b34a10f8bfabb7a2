"""Node pools made and deleted on the emulated cloud; its own log says what was asked of it, and how often.

A deletion takes the pool's lease, which lies in the live cluster.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tke_provider.domain.creations import MADE_BY
from tke_provider.exceptions import InputError, UnavailableError
from tke_provider.hooks.tke import TkeHook
from tke_provider.operators import node_pool_life
from tke_provider.operators.node_pool_life import TkeCreateNodePoolOperator, TkeDeleteNodePoolOperator

MAKES = {"regular": "CreateClusterNodePool", "native": "CreateNodePool", "super": "CreateClusterVirtualNodePool"}
DELETES = {"regular": "DeleteClusterNodePool", "native": "DeleteNodePool", "super": "DeleteClusterVirtualNodePool"}
FIRST = {"web", "native", "super"}
SIZED = {"instance_types": ["SA5.LARGE8"], "minimum": 1, "maximum": 4, "desired": 2}
GIVEN: dict[str, dict[str, Any]] = {"regular": SIZED, "native": SIZED, "super": {"security_groups": ["sg-1"]}}


@pytest.fixture
def cloud(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    monkeypatch.setattr(node_pool_life, "TO_SHOW", 0.2)
    return cloud


class Ti(SimpleNamespace):
    """A task instance with an XCom of its own."""

    def xcom_push(self, key: str, value: object) -> None:
        self.kept = {**getattr(self, "kept", {}), key: value}

    def xcom_pull(self, key: str, map_indexes: int) -> object:
        return self.kept[key]


def context(try_number: int = 1, run: str = "r") -> dict[str, Any]:
    return {"ti": Ti(dag_id="d", run_id=run, task_id="t", map_index=-1, max_tries=3, try_number=try_number)}


def creation(kind: str = "regular", **given: Any) -> TkeCreateNodePoolOperator:
    more = {"name": "batch", "kind": kind, "subnets": ["subnet-1"], "poll_interval": 0.01, "timeout": 60}
    return TkeCreateNodePoolOperator(task_id="t", **{**more, **GIVEN[kind], **given})


def create(kind: str = "regular", ctx: dict[str, Any] | None = None, **given: Any) -> Any:
    return creation(kind, **given).execute(ctx or context())


def delete(node_pool: str = "batch", ctx: dict[str, Any] | None = None, **given: Any) -> Any:
    more = {"confirm": "batch", "instances": "terminate", "poll_interval": 0.01, "timeout": 60}
    return TkeDeleteNodePoolOperator(task_id="t", node_pool=node_pool, **{**more, **given}).execute(ctx or context())


def come_true(cloud, what: str) -> None:
    """Let what is on its way of this kind be there."""
    cloud._ask("POST", "tell", {"what": what})


def there(cloud) -> dict[str, dict[str, Any]]:
    """The pools but the first three, by id."""
    pools = cloud._ask("GET", "state", {})["clusters"]["cls-local000"]["pools"]
    return {key: value for key, value in pools.items() if value["name"] not in FIRST}


def done(cloud, action: str) -> int:
    """How often the cloud carried an action out."""
    return sum(call["code"] == "" for call in cloud.calls(action))


@pytest.mark.parametrize("kind", MAKES)
def test_a_pool_of_each_kind_is_made_by_its_own_call(cloud, kind):
    made = create(kind, labels={"tier": "batch"}, taints=["batch=yes:NoSchedule"], deletion_protection=True)
    ((pool_id, live),) = there(cloud).items()
    nodes = 0 if kind == "super" else 2
    assert {key: made[key] for key in ("cluster_id", "node_pool", "name", "kind", "nodes")} == {
        "cluster_id": "cls-local000",
        "node_pool": pool_id,
        "name": "batch",
        "kind": kind,
        "nodes": nodes,
    }
    assert {label["Name"] for label in live["labels"]} == {"tier", MADE_BY}
    assert live["taints"] == [{"Key": "batch", "Value": "yes", "Effect": "NoSchedule"}]
    assert live["deletion_protection"]
    assert done(cloud, MAKES[kind]) == 1


@pytest.mark.parametrize("kind", ["regular", "native"])
def test_bounds_size_and_autoscaling_are_made_at_once(cloud, kind):
    create(kind, autoscaling=True, minimum="1", maximum="6", desired="3")
    (live,) = there(cloud).values()
    assert (live["minimum"], live["desired"], live["maximum"], live["autoscaling"]) == (1, 3, 6, True)


@pytest.mark.parametrize("kind", MAKES)
@pytest.mark.parametrize("trouble", ["lost_answer", "throttle"])
def test_a_lost_answer_is_looked_up_and_makes_no_second_pool(cloud, kind, trouble):
    cloud.trouble(trouble, MAKES[kind])
    made = create(kind)
    assert list(there(cloud)) == [made["node_pool"]]
    assert done(cloud, MAKES[kind]) == 1


@pytest.mark.parametrize("kind", MAKES)
def test_what_may_not_have_been_made_is_not_made_again_by_the_same_try(cloud, kind):
    cloud.trouble("server_error", MAKES[kind])
    with pytest.raises(UnavailableError, match="may have been made, so look before making it again"):
        create(kind)
    assert len(cloud.calls(MAKES[kind])) == 1
    made = create(kind, context(try_number=2))
    assert list(there(cloud)) == [made["node_pool"]]


@pytest.mark.parametrize("kind", MAKES)
def test_a_retry_finds_the_pool_of_the_first_try(cloud, kind):
    assert create(kind) == create(kind, context(try_number=2))
    assert len(cloud.calls(MAKES[kind])) == 1


def test_a_name_that_is_taken_is_refused_or_used_as_said(cloud):
    web = cloud.pool()["id"]
    with pytest.raises(AirflowFailException, match=f"a node pool named web already, .*: {web}; take another name"):
        create(name="web")
    assert create(name="web", if_exists="use")["node_pool"] == web
    assert cloud.calls(MAKES["regular"]) == []


@pytest.mark.parametrize(
    ("kind", "wrong", "told"),
    [
        ("regular", {"desired": 5}, "size of 5, which is above its maximum of 4"),
        ("regular", {"desired": 0}, "size of 0, which is below its minimum of 1"),
        ("native", {"minimum": 9}, "Bounds from 9 to 4 hold no size"),
        ("native", {"maximum": "many"}, "maximum is 'many'; give a whole number"),
        ("regular", {"instance_types": []}, "has no instance type"),
        ("regular", {"subnets": []}, "has no subnet"),
        ("regular", {"taints": ["gpu"]}, "'gpu' is no taint"),
        ("super", {"maximum": 3}, "consists of super nodes, which have neither machines nor a size"),
        ("super", {"security_groups": []}, "has no security group"),
        ("regular", {"cluster_id": "cls-unknown"}, "Region ap-guangzhou has no cluster cls-unknown"),
    ],
)
def test_nonsense_is_refused_before_anything_is_made(cloud, kind, wrong, told):
    with pytest.raises(AirflowFailException, match=told):
        create(kind, **wrong)
    assert cloud.calls(MAKES[kind]) == []


def test_a_misspelt_choice_is_refused_when_the_dag_is_parsed():
    with pytest.raises(InputError, match="kind is 'normal'"):
        TkeCreateNodePoolOperator(task_id="t", name="x", kind="normal", subnets=[])


def test_machines_that_are_sold_out_are_told_in_the_words_of_the_cloud(cloud):
    cloud.trouble("sold_out", MAKES["regular"], available=1)
    with pytest.raises(AirflowFailException, match=r"has 1 nodes of 2, and the cloud gave up on more: .*sold out"):
        create()
    assert len(there(cloud)) == 1


def test_a_timeout_deletes_nothing_and_a_retry_takes_the_pool_up(cloud):
    cloud.tell("clock", node={"mode": "told"})
    with pytest.raises(AirflowFailException, match=r"is not whole: .* has 0 of 2 nodes ready; nothing was deleted"):
        create(timeout=0.05)
    assert cloud.calls(DELETES["regular"]) == []
    come_true(cloud, "node")
    made = create(ctx=context(try_number=2))
    assert list(there(cloud)) == [made["node_pool"]]


def test_a_long_wait_is_deferred_and_resumed_from_ids_alone(cloud):
    cloud.tell("clock", node={"mode": "told"})
    with pytest.raises(TaskDeferred) as deferred:
        creation(deferrable=True, defer_after=0).execute(context())
    path, arguments = deferred.value.trigger.serialize()
    (pool_id,) = there(cloud)
    assert (path.rpartition(".")[2], arguments["node_pool"]) == ("NewPoolTrigger", pool_id)
    come_true(cloud, "node")
    assert creation().execute_complete(context(), {"state": "passed", "reason": "whole"})["node_pool"] == pool_id


@pytest.mark.stack
@pytest.mark.parametrize("kind", DELETES)
def test_a_pool_of_each_kind_is_deleted_by_its_own_call(clouds, kind):
    made = create(kind)
    assert delete() == {
        "cluster_id": "cls-local000",
        "node_pool": made["node_pool"],
        "instances": "terminate",
        "reason": f"node pool {made['node_pool']} is gone",
    }
    assert there(clouds) == {}
    assert done(clouds, DELETES[kind]) == 1


@pytest.mark.stack
@pytest.mark.parametrize(("instances", "kept"), [("retain", True), ("terminate", False)])
def test_the_machines_of_a_regular_pool_stay_or_end_as_said(clouds, instances, kept):
    create()
    delete(instances=instances)
    assert [call["request"]["KeepInstance"] for call in clouds.calls(DELETES["regular"])] == [kept]


@pytest.mark.parametrize("kind", ["native", "super"])
def test_machines_that_cannot_outlive_their_pool_are_not_promised_to(cloud, kind):
    create(kind)
    with pytest.raises(AirflowFailException, match=f"consists of {kind} nodes, which do not outlive it"):
        delete(instances="retain")
    assert len(there(cloud)) == 1


@pytest.mark.parametrize("confirm", ["", "yes", "web", "np-other000"])
def test_a_deletion_that_does_not_name_the_pool_again_is_refused(cloud, confirm):
    create()
    with pytest.raises(AirflowFailException, match=r"deletion of node pool .* \(batch\) is not confirmed"):
        delete(confirm=confirm)
    assert cloud.calls(DELETES["regular"]) == []


@pytest.mark.parametrize("kind", DELETES)
def test_a_protected_pool_is_not_deleted_and_its_protection_stays(cloud, kind):
    create(kind, deletion_protection=True)
    with pytest.raises(AirflowFailException, match=r"\(batch\) is protected from deletion"):
        delete()
    (live,) = there(cloud).values()
    assert live["deletion_protection"]
    assert cloud.calls(DELETES[kind]) == []


@pytest.mark.stack
@pytest.mark.parametrize("kind", DELETES)
@pytest.mark.parametrize("trouble", ["lost_answer", "throttle"])
def test_a_deletion_whose_answer_is_lost_is_looked_up(clouds, kind, trouble):
    create(kind)
    clouds.trouble(trouble, DELETES[kind])
    delete()
    assert there(clouds) == {}
    assert done(clouds, DELETES[kind]) == 1


def test_a_pool_that_is_not_there_is_an_error_at_the_first_try_only(cloud):
    with pytest.raises(AirflowFailException, match="has no node pool nowhere"):
        delete("nowhere")
    assert delete("nowhere", context(try_number=2))["reason"] == "node pool nowhere is gone"


def test_a_pool_that_no_try_has_found_is_no_deleted_one(cloud):
    store: dict[str, Any] = {}
    memory = {"task_state_store": SimpleNamespace(get=store.get, set=store.__setitem__)}
    with pytest.raises(AirflowFailException, match="has no node pool nowhere"):
        delete("nowhere", context(try_number=2) | memory, retries=3)
    assert store == {}


@pytest.mark.stack
def test_a_deletion_that_takes_long_is_waited_for_by_a_retry(clouds):
    create()
    clouds.tell("clock", pool={"mode": "told"})
    with pytest.raises(AirflowFailException, match=r"is not gone: .* is deleting; it goes on being deleted"):
        delete(timeout=0.05)
    come_true(clouds, "pool")
    assert delete(ctx=context(try_number=2))["reason"].endswith("is gone")
    assert len(clouds.calls(DELETES["regular"])) == 1


async def close_endpoint() -> None:
    async with await TkeHook().tke() as tke:
        await tke.close_endpoint("cls-local000", external=False)


def test_a_pool_of_a_cluster_without_a_way_in_is_deleted_nevertheless(cloud):
    asyncio.run(close_endpoint())
    assert delete("web", confirm="web")["reason"].endswith("is gone")
