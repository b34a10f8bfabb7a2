"""TKE 2022-05-01: node pools of every type in one list, native pools and their machines."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tke_provider.emulator import pools
from tke_provider.emulator.cloud import filters, page
from tke_provider.emulator.errors import CloudError
from tke_provider.emulator.models import Cluster, Json, Node, Pool
from tke_provider.emulator.state import SUBNET, new_id

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Call, Handler

_POOL_FILTERS = ("NodePoolsName", "NodePoolsId")
_INSTANCE_FILTERS = (
    "InstanceIds",
    "InstanceType",
    "InstanceStates",
    "NodePoolIds",
    "NodePoolNames",
    "VagueInstanceName",
    "VagueIpAddress",
)
# Regular pools keep the words of the older version, native ones have their own: the published example shows both
# in one answer [M]. "Updating" is inferred.
_NATIVE_STATES = {"normal": "Running", "creating": "Creating", "updating": "Updating", "deleting": "Deleting"}
_MACHINE_STATES = {"normal": "Running", "joining": "Creating", "leaving": "Deleting"}
_INSTANCE_STATES = {"normal": "running", "joining": "initializing", "leaving": "running"}
_DISK = {"DiskType": "CLOUD_PREMIUM", "DiskSize": 50, "AutoFormatAndMount": False, "FileSystem": "", "MountTarget": ""}


def utc(seconds: float) -> str:
    """A time as this API version writes most of them: ``2023-01-15 17:55:38 +0000 UTC`` [M]."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")


def describe_node_pools(call: Call) -> Json:
    """Pools of every type."""
    cluster = call.cluster("ResourceNotFound.ClusterNotFound")
    wanted = filters(call, _POOL_FILTERS, "InternalError.Param")
    pools.settle(call.cloud, cluster, look=True)
    found = [
        _describe_pool(cluster, pool)
        for pool in cluster.pools.values()
        if pool.name in wanted.get("NodePoolsName", [pool.name]) and pool.id in wanted.get("NodePoolsId", [pool.id])
    ]
    return {"TotalCount": len(found), "NodePools": page(found, call.params)}


def create_node_pool(call: Call) -> Json:
    """A native pool; the other types are made elsewhere. Names need not be unique."""
    cluster = call.cluster("ResourceNotFound")
    native = call.params.get("Native")
    if call.params["Type"] != "Native" or native is None:
        raise CloudError("InvalidParameter", "the emulator makes pools of Type Native, with parameter Native, here")
    scaling = native["Scaling"]
    minimum, maximum = scaling.get("MinReplicas", 0), scaling.get("MaxReplicas", 0)
    replicas = native.get("Replicas", minimum)
    pools.check_sizes(minimum, replicas, maximum)
    pool = Pool(
        new_id("np"),
        call.params["Name"],
        "Native",
        minimum,
        maximum,
        replicas,
        call.cloud.clock.now(),
        autoscaling=native.get("EnableAutoscaling", False),
        state="creating",
        options=_without_password(native),
    )
    pools.add(call.cloud, cluster, pool, call.params, call.action)
    return {"NodePoolId": pool.id}


def modify_node_pool(call: Call) -> Json:
    """Name, labels, bounds, number of machines … of a native pool."""
    cluster = call.cluster("ResourceNotFound")
    pool = _native(call, cluster)
    pools.refuse_busy(pool)
    native = call.params.get("Native", {})
    scaling = native.get("Scaling", {})
    minimum = scaling.get("MinReplicas", pool.minimum)
    maximum = scaling.get("MaxReplicas", pool.maximum)
    replicas = native.get("Replicas", pool.desired)
    pools.check_sizes(minimum, replicas, maximum)
    pool.minimum, pool.maximum = minimum, maximum
    pool.autoscaling = native.get("EnableAutoscaling", pool.autoscaling)
    pool.options |= _without_password(native)
    pools.update(pool, call.params)
    pools.resize(call.cloud, cluster, pool, replicas, call.action)
    pools.touch(call.cloud, pool)
    return {}


def scale_node_pool(call: Call) -> Json:
    """Set the number of machines of a native pool.

    That a pool with autoscaling, and a number outside its bounds, are refused is inferred: the codes are those
    documented for the action [G], no document says when they come.
    """
    cluster = call.cluster("ResourceNotFound")
    pool = _native(call, cluster)
    if pool.state in {"creating", "deleting"}:
        raise CloudError("InvalidParameter.Param", f"node pool {pool.id} is {_NATIVE_STATES[pool.state]}")
    if pool.autoscaling:
        raise CloudError(
            "InvalidParameter.Param", f"node pool {pool.id} has autoscaling enabled, disable it to scale by hand"
        )
    pools.check_sizes(pool.minimum, call.params["Replicas"], pool.maximum)
    pools.resize(call.cloud, cluster, pool, call.params["Replicas"], call.action)
    return {}


