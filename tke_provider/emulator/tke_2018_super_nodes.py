"""TKE 2018-05-25: pools of super nodes (the API says virtual nodes)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tke_provider.emulator import clusters, pools
from tke_provider.emulator.errors import CloudError
from tke_provider.emulator.models import Cluster, Json, Node, Pool
from tke_provider.emulator.state import SUBNET, new_id
from tke_provider.emulator.tke_2018_clusters import iso

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Call, Handler

_UNEXPECTED = "InternalError.UnexpectedInternal"


def create_cluster_virtual_node_pool(call: Call) -> Json:
    """A pool, with the nodes it is given."""
    cluster = call.cluster("ResourceNotFound")
    clusters.refuse_busy(cluster)
    pool = Pool(new_id("np"), call.params["Name"], "Super", 0, 0, 0, call.cloud.clock.now(), state="creating")
    pool.options = {
        "SubnetIds": call.params.get("SubnetIds", [SUBNET]),
        "SecurityGroupIds": call.params["SecurityGroupIds"],
    }
    pools.add(call.cloud, cluster, pool, call.params, call.action)
    for spec in call.params.get("VirtualNodes", []):
        _add(call, cluster, pool, spec["SubnetId"])
    return {"NodePoolId": pool.id}


def describe_cluster_virtual_node_pools(call: Call) -> Json:
    """All super pools."""
    cluster = call.cluster("ResourceNotFound.ClusterNotFound")
    pools.settle(call.cloud, cluster, look=True)
    found = [_describe(pool) for pool in cluster.pools.values() if pool.type == "Super"]
    return {"TotalCount": len(found), "NodePoolSet": found}


def modify_cluster_virtual_node_pool(call: Call) -> Json:
    """Name, labels, taints, protection."""
    cluster = call.cluster("ResourceNotFound")
    pool = _at_rest(call, cluster, call.params["NodePoolId"])
    pools.update(pool, call.params)
    pool.options["SecurityGroupIds"] = call.params.get("SecurityGroupIds", pool.options.get("SecurityGroupIds", []))
    pools.touch(call.cloud, pool)
    return {}


def delete_cluster_virtual_node_pool(call: Call) -> Json:
    """Pools with their nodes; without ``Force`` not while pods run there [M]."""
    cluster = call.cluster(_UNEXPECTED)
    doomed = [_at_rest(call, cluster, each) for each in call.params["NodePoolIds"]]
    nodes = [node for pool in doomed for node in cluster.nodes_of(pool)]
    _refuse_running_pods(call, nodes)
    for pool in doomed:
        pools.delete(call.cloud, cluster, pool)
    return {}


def create_cluster_virtual_node(call: Call) -> Json:
    """One node for each subnet given; the answer names the first."""
    cluster = call.cluster(_UNEXPECTED)
    pool = _at_rest(call, cluster, call.params["NodePoolId"])
    specs = call.params.get("VirtualNodes", [])
    subnets = call.params.get("SubnetIds") or [spec["SubnetId"] for spec in specs]
    if call.params.get("SubnetId"):
        subnets = [call.params["SubnetId"]]
    if not subnets:
        # [M]: one of the three is required.
        raise CloudError("InvalidParameter.Param", "one of SubnetId, SubnetIds and VirtualNodes is required")
    made = [_add(call, cluster, pool, subnet) for subnet in subnets]
    pools.touch(call.cloud, pool)
    return {"NodeName": made[0].id}


def describe_cluster_virtual_node(call: Call) -> Json:
    """Super nodes, of one pool or by name."""
    cluster = call.cluster(_UNEXPECTED)
    pools.settle(call.cloud, cluster, look=True)
    wanted, names = call.params.get("NodePoolId"), call.params.get("NodeNames")
    found = [
        {
            "Name": node.id,
            "SubnetId": node.subnet,
            # "Running" in the published example; the field's own description says "running" [M].
            "Phase": {"normal": "Running", "joining": "Pending"}.get(node.state, "Terminating"),
            "CreatedTime": iso(node.created),
        }
        for node in cluster.nodes.values()
        if node.type == "Super" and (not wanted or node.pool == wanted) and (not names or node.id in names)
    ]
    return {"TotalCount": len(found), "Nodes": found}


def delete_cluster_virtual_node(call: Call) -> Json:
    """Super nodes by name; without ``Force`` not while pods run there [M]."""
    cluster = call.cluster(_UNEXPECTED)
    pools.settle(call.cloud, cluster)
    nodes = [cluster.nodes.get(name) for name in call.params["NodeNames"]]
    doomed = [node for node in nodes if node and node.type == "Super"]
    if len(doomed) != len(nodes):
        raise CloudError("InvalidParameter.Param", f"not all of {call.params['NodeNames']} are super nodes here")
    _refuse_running_pods(call, doomed)
    for node in doomed:
        pools.retire(call.cloud, node)
        pool = cluster.pools.get(node.pool)
        if pool:
            pool.desired = max(0, pool.desired - 1)
    return {}


def _refuse_running_pods(call: Call, nodes: list[Node]) -> None:
    keeper = call.cloud.nodes
    if call.params.get("Force", False) or keeper is None:
        return
    for node in nodes:
        if keeper.has_pods(node.id):
            raise CloudError("ResourceInUse.ExistRunningPod", f"pods are running on {node.id}")


def _add(call: Call, cluster: Cluster, pool: Pool, subnet: str) -> Node:
    # Names: eklet-subnet-xxxxxxxx-N [M].
    number = 0
    while f"eklet-{subnet}-{number}" in cluster.nodes:
        number += 1
    pool.desired += 1
    return pools.add_node(call.cloud, cluster, pool, f"eklet-{subnet}-{number}", subnet)


def _at_rest(call: Call, cluster: Cluster, pool_id: str) -> Pool:
    pools.settle(call.cloud, cluster)
    pool = cluster.pools.get(pool_id)
    if pool is None or pool.type != "Super":
        raise CloudError("FailedOperation.RecordNotFound", f"super node pool {pool_id} not found")
    if pool.state != "normal":
        # Super pools have a code of their own for it [G].
        raise CloudError("ResourceUnavailable.NodePoolStateNotNormal", f"node pool {pool_id} is {pool.state}")
    return pool


def _describe(pool: Pool) -> Json:
    return {
        "NodePoolId": pool.id,
        "SubnetIds": pool.options.get("SubnetIds"),
        "Name": pool.name,
        "LifeState": pool.state,
        "Labels": pool.labels,
        "Taints": pool.taints,
    }


ACTIONS: dict[str, Handler] = {
    "CreateClusterVirtualNode": create_cluster_virtual_node,
    "CreateClusterVirtualNodePool": create_cluster_virtual_node_pool,
    "DeleteClusterVirtualNode": delete_cluster_virtual_node,
    "DeleteClusterVirtualNodePool": delete_cluster_virtual_node_pool,
    "DescribeClusterVirtualNode": describe_cluster_virtual_node,
    "DescribeClusterVirtualNodePools": describe_cluster_virtual_node_pools,
    "ModifyClusterVirtualNodePool": modify_cluster_virtual_node_pool,
}
