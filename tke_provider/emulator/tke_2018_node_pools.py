"""TKE 2018-05-25: node pools of CVM instances in a scaling group."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tke_provider.emulator import clusters, pools
from tke_provider.emulator.cloud import filters
from tke_provider.emulator.errors import CloudError
from tke_provider.emulator.models import Cluster, Json, Pool
from tke_provider.emulator.state import new_id

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Call, Handler

_RECORD_NOT_FOUND = "FailedOperation.RecordNotFound"
# What a pool repeats of what its maker gave.
_REPEATED = ("NodePoolOs", "OsCustomizeType", "ContainerRuntime", "RuntimeVersion", "InstanceAdvancedSettings")


def describe_cluster_node_pools(call: Call) -> Json:
    """All pools of this kind: the action has no paging [M]. Native and super pools are not among them [K]."""
    cluster = call.cluster("ResourceNotFound.ClusterNotFound")
    wanted = filters(call, ("NodePoolsName", "NodePoolsId", "Tags"), "InternalError.Param")
    pools.settle(call.cloud, cluster, look=True)
    found = [_describe(cluster, pool) for pool in cluster.pools.values() if _matches(pool, wanted)]
    return {"TotalCount": len(found), "NodePoolSet": found}


def describe_cluster_node_pool_detail(call: Call) -> Json:
    """One pool. That it is gone is said as an internal error [T]."""
    cluster = call.cluster("InternalError.ClusterNotFound")
    pools.settle(call.cloud, cluster, look=True)
    return {"NodePool": _describe(cluster, _find(call, cluster, "InternalError.UnexpectedInternal"))}


def create_cluster_node_pool(call: Call) -> Json:
    """A new pool. There is no idempotency token and names need not be unique: calling twice makes two [M]."""
    cluster = call.cluster("ResourceNotFound")
    clusters.refuse_busy(cluster)
    group = _json(call, "AutoScalingGroupPara")
    _json(call, "LaunchConfigurePara")
    minimum, maximum = int(group.get("MinSize", 0)), int(group.get("MaxSize", 0))
    desired = int(group.get("DesiredCapacity", minimum))
    pools.check_sizes(minimum, desired, maximum)
    pool = Pool(
        new_id("np"),
        call.params.get("Name", ""),
        "Regular",
        minimum,
        maximum,
        desired,
        call.cloud.clock.now(),
        autoscaling=call.params["EnableAutoscale"],
        state="creating",
        options={key: call.params[key] for key in _REPEATED if key in call.params},
    )
    pools.add(call.cloud, cluster, pool, call.params, call.action)
    return {"NodePoolId": pool.id}


def modify_cluster_node_pool(call: Call) -> Json:
    """Name, bounds, labels, taints … but never the number of machines: that is another action [M]."""
    cluster = call.cluster("ResourceNotFound")
    pool = _at_rest(call, cluster, _RECORD_NOT_FOUND)
    minimum = call.params.get("MinNodesNum", pool.minimum)
    maximum = call.params.get("MaxNodesNum", pool.maximum)
    pools.check_sizes(minimum, pool.desired, maximum)
    pool.minimum, pool.maximum = minimum, maximum
    pool.autoscaling = call.params.get("EnableAutoscale", pool.autoscaling)
    pools.update(pool, call.params)
    if not call.params.get("IgnoreExistedNode", False):
        for node in cluster.nodes_of(pool):
            node.labels, node.taints = [*pool.labels], [*pool.taints]
    pools.touch(call.cloud, pool)
    return {}


def modify_node_pool_desired_capacity_about_asg(call: Call) -> Json:
    """How many machines the scaling group shall have: within its bounds, or ``InvalidParameterValue.Size`` [G]."""
    cluster = call.cluster("ResourceNotFound.ClusterNotFound")
    pool = _at_rest(call, cluster, _RECORD_NOT_FOUND)
    desired = call.params["DesiredCapacity"]
    pools.check_sizes(pool.minimum, desired, pool.maximum, "InvalidParameterValue.Size")
    pools.resize(call.cloud, cluster, pool, desired, call.action)
    pools.touch(call.cloud, pool)
    return {}


def delete_cluster_node_pool(call: Call) -> Json:
    """Pools and what is in them; ``KeepInstance`` spares the machines, yet they leave the cluster too [M]."""
    cluster = call.cluster("ResourceNotFound")
    pools.settle(call.cloud, cluster)
    doomed = []
    for pool_id in call.params["NodePoolIds"]:
        pool = cluster.pools.get(pool_id)
        if pool is None or pool.type != "Regular":
            # Code and message: [T].
            raise CloudError("InternalError.Param", f"PARAM_ERROR[node pool {pool_id} Not Found]")
        if pool.deletion_protection:
            # Documented for this action [G].
            raise CloudError("FailedOperation.CvmDeletionProtection", f"node pool {pool_id} is protected from deletion")
        pools.refuse_busy(pool)
        doomed.append(pool)
    for pool in doomed:
        pools.delete(call.cloud, cluster, pool)
    return {}


def remove_node_from_node_pool(call: Call) -> Json:
    """Machines leave the pool and stay in the cluster [M]. That the desired number sinks with them is inferred."""
    cluster = call.cluster("ResourceNotFound")
    pool = _at_rest(call, cluster, _RECORD_NOT_FOUND)
    nodes = [cluster.nodes.get(each) for each in call.params["InstanceIds"]]
    leaving = [node for node in nodes if node and node.pool == pool.id]
    if len(leaving) != len(nodes):
        raise CloudError("InvalidParameter.Param", f"not all of {call.params['InstanceIds']} are in {pool.id}")
    for node in leaving:
        node.pool = ""
    pool.desired = max(pool.minimum, pool.desired - len(leaving))
    pools.fill(call.cloud, cluster, pool, call.action)
    pools.touch(call.cloud, pool)
    return {}


def set_node_pool_node_protection(call: Call) -> Json:
    """Protect machines from scale-in; those that are not of this pool's scaling group fail, which is no error [M]."""
    cluster = call.cluster("InternalError.ClusterNotFound")
    pools.settle(call.cloud, cluster)
    pool = _find(call, cluster, _RECORD_NOT_FOUND)
    mine = {node.id: node for node in cluster.nodes_of(pool)}
    done = [each for each in call.params["InstanceIds"] if each in mine]
    for each in done:
        mine[each].protected = call.params["ProtectedFromScaleIn"]
    failed = [each for each in call.params["InstanceIds"] if each not in mine]
    # null where there is nothing: the list is documented as nullable [M].
    return {"SucceedInstanceIds": done, "FailedInstanceIds": failed or None}


