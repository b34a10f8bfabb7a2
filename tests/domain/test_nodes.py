from __future__ import annotations

import pytest

from tke_provider.domain.clusters import PoolNode
from tke_provider.domain.nodes import assess_joined, keeper, least_missed, names_in_cluster, still_there, to_evict
from tke_provider.domain.verdicts import State


def pod(name: str = "web-1", owner: str = "ReplicaSet", phase: str = "Running", **annotations: str) -> dict:
    metadata = {"name": name, "namespace": "shop", "labels": {"app": "web"}, "annotations": annotations}
    owners = [{"kind": owner, "name": "web", "controller": True}] if owner else []
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**metadata, "ownerReferences": owners},
        "spec": {"nodeName": "n"},
        "status": {"phase": phase},
    }


def machine(name: str, *, state: str = "running", created: str = "1") -> PoolNode:
    return PoolNode(id=name, state=state, reason="", ip=f"10.0.0.{name[-1]}", cordoned=False, created=created)


@pytest.mark.parametrize(
    ("stays", "goes"),
    [
        (pod(owner="DaemonSet"), pod()),
        (pod(phase="Succeeded"), pod(phase="Pending")),
        (pod(**{"kubernetes.io/config.mirror": "x"}), pod(owner="")),
    ],
)
def test_only_pods_that_have_to_go_are_evicted(stays, goes):
    assert to_evict([stays, goes]) == [goes]


@pytest.mark.parametrize(
    ("selector", "named"),
    [
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "db"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "db"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ({}, True),
    ],
)
def test_the_budget_that_keeps_a_pod_is_named(selector, named):
    status = {"currentHealthy": 2, "desiredHealthy": 2, "disruptionsAllowed": 0}
    budget = {"metadata": {"name": "careful", "namespace": "shop"}, "spec": {"selector": selector}, "status": status}
    sentence = "Pod shop/web-1 is kept by PodDisruptionBudget careful, which needs 2 healthy pods and has 2"
    assert (keeper(pod(), [budget]) == sentence) is named


def test_the_nodes_least_missed_go_first():
    nodes = [machine("a1", created="2"), machine("b2", created="1"), machine("c3"), machine("d4", state="failed")]
    load = {"a1": 1, "b2": 1, "c3": 5, "d4": 9}
    assert [each.id for each in least_missed(nodes, load, {"c3"}, 3)] == ["c3", "d4", "b2"]
    assert least_missed(nodes, load, set(), -1) == []


@pytest.mark.parametrize(
    "node",
    [
        {"metadata": {"name": "x"}, "spec": {"providerID": "qcloud:///100003/ins-1"}},
        {"metadata": {"name": "ins-1"}, "spec": {}},
        {"metadata": {"name": "10.0.0.1"}, "spec": {}},
        {
            "metadata": {"name": "worker-7"},
            "spec": {"providerID": "tke:///another-name"},
            "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]},
        },
    ],
)
def test_a_machine_is_found_among_the_nodes_of_the_cluster(node):
    found = names_in_cluster([machine("ins-1"), machine("ins-2")], [node])
    assert found == {"ins-1": node["metadata"]["name"]}


def test_what_is_left_is_told_in_one_sentence():
    assert still_there([pod()], []) == "1 pod still to leave 1 node"
    assert still_there([pod()], list("abcd")).endswith("; a; b; c and 1 more")


# --- whether Kubernetes has the nodes ---------------------------------------------------------------------------------

READY = {"type": "Ready", "status": "True"}
COLD = {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "cni plugin not initialized"}
LOST = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting"}


def node(name: str, *conditions: dict, taint: str = "", effect: str = "NoSchedule", **spec: object) -> dict:
    taints = {"taints": [{"key": taint, "effect": effect}]} if taint else {}
    return {"metadata": {"name": name}, "spec": {**taints, **spec}, "status": {"conditions": list(conditions)}}


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ([], "i-2 has not joined the cluster"),
        ([node("i-2")], "i-2 has not said yet that it is ready"),
        ([node("i-2", COLD)], "i-2 is not ready: KubeletNotReady: cni plugin not initialized"),
        ([node("i-2", LOST)], "i-2 is not ready: NodeStatusUnknown: Kubelet stopped posting"),
        ([node("i-2", READY, unschedulable=True)], "i-2 is cordoned"),
        ([{**node("i-2", READY), "metadata": {"name": "i-2", "deletionTimestamp": "now"}}], "i-2 is being deleted"),
        (
            [node("i-2", READY, taint="tke.cloud.tencent.com/eni-ip-unavailable")],
            "i-2 still has the taint tke.cloud.tencent.com/eni-ip-unavailable",
        ),
        (
            [node("i-2", READY, taint="node.kubernetes.io/unreachable", effect="NoExecute")],
            "i-2 still has the taint node.kubernetes.io/unreachable",
        ),
    ],
)
def test_a_node_that_takes_no_pods_is_named_with_its_own_words(other, told):
    machines, live = [machine("i-1"), machine("i-2")], [node("i-1", READY), *other]
    verdict = assess_joined("np-1", machines, live, 2)
    assert (verdict.state, verdict.reason) == (
        State.PENDING,
        f"node pool np-1 has 1 of 2 nodes ready in Kubernetes: {told}",
    )
    assert assess_joined("np-1", machines, live, 1).state is State.PASSED, "where an autoscaler may have more"


@pytest.mark.parametrize(
    "other",
    [
        node("i-2", READY),
        node("i-2", READY, taint="gpu"),
        node("i-2", READY, taint="node.kubernetes.io/memory-pressure", effect="PreferNoSchedule"),
    ],
)
def test_nodes_that_take_pods_are_counted_also_with_the_taints_of_their_pool(other):
    verdict = assess_joined("np-1", [machine("i-1"), machine("i-2")], [node("i-1", READY), other], 2)
    assert (verdict.state, verdict.reason) == (State.PASSED, "node pool np-1 has 2 nodes, all ready")


def test_a_machine_that_the_cloud_does_not_list_yet_is_missed():
    verdict = assess_joined("np-1", [machine("i-1")], [node("i-1", READY)], 2)
    assert (verdict.state, verdict.reason) == (State.PENDING, "node pool np-1 has 1 of 2 nodes ready in Kubernetes")
