from __future__ import annotations

import json

import pytest
import yaml

from tests.emulator.conftest import CLUSTER, NATIVE, REGULAR, SUPER

GROUP = {"MinSize": 1, "MaxSize": 5, "DesiredCapacity": 2, "VpcId": "vpc-1", "SubnetIds": ["subnet-1"]}


def create(emulator, name="made", group=GROUP, **more):
    return emulator.tke(
        "CreateClusterNodePool",
        ClusterId=CLUSTER,
        Name=name,
        AutoScalingGroupPara=json.dumps(group),
        LaunchConfigurePara="{}",
        InstanceAdvancedSettings={},
        EnableAutoscale=False,
        **more,
    )["NodePoolId"]


def modify(emulator, **params):
    return emulator.tke("ModifyClusterNodePool", ClusterId=CLUSTER, NodePoolId=REGULAR, **params)


def instances(emulator, pool_id=REGULAR):
    found = emulator.tke(
        "DescribeClusterInstances", ClusterId=CLUSTER, Filters=[{"Name": "nodepool-id", "Values": [pool_id]}]
    )
    return [each["InstanceId"] for each in found["InstanceSet"]]


@pytest.mark.parametrize(
    ("action", "params", "code"),
    [
        ("DescribeClusterNodePools", {}, "ResourceNotFound.ClusterNotFound"),
        ("DescribeClusterNodePoolDetail", {"NodePoolId": REGULAR}, "InternalError.ClusterNotFound"),
        ("DescribeClusterInstances", {}, "InvalidParameter.ClusterNotFound"),
        (
            "DeleteClusterInstances",
            {"InstanceIds": [], "InstanceDeleteMode": "retain"},
            "FailedOperation.ClusterNotFound",
        ),
        ("ModifyClusterNodePool", {"NodePoolId": REGULAR}, "ResourceNotFound"),
    ],
)
def test_an_unknown_cluster_has_five_codes(emulator, refused, action, params, code):
    with refused(code, "cls-unknown"):
        emulator.tke(action, ClusterId="cls-unknown", **params)
    assert emulator.tke("DescribeClusters", ClusterIds=["cls-unknown"])["Clusters"] == []


@pytest.mark.parametrize(
    ("action", "params", "code"),
    [
        ("DescribeClusterNodePoolDetail", {"NodePoolId": "np-unknown"}, "InternalError.UnexpectedInternal"),
        ("ModifyClusterNodePool", {"NodePoolId": "np-unknown"}, "FailedOperation.RecordNotFound"),
        ("DeleteClusterNodePool", {"NodePoolIds": ["np-unknown"], "KeepInstance": False}, "InternalError.Param"),
    ],
)
def test_an_unknown_pool_has_three(emulator, refused, action, params, code):
    with refused(code):
        emulator.tke(action, ClusterId=CLUSTER, **params)


def test_a_cluster_is_only_in_its_region(emulator):
    elsewhere = emulator.as_(emulator.credential.secret_id, emulator.credential.secret_key)
    elsewhere.region = "ap-singapore"
    assert elsewhere.tke("DescribeClusters")["TotalCount"] == 0


def test_growing_past_the_maximum_needs_the_maximum_first(emulator, refused):
    with refused("InvalidParameterValue.Size"):
        emulator.desire(11)
    modify(emulator, MaxNodesNum=20)
    emulator.desire(11)
    assert len(instances(emulator)) == 11


def test_a_minimum_above_the_desired_number_is_refused(emulator, refused):
    with refused("InvalidParameter.Param"):
        modify(emulator, MinNodesNum=2)
    emulator.desire(2)
    modify(emulator, MinNodesNum=2)
    assert emulator.pool()["MinNodesNum"] == 2


def test_only_the_oldest_unprotected_machines_go(emulator):
    emulator.desire(3)
    oldest, *others = instances(emulator)
    done = emulator.tke(
        "SetNodePoolNodeProtection",
        ClusterId=CLUSTER,
        NodePoolId=REGULAR,
        InstanceIds=[oldest, "ins-unknown0"],
        ProtectedFromScaleIn=True,
    )
    assert (done["SucceedInstanceIds"], done["FailedInstanceIds"]) == ([oldest], ["ins-unknown0"])
    emulator.desire(2)
    assert instances(emulator) == [oldest, others[1]]


def test_calling_create_twice_makes_two_pools(emulator):
    first, second = create(emulator), create(emulator)
    assert first != second
    assert len(emulator.tke("DescribeClusterNodePools", ClusterId=CLUSTER)["NodePoolSet"]) == 3
    assert len(instances(emulator, first)) == 2


def test_a_pool_and_its_machines_are_deleted(emulator):
    made = create(emulator)
    emulator.tke("DeleteClusterNodePool", ClusterId=CLUSTER, NodePoolIds=[made], KeepInstance=False)
    assert emulator.pool(made) is None
    assert instances(emulator, made) == []


def test_a_protected_pool_is_not_deleted(emulator, refused):
    made = create(emulator, DeletionProtection=True)
    with refused("FailedOperation.CvmDeletionProtection"):
        emulator.tke("DeleteClusterNodePool", ClusterId=CLUSTER, NodePoolIds=[made], KeepInstance=True)


def test_parameters_within_a_parameter_must_be_json(emulator, refused):
    with refused("InvalidParameter.Param", "AutoScalingGroupPara is not JSON"):
        emulator.tke(
            "CreateClusterNodePool",
            ClusterId=CLUSTER,
            AutoScalingGroupPara="{",
            LaunchConfigurePara="{}",
            InstanceAdvancedSettings={},
            EnableAutoscale=False,
        )