def _find(call: Call, cluster: Cluster, code: str) -> Pool:
    pool = cluster.pools.get(call.params["NodePoolId"])
    if pool is None or pool.type != "Regular":
        raise CloudError(code, f"node pool {call.params['NodePoolId']} not found")
    return pool


def _at_rest(call: Call, cluster: Cluster, code: str) -> Pool:
    pools.settle(call.cloud, cluster)
    pool = _find(call, cluster, code)
    pools.refuse_busy(pool)
    return pool


def _json(call: Call, name: str) -> Json:
    try:
        value = json.loads(call.params[name])
    except ValueError as e:
        raise CloudError("InvalidParameter.Param", f"{name} is not JSON: {e}") from e
    if not isinstance(value, dict):
        raise CloudError("InvalidParameter.Param", f"{name} is not a JSON object")
    return value


def _matches(pool: Pool, wanted: dict[str, list[str]]) -> bool:
    if pool.type != "Regular":
        return False
    tags = {f"{tag.get('Key')}:{tag.get('Value')}" for tag in pool.tags}
    values = {"NodePoolsName": {pool.name}, "NodePoolsId": {pool.id}, "Tags": tags}
    return all(values[name] & set(given) for name, given in wanted.items())


def _describe(cluster: Cluster, pool: Pool) -> Json:
    advanced = pool.options.get("InstanceAdvancedSettings", {})
    return {
        "NodePoolId": pool.id,
        "Name": pool.name,
        "ClusterInstanceId": cluster.id,
        "LifeState": pool.state,
        **pools.scaling_group(cluster, pool),
        "Labels": pool.labels,
        "Taints": pool.taints,
        "Annotations": pool.annotations,
        "RuntimeConfig": {
            "RuntimeType": pool.options.get("ContainerRuntime", "containerd"),
            "RuntimeVersion": pool.options.get("RuntimeVersion", "1.6.9"),
        },
        "OsCustomizeType": pool.options.get("OsCustomizeType", "GENERAL"),
        "ImageId": "",
        "DesiredPodNum": advanced.get("DesiredPodNumber", 64),
        "UserScript": advanced.get("UserScript", ""),
        # null where there are none, as in the published example [M].
        "Tags": pool.tags or None,
        "DeletionProtection": pool.deletion_protection,
        "ExtraArgs": {"Kubelet": []},
        "GPUArgs": None,
        "DockerGraphPath": "",
        "DataDisks": None,
        "Unschedulable": int(pool.unschedulable),
        "PreStartUserScript": "",
    }


ACTIONS: dict[str, Handler] = {
    "CreateClusterNodePool": create_cluster_node_pool,
    "DeleteClusterNodePool": delete_cluster_node_pool,
    "DescribeClusterNodePoolDetail": describe_cluster_node_pool_detail,
    "DescribeClusterNodePools": describe_cluster_node_pools,
    "ModifyClusterNodePool": modify_cluster_node_pool,
    "ModifyNodePoolDesiredCapacityAboutAsg": modify_node_pool_desired_capacity_about_asg,
    "RemoveNodeFromNodePool": remove_node_from_node_pool,
    "SetNodePoolNodeProtection": set_node_pool_node_protection,
}
