from __future__ import annotations

from decimal import Decimal

import pytest

from tke_provider.emulator.capacity import Machine, amount, idle, lacking, place, requests, waiting


def node(cpu="4", labels=None, taints=None, **spec) -> dict:
    status = {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}}
    return {
        "metadata": {"name": "n", "labels": labels or {}},
        "spec": {"taints": taints or [], **spec},
        "status": status,
    }


def pod(cpu="1", name="p", **spec) -> dict:
    containers = [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]
    return {"metadata": {"name": name}, "spec": {"containers": containers, **spec}, "status": {}}


def required(key, operator, *values) -> dict:
    terms = [{"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


@pytest.mark.parametrize(
    ("quantity", "number"),
    [
        ("100m", "0.1"),
        ("2", "2"),
        ("0.5", "0.5"),
        ("2Gi", "2147483648"),
        ("500M", "5e8"),
        ("1e3", "1000"),
        ("1E", "1e18"),
    ],
)
def test_quantities_are_read_as_kubernetes_writes_them(quantity, number):
    assert amount(quantity) == Decimal(number)


def test_a_pod_asks_for_its_containers_together_or_its_greediest_init_container():
    asked = pod("1")
    asked["spec"]["containers"] *= 2
    asked["spec"]["initContainers"] = [{"name": "i", "resources": {"requests": {"cpu": "3", "memory": "1Gi"}}}]
    assert requests(asked) == {"cpu": Decimal(3), "memory": Decimal(2**30), "pods": Decimal(1)}


def test_pods_that_are_there_leave_the_less_room():
    assert Machine.of(node(), [pod("1"), pod("1")]).fits(pod("2"))
    assert not Machine.of(node(), [pod("1"), pod("1")]).fits(pod("2.1"))


def test_a_resource_that_a_machine_has_not_is_none():
    asked = pod()
    asked["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] = "1"
    assert not Machine.of(node()).fits(asked)


@pytest.mark.parametrize(
    ("tolerations", "fits"),
    [
        ([], False),
        ([{"operator": "Exists"}], True),
        ([{"key": "only", "operator": "Exists"}], True),
        ([{"key": "only", "value": "web"}], True),
        ([{"key": "only", "value": "web", "effect": "NoExecute"}], False),
        ([{"key": "only", "value": "other"}], False),
    ],
)
def test_a_taint_has_to_be_tolerated(tolerations, fits):
    taint = {"key": "only", "value": "web", "effect": "NoSchedule"}
    assert Machine.of(node(taints=[taint])).fits(pod(tolerations=tolerations)) is fits


def test_a_soft_taint_keeps_nobody_away():
    assert Machine.of(node(taints=[{"key": "k", "effect": "PreferNoSchedule"}])).fits(pod())


def test_a_cordoned_machine_takes_nothing():
    assert not Machine.of(node(unschedulable=True)).fits(pod())


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({"nodeSelector": {"pool": "web"}}, True),
        ({"nodeSelector": {"pool": "db"}}, False),
        ({"affinity": required("pool", "In", "web", "db")}, True),
        ({"affinity": required("pool", "NotIn", "web")}, False),
        ({"affinity": required("zone", "Exists")}, False),
        ({"affinity": required("zone", "DoesNotExist")}, True),
    ],
)
def test_a_pod_goes_only_where_it_wants(spec, fits):
    assert Machine.of(node(labels={"pool": "web"})).fits(pod(**spec)) is fits


@pytest.mark.parametrize(("name", "fits"), [("n", True), ("other", False)])
def test_a_pod_may_name_its_node(name, fits):
    fields = [{"key": "metadata.name", "operator": "In", "values": [name]}]
    required_there = {"nodeSelectorTerms": [{"matchFields": fields}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required_there}}
    assert Machine.of(node()).fits(pod(affinity=affinity)) is fits


def test_pods_fill_what_is_there_and_the_rest_is_left():
    assert [
        each["metadata"]["name"] for each in place([pod("1", "a"), pod("3", "b"), pod("1", "c")], [Machine.of(node())])
    ] == ["c"]


def test_no_more_machines_than_pods_need_and_bounds_allow():
    assert lacking([pod("1") for _ in range(9)], node(), most=10)[0] == 3
    number, left = lacking([pod("1") for _ in range(9)], node(), most=2)
    assert (number, len(left)) == (2, 1)


def test_a_machine_that_would_help_nobody_is_not_bought():
    assert lacking([pod("5")], node(), most=10) == (0, [pod("5")])
    assert lacking([pod("1")], node(), most=-1) == (0, [pod("1")])


def test_only_a_pod_that_the_scheduler_refused_waits():
    refused = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}
    assert waiting({**pod(), "status": refused})
    assert not waiting(pod())
    assert not waiting({**pod(nodeName="n"), "status": refused})
    assert not waiting({**pod(), "metadata": {"deletionTimestamp": "now"}, "status": refused})


def test_a_machine_with_no_more_than_daemons_idles():
    daemon = {**pod(), "metadata": {"ownerReferences": [{"kind": "DaemonSet"}]}}
    assert idle([])
    assert idle([daemon])
    assert not idle([daemon, pod()])
