from __future__ import annotations

import pytest

from tests.emulator.conftest import CLUSTER, NATIVE, REGULAR

NATIVE_PARAMS = {
    "Scaling": {"MinReplicas": 1, "MaxReplicas": 3},
    "SubnetIds": ["subnet-1"],
    "InstanceChargeType": "POSTPAID_BY_HOUR",
    "SystemDisk": {"DiskType": "CLOUD_PREMIUM", "DiskSize": 50},
    "InstanceTypes": ["SA5.MEDIUM4"],
    "Replicas": 2,
}


def scale(emulator, number, pool_id=NATIVE):
    return emulator.tke2022("ScaleNodePool", ClusterId=CLUSTER, NodePoolId=pool_id, Replicas=number)


def machines(emulator, pool_id=NATIVE):
    wanted = [{"Name": "NodePoolsId", "Values": [pool_id]}]
    found = emulator.tke2022("DescribeClusterMachines", ClusterId=CLUSTER, Filters=wanted)["Machines"]
    return [machine["MachineName"] for machine in found or []]


def test_a_native_pool_is_scaled_in_one_call(emulator):
    scale(emulator, 3)
    native = emulator.native()["Native"]
    assert (native["Replicas"], native["ReadyReplicas"]) == (3, 3)
    assert all(name.startswith(NATIVE) for name in machines(emulator))


@pytest.mark.parametrize("number", [-1, 11])
def test_a_number_outside_the_bounds_is_refused(emulator, refused, number):
    with refused("InvalidParameter.Param", "maximum 10"):
        scale(emulator, number)


def test_a_pool_that_scales_itself_is_not_scaled_by_hand(emulator, refused):
    emulator.tke2022("ModifyNodePool", ClusterId=CLUSTER, NodePoolId=NATIVE, Native={"EnableAutoscaling": True})
    with refused("InvalidParameter.Param", "autoscaling"):
        scale(emulator, 2)


def test_a_regular_pool_is_scaled_elsewhere(emulator, refused):
    with refused("InvalidParameter", "Regular"):
        scale(emulator, 2, REGULAR)


def test_an_unknown_pool_is_not_found(emulator, refused):
    with refused("ResourceNotFound"):
        scale(emulator, 2, "np-unknown0")


def test_the_newest_machine_goes_first(emulator):
    scale(emulator, 3)
    before = machines(emulator)
    scale(emulator, 1)
    assert machines(emulator) == before[:1]


def test_a_machine_never_gets_a_name_that_another_has(emulator, monkeypatch):
    made = iter(["aaaaaaaa", "aaaaaaaa", "aaaaaaaa", "bbbbbbbb"])
    monkeypatch.setattr("tke_provider.emulator.pools.secrets.token_hex", lambda _: next(made))
    scale(emulator, 3)
    assert machines(emulator)[1:] == [f"{NATIVE}-aaaaa", f"{NATIVE}-bbbbb"]


def test_a_deleted_machine_is_replaced_unless_the_pool_shrinks_with_it(emulator):
    scale(emulator, 2)
    first = machines(emulator)[0]
    emulator.tke2022("DeleteClusterMachines", ClusterId=CLUSTER, MachineNames=[first])
    assert len(machines(emulator)) == 2
    emulator.tke2022(
        "DeleteClusterMachines", ClusterId=CLUSTER, MachineNames=machines(emulator)[:1], EnableScaleDown=True
    )
    assert len(machines(emulator)) == 1
    assert emulator.native()["Native"]["Replicas"] == 1


def test_the_words_for_one_state_depend_on_the_type(emulator):
    pools = emulator.tke2022("DescribeNodePools", ClusterId=CLUSTER)["NodePools"]
    assert {pool["Type"]: pool["LifeState"] for pool in pools} == {
        "Regular": "normal",
        "Native": "Running",
        "Super": "normal",
    }


def test_a_pool_is_made_changed_and_deleted(emulator, refused):
    made = emulator.tke2022("CreateNodePool", ClusterId=CLUSTER, Name="gpu", Type="Native", Native=NATIVE_PARAMS)
    pool_id = made["NodePoolId"]
    assert len(machines(emulator, pool_id)) == 2
    emulator.tke2022("ModifyNodePool", ClusterId=CLUSTER, NodePoolId=pool_id, Name="gpus", DeletionProtection=True)
    assert emulator.native(pool_id)["Name"] == "gpus"
    with refused("OperationDenied"):
        emulator.tke2022("DeleteNodePool", ClusterId=CLUSTER, NodePoolId=pool_id)
    emulator.tke2022("ModifyNodePool", ClusterId=CLUSTER, NodePoolId=pool_id, DeletionProtection=False)
    emulator.tke2022("DeleteNodePool", ClusterId=CLUSTER, NodePoolId=pool_id)
    assert emulator.native(pool_id) is None
    with refused("InternalError.DbRecordNotFound"):
        machines(emulator, pool_id)


def test_a_pool_that_is_on_its_way_takes_no_write(emulator, refused):
    emulator.admin("POST", "clock", pool={"mode": "told"})
    made = emulator.tke2022("CreateNodePool", ClusterId=CLUSTER, Name="gpu", Type="Native", Native=NATIVE_PARAMS)
    assert emulator.native(made["NodePoolId"])["LifeState"] == "Creating"
    with refused("OperationDenied"):
        emulator.tke2022("DeleteNodePool", ClusterId=CLUSTER, NodePoolId=made["NodePoolId"])


def test_a_password_is_not_kept(emulator):
    native = {**NATIVE_PARAMS, "Password": "Hunter2-hunter2"}
    emulator.tke2022("CreateNodePool", ClusterId=CLUSTER, Name="gpu", Type="Native", Native=native)
    assert "Hunter2" not in emulator.cloud.settings.state.read_text()
    assert "Hunter2" not in emulator.cloud.audit.path.read_text()


def test_instances_of_all_types_are_found_by_pool_and_type(emulator):
    wanted = [{"Name": "NodePoolIds", "Values": [NATIVE]}, {"Name": "InstanceType", "Values": ["Native"]}]
    (instance,) = emulator.tke2022("DescribeClusterInstances", ClusterId=CLUSTER, Filters=wanted)["InstanceSet"]
    assert (instance["NodeType"], instance["Native"]["MachineState"]) == ("Native", "Running")
    assert emulator.tke2022("DescribeClusterInstances", ClusterId=CLUSTER)["TotalCount"] == 2
