"""Ways to a cluster's API server, opened and closed on the emulated cloud."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tke_provider.exceptions import UnavailableError
from tke_provider.operators.endpoints import TkeCloseEndpointOperator, TkeOpenEndpointOperator

CONTEXT: dict[str, Any] = {
    "ti": SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=0, try_number=1)
}
FAST: dict[str, Any] = {"poll_interval": 0.01, "timeout": 5}
GIVEN: dict[bool, dict[str, Any]] = {True: {"security_group": "sg-1"}, False: {"subnet_id": "subnet-1"}}


@pytest.fixture
def cloud(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    return cloud


def opening(external: bool, **given: Any) -> TkeOpenEndpointOperator:
    return TkeOpenEndpointOperator(task_id="t", external=external, **{**FAST, **GIVEN[external], **given})


def close(external: bool, **given: Any) -> Any:
    return TkeCloseEndpointOperator(task_id="t", external=external, **{**FAST, **given}).execute(CONTEXT)


def state(cloud, external: bool) -> str:
    cluster = cloud._ask("GET", "state", {})["clusters"]["cls-local000"]
    return cluster["external" if external else "internal"]["state"]


@pytest.mark.parametrize(("external", "name"), [(True, "public"), (False, "private")])
def test_an_endpoint_is_closed_and_opened_again(cloud, external, name):
    assert close(external) == {
        "cluster_id": "cls-local000",
        "endpoint": name,
        "reason": f"the {name} endpoint of cluster cls-local000 is closed",
    }
    assert state(cloud, external) == "NotFound"
    opened = opening(external).execute(CONTEXT)
    assert opened["reason"] == f"the {name} endpoint of cluster cls-local000 is Created"
    assert state(cloud, external) == "Created"


def test_what_is_open_or_closed_already_stays_so(cloud):
    opening(True).execute(CONTEXT)
    assert cloud.calls("CreateClusterEndpoint") == []
    close(True)
    close(True)
    assert len(cloud.calls("DeleteClusterEndpoint")) == 1


@pytest.mark.parametrize("trouble", ["lost_answer", "server_error", "throttle"])
def test_trouble_on_the_way_is_healed_by_looking(cloud, trouble):
    close(True)
    cloud.trouble(trouble, "CreateClusterEndpoint")
    opening(True).execute(CONTEXT)
    assert state(cloud, True) == "Created"
    assert sum(call["code"] == "" for call in cloud.calls("CreateClusterEndpoint")) == 1


def test_an_endpoint_that_is_slow_to_show_is_waited_for(cloud):
    close(True)
    cloud.tell("clock", endpoint={"mode": "looks", "amount": 3})
    assert opening(True).execute(CONTEXT)["reason"].endswith("is Created")
    assert len(cloud.calls("CreateClusterEndpoint")) == 1


def test_why_the_cloud_could_not_open_it_is_told_in_its_words(cloud):
    close(True)
    cloud.trouble("fails", "CreateClusterEndpoint", message="no load balancer left in ap-guangzhou-3")
    with pytest.raises(UnavailableError, match=r"is not open: .* is CreateFailed: no load balancer left"):
        opening(True).execute(CONTEXT)
    assert opening(True).execute(CONTEXT)["endpoint"] == "public"


@pytest.mark.parametrize(
    ("external", "missing", "told"),
    [(True, "security_group", "needs a security group"), (False, "subnet_id", "needs a subnet")],
)
def test_what_the_cloud_needs_is_asked_for_first(cloud, external, missing, told):
    with pytest.raises(AirflowFailException, match=told):
        opening(external, **{missing: None}).execute(CONTEXT)
    assert cloud.calls("CreateClusterEndpoint") == []


def test_a_long_wait_is_deferred_and_resumed_from_ids_alone(cloud):
    close(True)
    cloud.tell("clock", endpoint={"mode": "told"})
    with pytest.raises(TaskDeferred) as deferred:
        opening(True, deferrable=True, defer_after=0).execute(CONTEXT)
    _, arguments = deferred.value.trigger.serialize()
    assert (arguments["cluster_id"], arguments["external"], arguments["wanted"]) == ("cls-local000", True, "open")
    event = {"state": "passed", "reason": "open"}
    assert opening(True).execute_complete(CONTEXT, event)["cluster_id"] == "cls-local000"