def delete_node_pool(call: Call) -> Json:
    """A native pool with its machines."""
    cluster = call.cluster("ResourceNotFound")
    pool = _native(call, cluster)
    pools.refuse_busy(pool)
    if pool.deletion_protection:
        raise CloudError("OperationDenied", f"node pool {pool.id} is protected from deletion")
    pools.delete(call.cloud, cluster, pool)
    return {}


def describe_cluster_instances(call: Call) -> Json:
    """Machines of every type."""
    cluster = call.cluster("InvalidParameter.ClusterNotFound")
    wanted = filters(call, _INSTANCE_FILTERS, "InternalError.Param")
    pools.settle(call.cloud, cluster, look=True)
    found = [node for node in cluster.nodes.values() if _matches(cluster, node, wanted)]
    shown = [_describe_instance(cluster, node) for node in page(found, call.params)]
    return {"TotalCount": len(found), "InstanceSet": shown, "Errors": []}


def describe_cluster_machines(call: Call) -> Json:
    """Native machines. A filter by a pool that is gone is an error [T]; which code is inferred from [G]."""
    cluster = call.cluster("ResourceNotFound.ClusterNotFound")
    wanted = filters(call, _POOL_FILTERS, "InternalError.Param")
    pools.settle(call.cloud, cluster, look=True)
    for pool_id in wanted.get("NodePoolsId", []):
        if pool_id not in cluster.pools:
            raise CloudError("InternalError.DbRecordNotFound", f"node pool {pool_id} record not found")
    renamed = {"NodePoolsId": "NodePoolIds", "NodePoolsName": "NodePoolNames"}
    wanted = {renamed[name]: values for name, values in wanted.items()}
    nodes = [node for node in cluster.nodes.values() if node.type == "Native" and _matches(cluster, node, wanted)]
    found = [_describe_machine(node) | {"LanIP": node.ip} for node in nodes]
    # null where there are none: the list is documented as nullable [M].
    return {"TotalCount": len(found), "Machines": page(found, call.params) or None}


def delete_cluster_machines(call: Call) -> Json:
    """Delete native machines. Unless ``EnableScaleDown``, the pool keeps its size and replaces them [M]."""
    cluster = call.cluster("ResourceNotFound")
    pools.settle(call.cloud, cluster)
    nodes = [cluster.nodes.get(name) for name in call.params["MachineNames"]]
    doomed = [node for node in nodes if node and node.type == "Native"]
    if len(doomed) != len(nodes):
        raise CloudError("ResourceNotFound", f"not all of {call.params['MachineNames']} are machines of {cluster.id}")
    for node in doomed:
        pools.retire(call.cloud, node)
    for pool_id in dict.fromkeys(node.pool for node in doomed):
        pool = cluster.pools.get(pool_id)
        if pool is None:
            continue
        if call.params.get("EnableScaleDown", False):
            pool.desired = max(0, pool.desired - sum(node.pool == pool_id for node in doomed))
        pools.fill(call.cloud, cluster, pool, call.action)
    return {}


def _native(call: Call, cluster: Cluster) -> Pool:
    pools.settle(call.cloud, cluster)
    pool = cluster.pools.get(call.params["NodePoolId"])
    if pool is None:
        raise CloudError("ResourceNotFound", f"node pool {call.params['NodePoolId']} not found")
    if pool.type != "Native":
        raise CloudError("InvalidParameter", f"node pool {pool.id} is {pool.type}, this action is for Native ones")
    return pool


def _without_password(native: Json) -> Json:
    return {key: value for key, value in native.items() if key != "Password"}


def _matches(cluster: Cluster, node: Node, wanted: dict[str, list[str]]) -> bool:
    pool = cluster.pools.get(node.pool)
    exact = {
        "InstanceIds": node.id,
        "InstanceType": node.type,
        "InstanceStates": _INSTANCE_STATES[node.state],
        "NodePoolIds": node.pool,
        "NodePoolNames": pool.name if pool else "",
    }
    vague = {"VagueInstanceName": node.id, "VagueIpAddress": node.ip}
    return all(
        exact[name] in values if name in exact else any(value in vague[name] for value in values)
        for name, values in wanted.items()
    )