def test_a_filter_that_does_not_exist_is_refused(emulator, refused):
    with refused("InternalError.Param", "Filter Name:name not supported"):
        emulator.tke("DescribeClusterNodePools", ClusterId=CLUSTER, Filters=[{"Name": "name", "Values": ["web"]}])


def test_deleting_instances_can_succeed_in_part(emulator, refused):
    emulator.desire(2)
    gone, staying = instances(emulator)
    (native,) = instances(emulator, NATIVE)
    ids = [gone, native, "ins-unknown0"]
    answer = emulator.tke("DeleteClusterInstances", ClusterId=CLUSTER, InstanceIds=ids, InstanceDeleteMode="terminate")
    assert answer["SuccInstanceIds"] == [gone]
    assert answer["FailedInstanceIds"] == [native]
    assert answer["NotFoundInstanceIds"] == ["ins-unknown0"]
    assert (instances(emulator), emulator.pool()["DesiredNodesNum"]) == ([staying], 1)
    with refused("InternalError.Param", "is not in right state"):
        emulator.tke("DeleteClusterInstances", ClusterId=CLUSTER, InstanceIds=[gone], InstanceDeleteMode="terminate")


def test_a_pool_at_its_minimum_replaces_what_is_deleted(emulator):
    emulator.desire(2)
    modify(emulator, MinNodesNum=2)
    gone = instances(emulator)[0]
    emulator.tke("DeleteClusterInstances", ClusterId=CLUSTER, InstanceIds=[gone], InstanceDeleteMode="terminate")
    assert len(instances(emulator)) == 2
    assert gone not in instances(emulator)


def test_a_machine_taken_out_of_its_pool_stays_in_the_cluster(emulator):
    (only,) = instances(emulator)
    emulator.tke("RemoveNodeFromNodePool", ClusterId=CLUSTER, NodePoolId=REGULAR, InstanceIds=[only])
    assert instances(emulator) == []
    assert only in instances(emulator, "")


def test_lists_come_in_pages(emulator):
    emulator.desire(4)
    pages = [
        emulator.tke("DescribeClusterInstances", ClusterId=CLUSTER, Offset=offset, Limit=2) for offset in (0, 2, 4)
    ]
    assert [len(page["InstanceSet"]) for page in pages] == [2, 2, 1]
    assert {page["TotalCount"] for page in pages} == {5}


def test_a_closed_endpoint_still_gives_a_kubeconfig_that_leads_nowhere(emulator):
    emulator.tke("DeleteClusterEndpoint", ClusterId=CLUSTER, IsExtranet=True)
    assert emulator.tke("DescribeClusterEndpointStatus", ClusterId=CLUSTER, IsExtranet=True)["Status"] == "NotFound"
    content = yaml.safe_load(
        emulator.tke("DescribeClusterKubeconfig", ClusterId=CLUSTER, IsExtranet=True)["Kubeconfig"]
    )
    assert content["clusters"][0]["cluster"]["server"] == "https://cls-local000.ccs.tencent-cloud.com"


def test_an_endpoint_needs_a_running_node_and_inside_a_subnet(emulator, refused):
    with refused("ResourceInUse"):
        emulator.tke("CreateClusterEndpoint", ClusterId=CLUSTER, IsExtranet=False, SubnetId="subnet-1")
    emulator.tke("DeleteClusterEndpoint", ClusterId=CLUSTER)
    with refused("InvalidParameter.Param", "SubnetId"):
        emulator.tke("CreateClusterEndpoint", ClusterId=CLUSTER)
    emulator.desire(0)
    emulator.tke2022("ScaleNodePool", ClusterId=CLUSTER, NodePoolId=NATIVE, Replicas=0)
    with refused("InternalError.EmptyClusterNotSupport"):
        emulator.tke("CreateClusterEndpoint", ClusterId=CLUSTER, SubnetId="subnet-1")


def test_super_nodes_come_and_go_one_by_one(emulator, refused):
    name = emulator.tke("CreateClusterVirtualNode", ClusterId=CLUSTER, NodePoolId=SUPER, SubnetId="subnet-a")[
        "NodeName"
    ]
    assert name == "eklet-subnet-a-0"
    nodes = emulator.tke("DescribeClusterVirtualNode", ClusterId=CLUSTER, NodePoolId=SUPER)["Nodes"]
    assert [(node["Name"], node["Phase"]) for node in nodes] == [(name, "Running")]
    emulator.tke("DeleteClusterVirtualNode", ClusterId=CLUSTER, NodeNames=[name])
    assert emulator.tke("DescribeClusterVirtualNode", ClusterId=CLUSTER)["TotalCount"] == 0
    with refused("InvalidParameter.Param"):
        emulator.tke("CreateClusterVirtualNode", ClusterId=CLUSTER, NodePoolId=SUPER)


def test_a_super_pool_is_made_changed_and_deleted(emulator, refused):
    made = emulator.tke(
        "CreateClusterVirtualNodePool",
        ClusterId=CLUSTER,
        Name="burst",
        SecurityGroupIds=["sg-1"],
        VirtualNodes=[{"DisplayName": "a", "SubnetId": "subnet-b"}],
    )["NodePoolId"]
    emulator.tke("ModifyClusterVirtualNodePool", ClusterId=CLUSTER, NodePoolId=made, Name="peak")
    pools = emulator.tke("DescribeClusterVirtualNodePools", ClusterId=CLUSTER)["NodePoolSet"]
    assert [pool["Name"] for pool in pools] == ["super", "peak"]
    emulator.tke("DeleteClusterVirtualNodePool", ClusterId=CLUSTER, NodePoolIds=[made])
    with refused("FailedOperation.RecordNotFound"):
        emulator.tke("ModifyClusterVirtualNodePool", ClusterId=CLUSTER, NodePoolId=made)
