"""Settings of node pools, on the emulated cloud; its own log says what was written. Their leases are real."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tke_provider.operators.node_pools import TkeConfigureNodePoolOperator

pytestmark = pytest.mark.stack

CONTEXT = {"ti": SimpleNamespace(dag_id="d", run_id="r", task_id="pool", map_index=-1, max_tries=0)}
ACTIONS = {"web": "ModifyClusterNodePool", "native": "ModifyNodePool"}


@pytest.fixture
def cloud(clouds):
    """The emulated cloud's pools, and the live cluster that their leases lie in."""
    return clouds


def configure(node_pool: str = "web", **settings: Any) -> dict[str, Any]:
    more = {"poll_interval": 0.01, "timeout": 90, **settings}
    return TkeConfigureNodePoolOperator(task_id="pool", node_pool=node_pool, **more).execute(CONTEXT)


@pytest.mark.parametrize("name", ACTIONS)
def test_everything_given_is_set_by_one_write_and_not_again(cloud, name):
    settings = {
        "autoscaling": True,
        "minimum": 1,
        "maximum": "20",
        "labels": {"tier": "web"},
        "taints": ["gpu=yes:NoSchedule", "spot=:NoExecute"],
        "deletion_protection": True,
    }
    assert configure(name, **settings)["changed"] == sorted(settings)
    live = cloud.pool(name)
    assert (live["autoscaling"], live["minimum"], live["maximum"]) == (True, 1, 20)
    assert live["labels"] == [{"Name": "tier", "Value": "web"}]
    assert {taint["Key"]: taint["Effect"] for taint in live["taints"]} == {"gpu": "NoSchedule", "spot": "NoExecute"}
    assert live["deletion_protection"]
    assert configure(name, **settings)["changed"] == []
    assert len(cloud.calls(ACTIONS[name])) == 1


@pytest.mark.parametrize("name", ACTIONS)
def test_what_is_not_given_stays(cloud, name):
    configure(name, labels={"tier": "web"}, maximum=20)
    assert configure(name, autoscaling=True)["changed"] == ["autoscaling"]
    live = cloud.pool(name)
    assert (live["maximum"], live["labels"]) == (20, [{"Name": "tier", "Value": "web"}])


def test_labels_and_taints_can_be_taken_away(cloud):
    configure(labels={"tier": "web"}, taints=["gpu=yes:NoSchedule"])
    configure(labels={}, taints=[])
    assert (cloud.pool()["labels"], cloud.pool()["taints"]) == ([], [])


@pytest.mark.parametrize("trouble", ["lost_answer", "server_error"])
def test_a_write_whose_answer_is_lost_is_looked_up(cloud, trouble):
    cloud.trouble(trouble, ACTIONS["web"])
    assert configure(maximum=20)["changed"] == ["maximum"]
    assert cloud.pool()["maximum"] == 20
    assert len(cloud.calls(ACTIONS["web"])) == (1 if trouble == "lost_answer" else 2)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"minimum": 2}, "cannot get a size of 1, which is below its minimum of 2"),
        ({"minimum": 5, "maximum": 4}, "Bounds from 5 to 4 hold no size"),
        ({"taints": ["gpu"]}, "'gpu' is no taint; write key=value:effect"),
        ({"node_pool": "super", "maximum": 3}, "is a pool of super nodes"),
        ({"node_pool": "nowhere", "maximum": 3}, "has no node pool nowhere"),
        ({}, "Nothing is to be set"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_changed(cloud, wrong, told):
    with pytest.raises(AirflowFailException) as refused:
        configure(**wrong)
    assert told in str(refused.value)
    assert [cloud.calls(action) for action in ACTIONS.values()] == [[], []]
