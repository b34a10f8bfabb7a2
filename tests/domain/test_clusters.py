from __future__ import annotations

import pytest

from tke_provider.domain.clusters import (
    Cluster,
    Endpoint,
    NodePool,
    PoolKind,
    PoolNode,
    ScalingActivity,
    assess_creation,
    assess_deletion,
)
from tke_provider.domain.verdicts import State

# Shortened to what is read; shapes and values as the cloud's API reference publishes them.
REGULAR = {
    "NodePoolId": "np-rbl9quwv",
    "Name": "cputest",
    "Type": "Regular",
    "LifeState": "normal",
    "Native": None,
    "Super": None,
    "External": None,
    "Regular": {
        "AutoscalingGroupId": "asg-mv6aoc57",
        "AutoscalingGroupStatus": "disabled",
        "DesiredNodesNum": 4,
        "MaxNodesNum": 9,
        "MinNodesNum": 1,
        "NodeCountSummary": {
            "AutoscalingAdded": {"Initializing": 1, "Joining": 0, "Normal": 2, "Total": 3},
            "ManuallyAdded": {"Initializing": 0, "Joining": 0, "Normal": 1, "Total": 1},
        },
    },
}
NATIVE = {
    "NodePoolId": "np-native",
    "Name": "native",
    "Type": "Native",
    "LifeState": "Running",
    "Regular": None,
    "Native": {
        "Scaling": {"MinReplicas": 1, "MaxReplicas": 10, "CreatePolicy": "ZoneEquality"},
        "EnableAutoscaling": True,
        "Replicas": 3,
        "ReadyReplicas": 2,
    },
}
EXTERNAL = {
    "NodePoolId": "np-llfflb19",
    "Name": "cpu",
    "Type": "External",
    "LifeState": "Running",
    "External": {"NodesNum": 4},
}
SUPER = {"NodePoolId": "np-super", "Name": "super", "Type": "Super", "LifeState": "normal", "Super": {"SubnetIds": []}}


def test_a_regular_pool_counts_nodes_of_either_origin():
    assert NodePool.parse(REGULAR) == NodePool(
        "np-rbl9quwv", "cputest", PoolKind.REGULAR, "normal", 1, 9, 4, 3, False, "asg-mv6aoc57"
    )


def test_a_native_pool_is_described_by_its_replicas():
    assert NodePool.parse(NATIVE) == NodePool(
        "np-native", "native", PoolKind.NATIVE, "Running", 1, 10, desired=3, ready=2, autoscaling=True
    )


def test_an_external_pool_has_the_nodes_that_registered():
    pool = NodePool.parse(EXTERNAL)
    assert (pool.kind, pool.desired, pool.ready) == (PoolKind.EXTERNAL, 4, 4)


def test_a_super_pool_has_no_size():
    pool = NodePool.parse(SUPER)
    assert (pool.kind, pool.minimum, pool.maximum, pool.desired, pool.ready) == (PoolKind.SUPER, 0, 0, 0, 0)


@pytest.mark.parametrize("kind", ["Quantum", "", None])
def test_a_pool_of_a_kind_that_is_not_known_yet_is_listed(kind):
    pool = NodePool.parse({**SUPER, "Type": kind})
    assert (pool.id, pool.name, pool.kind) == ("np-super", "super", PoolKind.UNKNOWN)


@pytest.mark.parametrize(
    ("word", "settled"),
    [("normal", True), ("Running", True), ("running", True), ("updating", False), ("Creating", False), ("", False)],
)
def test_each_kind_has_its_own_word_for_settled(word, settled):
    assert NodePool.parse({**NATIVE, "LifeState": word}).settled is settled


@pytest.mark.parametrize(
    ("word", "autoscaling"), [("enabled", True), ("enabling", True), ("disabled", False), (None, False)]
)
def test_a_regular_pool_is_autoscaled_when_its_group_is_enabled(word, autoscaling):
    answer = {**REGULAR, "Regular": {**REGULAR["Regular"], "AutoscalingGroupStatus": word}}
    assert NodePool.parse(answer).autoscaling is autoscaling


@pytest.mark.parametrize(
    ("said", "reason"), [("=", ""), ("=Ready:True", ""), (None, ""), ("=Ready:False", "=Ready:False")]
)
def test_a_healthy_node_has_no_reason(said, reason):
    node = PoolNode.parse({"InstanceId": "ins-1", "InstanceState": "running", "FailedReason": said})
    assert node.reason == reason


@pytest.mark.parametrize(
    ("status", "failed"), [("FAILED", True), ("PARTIALLY_SUCCESSFUL", True), ("SUCCESSFUL", False)]
)
def test_an_activity_that_half_worked_failed(status, failed):
    activity = ScalingActivity.parse({"ActivityId": "asa-1", "StatusCode": status, "StatusMessage": "why"})
    assert (activity.failed, activity.reason) == (failed, "why")


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("Creating", State.PENDING),
        ("Trading", State.PENDING),
        ("Running", State.PASSED),
        ("Abnormal", State.FAILED),
        ("Isolated", State.FAILED),
        ("Deleting", State.FAILED),
    ],
)
def test_a_new_cluster_is_there_when_it_runs(state, verdict):
    found = assess_creation(Cluster("cls-1", "day", state), "cls-1")
    assert (found.state, found.reason) == (verdict, f"cluster cls-1 (day) is {state}")


def test_a_cluster_that_is_not_listed_is_not_there_yet_or_is_gone():
    assert assess_creation(None, "cls-1").state is State.PENDING
    assert assess_deletion(None, "cls-1").state is State.PASSED
    assert assess_deletion(Cluster("cls-1", "day", "Deleting"), "cls-1").state is State.PENDING


def test_a_cluster_without_tags_is_read_though_the_cloud_says_null():
    assert Cluster.parse({"ClusterId": "cls-1", "TagSpecification": None}).made_by == ""


@pytest.mark.parametrize(
    ("status", "seconds", "verdict"),
    [
        ("Created", 0, State.PASSED),
        ("Creating", 900, State.PENDING),
        ("NotFound", 10, State.PENDING),  # right after it was asked for it may not be shown
        ("NotFound", 61, State.FAILED),
        ("CreateFailed", 0, State.FAILED),
    ],
)
def test_an_endpoint_opens(status, seconds, verdict):
    assert Endpoint(True, status).opened("cls-1", seconds).state is verdict


def test_words_beside_an_open_endpoint_are_no_failure():
    assert Endpoint(False, "Created", "error").opened("cls-1", 0).state is State.PASSED


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("NotFound", State.PASSED),
        ("Deleting", State.PENDING),
        ("Created", State.PENDING),
        ("DeletedFailed", State.FAILED),
    ],
)
def test_an_endpoint_closes(status, verdict):
    assert Endpoint(True, status).closed("cls-1").state is verdict
