"""Clusters that come and go, judged by Tencent's own SDK and command line."""

from __future__ import annotations

import json

import pytest

from tests.emulator.conftest import CLUSTER
from tests.emulator.test_clients import tccli_for

NETWORK = {"ClusterCIDR": "10.8.0.0/14"}
BASIC = {
    "ClusterName": "day",
    "ClusterVersion": "1.32.2",
    "VpcId": "vpc-1",
    "TagSpecification": [{"ResourceType": "cluster", "Tags": [{"Key": "team", "Value": "shop"}]}],
}


def create(emulator, basic=BASIC, **more):
    params = {"ClusterType": "MANAGED_CLUSTER", "ClusterCIDRSettings": NETWORK, "ClusterBasicSettings": basic, **more}
    return emulator.tke("CreateCluster", **params)["ClusterId"]


def delete(emulator, cluster_id):
    emulator.tke("DeleteCluster", ClusterId=cluster_id, InstanceDeleteMode="terminate")


def look(emulator, cluster_id):
    found = emulator.tke("DescribeClusters", ClusterIds=[cluster_id])["Clusters"]
    return found[0] if found else None


def test_a_new_cluster_is_creating_then_running_then_gone(emulator):
    emulator.admin("POST", "clock", cluster={"mode": "looks", "amount": 1})
    cluster_id = create(emulator)
    assert [look(emulator, cluster_id)["ClusterStatus"] for _ in range(2)] == ["Creating", "Running"]
    delete(emulator, cluster_id)
    assert look(emulator, cluster_id)["ClusterStatus"] == "Deleting"
    assert look(emulator, cluster_id) is None


def test_it_is_described_as_it_was_made(emulator):
    more = {"ClusterAdvancedSettings": {"DeletionProtection": True}}
    cluster_id = create(emulator, {**BASIC, "ClusterDescription": "for a day", "ClusterLevel": "L20"}, **more)
    found = look(emulator, cluster_id)
    assert (found["ClusterName"], found["ClusterDescription"], found["ClusterLevel"]) == ("day", "for a day", "L20")
    assert found["TagSpecification"] == BASIC["TagSpecification"]
    assert found["ClusterNetworkSettings"]["VpcId"] == "vpc-1"
    assert found["ClusterNetworkSettings"]["ClusterCIDR"] == NETWORK["ClusterCIDR"]
    assert found["DeletionProtection"]
    (status,) = emulator.tke("DescribeClusterStatus", ClusterIds=[cluster_id])["ClusterStatusSet"]
    assert (status["ClusterState"], status["ClusterDeletionProtection"]) == ("Running", True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ClusterName", "day"),
        ("vpc-id", "vpc-1"),
        ("tag-key", "team"),
        ("tag-value", "shop"),
        ("Tags", "team:shop"),
    ],
)
def test_it_is_found_by_name_network_and_tag(emulator, name, value):
    cluster_id = create(emulator)
    found = emulator.tke("DescribeClusters", Filters=[{"Name": name, "Values": [value]}])["Clusters"]
    assert [each["ClusterId"] for each in found] == [cluster_id]


def test_calling_twice_makes_two(emulator):
    first = create(emulator)
    second = create(emulator, ClusterCIDRSettings={**NETWORK, "IgnoreClusterCIDRConflict": True})
    assert first != second


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"basic": {"ClusterName": "day"}}, "InvalidParameter.Param"),
        ({"ClusterCIDRSettings": {"ClusterCIDR": "10.8.0.0.0/14"}}, "InvalidParameter.CidrInvalid"),
        ({"ClusterCIDRSettings": {"ClusterCIDR": "10.9.0.0/16"}}, "InvalidParameter.CidrConflictWithOtherCluster"),
        ({"ClusterType": "INDEPENDENT_CLUSTER"}, "UnsupportedOperation"),
    ],
)
def test_what_cannot_be_made_is_refused(emulator, refused, change, code):
    create(emulator)
    with refused(code):
        create(emulator, **change)


def test_a_protected_cluster_stays_until_the_protection_is_lifted(emulator, refused):
    cluster_id = create(emulator)
    emulator.tke("EnableClusterDeletionProtection", ClusterId=cluster_id)
    with refused("OperationDenied.ClusterInDeletionProtection"):
        delete(emulator, cluster_id)
    emulator.tke("DisableClusterDeletionProtection", ClusterId=cluster_id)
    delete(emulator, cluster_id)
    assert look(emulator, cluster_id) is None


def test_a_cluster_on_its_way_takes_no_change(emulator, refused):
    emulator.admin("POST", "clock", cluster={"mode": "told"})
    cluster_id = create(emulator)
    with refused("FailedOperation.ClusterState", "cluster is in creating"):
        delete(emulator, cluster_id)
    with refused("ResourceUnavailable.ClusterState"):
        emulator.tke("ModifyClusterAttribute", ClusterId=cluster_id, ClusterName="night")
    with refused("ResourceUnavailable.ClusterState"):
        emulator.tke("CreateClusterEndpoint", ClusterId=cluster_id, IsExtranet=True, SecurityGroup="sg-1")
    emulator.admin("POST", "tell", what=cluster_id)
    assert emulator.tke("ModifyClusterAttribute", ClusterId=cluster_id, ClusterName="night")["ClusterName"] == "night"
    assert look(emulator, cluster_id)["ClusterName"] == "night"


def test_a_cluster_and_an_endpoint_can_fail_on_request(emulator):
    emulator.admin("POST", "trouble", kind="fails", action="CreateCluster")
    assert look(emulator, create(emulator))["ClusterStatus"] == "Abnormal"
    emulator.tke("DeleteClusterEndpoint", ClusterId=CLUSTER, IsExtranet=True)
    emulator.admin("POST", "trouble", kind="fails", action="CreateClusterEndpoint", message="no balancer left")
    emulator.tke("CreateClusterEndpoint", ClusterId=CLUSTER, IsExtranet=True, SecurityGroup="sg-1")
    status = emulator.tke("DescribeClusterEndpointStatus", ClusterId=CLUSTER, IsExtranet=True)
    assert (status["Status"], status["ErrorMsg"]) == ("CreateFailed", "no balancer left")


def test_machines_leave_with_their_cluster(emulator):
    delete(emulator, CLUSTER)
    assert look(emulator, CLUSTER) is None
    assert emulator.admin("GET", "state")["clusters"] == {}


def test_tccli_makes_and_deletes_a_cluster(emulator, tmp_path):
    tccli = tccli_for(emulator, tmp_path)
    made = tccli(
        *("tke", "CreateCluster", "--version", "2018-05-25", "--ClusterType", "MANAGED_CLUSTER"),
        *("--ClusterCIDRSettings", json.dumps(NETWORK), "--ClusterBasicSettings", json.dumps(BASIC)),
    )
    assert made.returncode == 0, made.stdout + made.stderr
    cluster_id = json.loads(made.stdout)["ClusterId"]
    gone = tccli("tke", "DeleteCluster", "--ClusterId", cluster_id, "--InstanceDeleteMode", "retain")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    assert look(emulator, cluster_id) is None
