"""Clusters made and deleted on the emulated cloud; its own log says what was asked of it, and how often."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tke_provider.clients.credentials import StaticKey
from tke_provider.clients.tencent_cloud import TencentCloudClient
from tke_provider.clients.tke import Tke
from tke_provider.domain.creations import MADE_BY
from tke_provider.exceptions import InputError, UnavailableError
from tke_provider.operators import clusters
from tke_provider.operators.clusters import TkeCreateClusterOperator, TkeDeleteClusterOperator
from tke_provider.operators.endpoints import TkeOpenEndpointOperator
from tke_provider.operators.node_pool_life import TkeCreateNodePoolOperator

GUARDED = "cls-local000"


@pytest.fixture
def cloud(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    monkeypatch.setattr(clusters, "TO_SHOW", 0.2)
    return cloud


def context(try_number: int = 1, run: str = "r", cleared: int = 0) -> dict[str, Any]:
    ti = SimpleNamespace(
        dag_id="d", run_id=run, task_id="t", map_index=-1, max_tries=3 + cleared, try_number=try_number
    )
    ti.xcom_push = lambda **_: None
    return {"ti": ti}


def remembering(store: dict[str, Any], try_number: int, cleared: int = 0) -> dict[str, Any]:
    """The context of a try, with what Airflow (3.3) keeps from try to try."""
    memory = SimpleNamespace(get=store.get, set=store.__setitem__)
    return context(try_number, cleared=cleared) | {"task_state_store": memory}


def creation(**given: Any) -> TkeCreateClusterOperator:
    more = {"name": "day", "vpc_id": "vpc-1", "version": "1.32.2", "cidr": "10.8.0.0/14", "poll_interval": 0.01}
    return TkeCreateClusterOperator(task_id="t", **{**more, "timeout": 60, **given})


def create(ctx: dict[str, Any] | None = None, **given: Any) -> Any:
    return creation(**given).execute(ctx or context())


def deletion(cluster_id: str, **given: Any) -> TkeDeleteClusterOperator:
    more = {"confirm": "day", "instances": "terminate", "disks": "retain", "poll_interval": 0.01, "timeout": 60}
    return TkeDeleteClusterOperator(task_id="t", cluster_id=cluster_id, **{**more, **given})


def delete(cluster_id: str, ctx: dict[str, Any] | None = None, **given: Any) -> Any:
    return deletion(cluster_id, **given).execute(ctx or context())


def come_true(cloud, what: str) -> None:
    """Let what is on its way of this kind be there."""
    cloud._ask("POST", "tell", {"what": what})


def there(cloud) -> dict[str, dict[str, Any]]:
    """The clusters but the first, by id."""
    every = cloud._ask("GET", "state", {})["clusters"]
    return {key: value for key, value in every.items() if key != GUARDED}


def test_a_cluster_is_made_and_runs(cloud):
    made = create(tags={"team": "shop"}, deletion_protection=True, level="L20")
    (cluster_id, live), *others = there(cloud).items()
    assert others == []
    assert made == {
        "cluster_id": cluster_id,
        "name": "day",
        "version": "1.32.2",
        "reason": f"cluster {cluster_id} (day) is Running",
    }
    assert (live["vpc"], live["cidr"], live["level"], live["deletion_protection"]) == (
        "vpc-1",
        "10.8.0.0/14",
        "L20",
        True,
    )
    assert {tag["Key"] for tag in live["tags"]} == {"team", MADE_BY}


def test_settings_in_the_words_of_the_api_come_before_the_arguments(cloud):
    create(settings={"ClusterBasicSettings": {"ClusterDescription": "for a day", "ClusterLevel": "L50"}})
    (live,) = there(cloud).values()
    assert (live["description"], live["level"], live["vpc"]) == ("for a day", "L50", "vpc-1")


@pytest.mark.parametrize("trouble", ["lost_answer", "throttle"])
def test_a_lost_answer_is_looked_up_and_makes_no_second_cluster(cloud, trouble):
    cloud.trouble(trouble, "CreateCluster")
    made = create()
    assert list(there(cloud)) == [made["cluster_id"]]
    assert sum(call["code"] == "" for call in cloud.calls("CreateCluster")) == 1


def test_what_may_not_have_been_made_is_not_made_again_by_the_same_try(cloud):
    cloud.trouble("server_error", "CreateCluster")
    with pytest.raises(UnavailableError, match="may have been made, so look before making it again"):
        create()
    assert len(cloud.calls("CreateCluster")) == 1
    made = create(context(try_number=2))
    assert list(there(cloud)) == [made["cluster_id"]]


def test_a_retry_finds_the_cluster_of_the_first_try(cloud):
    assert create()["cluster_id"] == create(context(try_number=2))["cluster_id"]
    assert len(cloud.calls("CreateCluster")) == 1


@pytest.mark.parametrize("other", [context(run="another"), context(cleared=1)], ids=["another run", "a Clear"])
def test_a_name_that_is_taken_is_refused_or_used_as_said(cloud, other):
    made = create()
    with pytest.raises(
        AirflowFailException, match=f"cluster named day already, .*: {made['cluster_id']}; take another"
    ):
        create(other)
    assert create(other, if_exists="use") == made
    assert len(cloud.calls("CreateCluster")) == 1


def test_two_clusters_of_one_run_are_named_and_neither_is_taken(cloud):
    create()
    (live,) = there(cloud).values()
    tags = [{"ResourceType": "cluster", "Tags": live["tags"]}]
    settings = {"ClusterBasicSettings": {"TagSpecification": tags}}
    # Also one whose tag is not shown is known by the id that the cloud answered with.
    twin = create(context(run="another"), name="twin", cidr="", settings=settings)
    assert twin["name"] == "twin"
    with pytest.raises(AirflowFailException, match=r"Two tries of this task made a cluster each: cls-\w+, cls-\w+;"):
        create(context(try_number=2))


def test_a_timeout_deletes_nothing_and_a_retry_takes_the_cluster_up(cloud):
    cloud.tell("clock", cluster={"mode": "told"})
    with pytest.raises(
        AirflowFailException, match=r"does not run: cluster cls-\w+ \(day\) is Creating; nothing was del"
    ):
        create(timeout=0.05)
    assert cloud.calls("DeleteCluster") == []
    come_true(cloud, "cluster")
    made = create(context(try_number=2))
    assert list(there(cloud)) == [made["cluster_id"]]


def test_a_cluster_that_the_cloud_gave_up_on_stays_and_is_named(cloud):
    cloud.trouble("fails", "CreateCluster")
    with pytest.raises(
        AirflowFailException, match=r"Cluster cls-\w+ \(day\) does not run: .* is Abnormal; nothing was"
    ):
        create()
    assert len(there(cloud)) == 1
    assert cloud.calls("DeleteCluster") == []


def test_what_the_cloud_refuses_is_told_in_its_words(cloud):
    create()
    with pytest.raises(AirflowFailException, match=r"CidrConflictWithOtherCluster: .*conflicts with 10\.8\.0\.0/14"):
        create(context(run="another"), name="another")
    assert len(there(cloud)) == 1


def test_a_long_wait_is_deferred_and_resumed_from_ids_alone(cloud):
    cloud.tell("clock", cluster={"mode": "told"})
    with pytest.raises(TaskDeferred) as deferred:
        creation(deferrable=True, defer_after=0).execute(context())
    path, arguments = deferred.value.trigger.serialize()
    assert path == "tke_provider.triggers.clusters.ClusterTrigger"
    (cluster_id,) = there(cloud)
    assert (arguments["cluster_id"], arguments["wanted"]) == (cluster_id, "running")
    come_true(cloud, "cluster")
    event = {"state": "passed", "reason": "it runs"}
    assert creation().execute_complete(context(), event)["cluster_id"] == cluster_id


def test_a_misspelt_choice_is_refused_when_the_dag_is_parsed():
    with pytest.raises(InputError, match="if_exists is 'yes'"):
        creation(if_exists="yes")
    with pytest.raises(InputError, match="instances is 'delete'"):
        deletion("cls-1", instances="delete")


def test_a_cluster_is_deleted_and_what_stays_was_said(cloud):
    made = create(deletion_protection=False)
    gone = delete(made["cluster_id"])
    assert gone == {
        "cluster_id": made["cluster_id"],
        "instances": "terminate",
        "disks": "retain",
        "reason": f"cluster {made['cluster_id']} is gone",
    }
    assert there(cloud) == {}
    (call,) = cloud.calls("DeleteCluster")
    assert call["request"]["InstanceDeleteMode"] == "terminate"
    assert call["request"]["ResourceDeleteOptions"] == [{"ResourceType": "CBS", "DeleteMode": "retain"}]


@pytest.mark.parametrize("confirm", ["", "yes", "local", GUARDED])
def test_a_deletion_that_does_not_name_the_cluster_again_is_refused(cloud, confirm):
    made = create(deletion_protection=False)
    with pytest.raises(AirflowFailException, match=r"deletion of cluster .* \(day\) is not confirmed.*confirm='day'"):
        delete(made["cluster_id"], confirm=confirm)
    assert list(there(cloud)) == [made["cluster_id"]]
    assert cloud.calls("DeleteCluster") == []


def test_a_protected_cluster_is_not_deleted_and_its_protection_stays(cloud):
    made = create()
    with pytest.raises(AirflowFailException, match=r"\(day\) is protected from deletion; if it shall go indeed, lift"):
        delete(made["cluster_id"])
    assert there(cloud)[made["cluster_id"]]["deletion_protection"]
    assert cloud.calls("DeleteCluster") == []


@pytest.mark.parametrize("trouble", ["lost_answer", "throttle"])
def test_a_deletion_whose_answer_is_lost_is_looked_up(cloud, trouble):
    made = create(deletion_protection=False)
    cloud.trouble(trouble, "DeleteCluster")
    delete(made["cluster_id"])
    assert there(cloud) == {}
    assert sum(call["code"] == "" for call in cloud.calls("DeleteCluster")) == 1


def test_a_retry_waits_for_the_deletion_of_the_first_try(cloud):
    made = create(deletion_protection=False)
    cloud.tell("clock", cluster={"mode": "told"})
    with pytest.raises(AirflowFailException, match=r"is not gone: .* is Deleting; it goes on being deleted"):
        delete(made["cluster_id"], timeout=0.05)
    cloud.tell("clock", cluster={"mode": "at once"})
    come_true(cloud, "cluster")
    assert delete(made["cluster_id"], context(try_number=2))["reason"].endswith("is gone")
    assert len(cloud.calls("DeleteCluster")) == 1


def test_a_cluster_that_no_try_has_found_is_no_deleted_one(cloud):
    made = create(deletion_protection=False)
    store: dict[str, Any] = {}
    for try_number in (1, 2):
        with pytest.raises(AirflowFailException, match="has no cluster cls-misspelt; check the id"):
            delete("cls-misspelt", remembering(store, try_number), retries=3)
    cleared = remembering(store, try_number=3, cleared=2)
    assert delete("cls-misspelt", cleared, retries=3)["reason"] == "cluster cls-misspelt is gone"
    store.clear()
    delete(made["cluster_id"], remembering(store, try_number=1), retries=3)
    again = delete(made["cluster_id"], remembering(store, try_number=2), retries=3)
    assert again["reason"].endswith("is gone"), "whoever was killed after it asked for the deletion has found it"


def test_a_cluster_that_is_not_there_is_an_error_at_the_first_try_only(cloud):
    with pytest.raises(AirflowFailException, match="Region ap-guangzhou has no cluster cls-misspelt; check the id"):
        delete("cls-misspelt")
    assert delete("cls-misspelt", context(try_number=2))["reason"] == "cluster cls-misspelt is gone"
    assert cloud.calls("DeleteCluster") == []


def test_a_cluster_gets_nodes_then_a_way_in_then_a_kubeconfig_and_goes_with_all_of_them(cloud):
    """The journey of dags/cluster_for_a_day.py, without its scheduler."""
    made = create(deletion_protection=False)
    fast: dict[str, Any] = {"task_id": "t", "cluster_id": made["cluster_id"], "poll_interval": 0.01, "timeout": 60}
    way_in = TkeOpenEndpointOperator(external=False, subnet_id="subnet-1", **fast)
    with pytest.raises(AirflowFailException, match=r"has no running node.*; correct what the cause names"):
        way_in.execute(context())
    pool = TkeCreateNodePoolOperator(
        name="work", kind="native", subnets=["subnet-1"], instance_types=["SA5.LARGE8"], desired=2, maximum=9, **fast
    ).execute(context())
    assert pool["nodes"] == 2
    way_in.execute(context())
    assert "apiVersion" in asyncio.run(kubeconfig(cloud, made["cluster_id"]))
    delete(made["cluster_id"])
    assert there(cloud) == {}


async def kubeconfig(cloud, cluster_id: str) -> str:
    credentials = StaticKey(cloud.secret_id, cloud.secret_key)
    async with Tke(TencentCloudClient(credentials, cloud.region, endpoint=cloud.endpoint)) as tke:
        return await tke.kubeconfig(cluster_id, False)