def _describe_pool(cluster: Cluster, pool: Pool) -> Json:
    return {
        "ClusterId": cluster.id,
        "NodePoolId": pool.id,
        "Name": pool.name,
        "Type": pool.type,
        "LifeState": _NATIVE_STATES[pool.state] if pool.type == "Native" else pool.state,
        "CreatedAt": utc(pool.created),
        "Labels": pool.labels,
        "Taints": pool.taints,
        "Tags": pool.tags if pool.type == "Native" else [],
        "Annotations": pool.annotations,
        "DeletionProtection": pool.deletion_protection,
        "Unschedulable": pool.unschedulable,
        "Native": _native_info(cluster, pool) if pool.type == "Native" else None,
        "Regular": pools.scaling_group(cluster, pool) | {"InstanceAdvancedSettings": None}
        if pool.type == "Regular"
        else None,
        "Super": _super_info(pool) if pool.type == "Super" else None,
        "External": None,
    }


def _native_info(cluster: Cluster, pool: Pool) -> Json:
    given = pool.options
    defaults = {
        "SubnetIds": [SUBNET],
        "SecurityGroupIds": ["sg-local000"],
        "InstanceChargeType": "POSTPAID_BY_HOUR",
        "SystemDisk": _DISK,
        "InstanceTypes": ["SA5.MEDIUM4"],
        "AutoRepair": False,
        "KeyIds": None,
        "RuntimeRootDir": "/var/lib/containerd",
    }
    ready = [node for node in cluster.nodes_of(pool) if node.state == "normal"]
    scaling = {
        "CreatePolicy": "ZoneEquality",
        **given.get("Scaling", {}),
        "MinReplicas": pool.minimum,
        "MaxReplicas": pool.maximum,
    }
    return {
        **defaults,
        **given,
        "Scaling": scaling,
        "EnableAutoscaling": pool.autoscaling,
        "Replicas": pool.desired,
        "ReadyReplicas": len(ready),
    }


def _super_info(pool: Pool) -> Json:
    return {
        "SubnetIds": pool.options.get("SubnetIds"),
        "SecurityGroupIds": pool.options.get("SecurityGroupIds") or None,
    }


def _describe_instance(cluster: Cluster, node: Node) -> Json:
    pool = cluster.pools.get(node.pool)
    group = pool.scaling_group if pool else ""
    native = _describe_machine(node) | {"LanIp": node.ip, "VpcId": cluster.vpc, "SubnetId": node.subnet or SUBNET}
    return {
        "InstanceId": node.id,
        "InstanceRole": "WORKER",
        # "=" is how a healthy native machine looks in the published example, "=Ready:True" a regular one [M].
        "FailedReason": {"Regular": "=Ready:True", "Native": "="}.get(node.type) if node.state == "normal" else "",
        "InstanceState": _INSTANCE_STATES[node.state],
        "Unschedulable": False,
        "CreatedTime": utc(node.created),
        "LanIP": node.ip,
        "NodePoolId": node.pool,
        "NodeType": node.type,
        "Native": native if node.type == "Native" else None,
        "Regular": {"InstanceAdvancedSettings": None, "AutoscalingGroupId": group} if node.type == "Regular" else None,
        "Super": {"Name": node.id, "SubnetId": node.subnet} if node.type == "Super" else None,
        "External": None,
    }


def _describe_machine(node: Node) -> Json:
    return {
        "MachineName": node.id,
        "MachineState": _MACHINE_STATES[node.state],
        "Zone": "ap-guangzhou-3",
        "InstanceChargeType": "POSTPAID_BY_HOUR",
        # Another form than everywhere else in this version [M].
        "CreatedAt": datetime.fromtimestamp(node.created, timezone.utc).strftime("%Y-%m-%d %H:%M:%S"),
        "LoginStatus": "Opened",
        "IsProtectedFromScaleIn": node.protected,
        "DisplayName": f"tke-{node.pool}-worker",
        "CPU": 4,
        "GPU": 0,
        "RenewFlag": "",
        "PayMode": "POSTPAID_BY_HOUR",
        "Memory": 8,
        "SystemDisk": _DISK,
        "InternetAccessible": {"MaxBandwidthOut": 0, "ChargeType": "", "BandwidthPackageId": ""},
        "InstanceFamily": "SA5",
        "InstanceType": "SA5.LARGE8",
        "ExpiredTime": "",
    }


ACTIONS: dict[str, Handler] = {
    "CreateNodePool": create_node_pool,
    "DeleteClusterMachines": delete_cluster_machines,
    "DeleteNodePool": delete_node_pool,
    "DescribeClusterInstances": describe_cluster_instances,
    "DescribeClusterMachines": describe_cluster_machines,
    "DescribeNodePools": describe_node_pools,
    "ModifyNodePool": modify_node_pool,
    "ScaleNodePool": scale_node_pool,
}
