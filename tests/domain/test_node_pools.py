from __future__ import annotations

import json

import pytest

from tke_provider.domain.clusters import NodePool, PoolKind
from tke_provider.domain.node_pools import (
    NewPool,
    assess_absence,
    assess_super,
    check_taints,
    native_request,
    regular_request,
    super_request,
)
from tke_provider.domain.verdicts import State
from tke_provider.exceptions import InputError


def new(kind=PoolKind.REGULAR, **given):
    more = {"name": "batch", "subnets": ["subnet-1"], "instance_types": ["SA5.LARGE8"], "maximum": 3, "desired": 1}
    return NewPool(kind=kind, **{**more, **given})


def test_a_regular_pool_carries_its_group_and_launch_as_json_within_json():
    params = regular_request(new(settings={"LaunchConfigurePara": {"InstanceChargeType": "SPOTPAID"}}), "abc", "vpc-1")
    group, launch = (json.loads(params[name]) for name in ("AutoScalingGroupPara", "LaunchConfigurePara"))
    assert group == {"MinSize": 0, "MaxSize": 3, "DesiredCapacity": 1, "VpcId": "vpc-1", "SubnetIds": ["subnet-1"]}
    assert launch["InstanceChargeType"] == "SPOTPAID"
    assert launch["InstanceTypes"] == ["SA5.LARGE8"]


def test_a_native_pool_carries_bounds_and_size_in_one_place():
    native = native_request(new(PoolKind.NATIVE), "abc")["Native"]
    assert native["Scaling"] == {"MinReplicas": 0, "MaxReplicas": 3}
    assert (native["Replicas"], native["EnableAutoscaling"]) == (1, False)


@pytest.mark.parametrize("request_of", [lambda p: regular_request(p, "abc", "v"), lambda p: native_request(p, "abc")])
def test_every_pool_is_marked(request_of):
    assert {"Name": "tke.airflow/made-by", "Value": "abc"} in request_of(new(labels={"tier": "web"}))["Labels"]


def test_a_super_pool_has_neither_machines_nor_size():
    pool = NewPool(name="s", kind=PoolKind.SUPER, subnets=["subnet-1"], security_groups=["sg-1"])
    pool.check()
    assert set(super_request(pool, "abc")) == {
        *("Name", "Labels", "Taints", "DeletionProtection"),
        *("SubnetIds", "SecurityGroupIds"),
    }


@pytest.mark.parametrize("taint", ["gpu", "gpu=yes", "=yes:NoSchedule", "gpu=yes:Never", "a b=c:NoSchedule"])
def test_what_is_no_taint_is_refused(taint):
    with pytest.raises(InputError, match="is no taint"):
        check_taints(["ok=:NoExecute", taint])


@pytest.mark.parametrize(
    ("state", "verdict"), [("creating", State.PENDING), ("normal", State.PASSED), ("deleting", State.FAILED)]
)
def test_a_super_pool_is_there_when_it_is_at_rest(state, verdict):
    assert assess_super(NodePool("np-1", "s", PoolKind.SUPER, state, 0, 0, 0, 0, autoscaling=False)).state is verdict


def test_a_pool_is_gone_when_it_is_not_listed():
    pool = NodePool("np-1", "s", PoolKind.NATIVE, "Deleting", 0, 0, 0, 0, autoscaling=False)
    assert assess_absence([pool], "np-1").reason == "node pool np-1 is Deleting"
    assert assess_absence([pool], "np-2").state is State.PASSED
