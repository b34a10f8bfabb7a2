"""TKE 2018-05-25: the machines of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tke_provider.emulator import pools
from tke_provider.emulator.cloud import filters, page
from tke_provider.emulator.errors import CloudError
from tke_provider.emulator.tke_2018_clusters import iso

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Call, Handler
    from tke_provider.emulator.models import Cluster, Json, Node

# "nodepool-instance-type" says how a machine came into its pool [M].
_FILTERS = ("nodepool-id", "nodepool-instance-type")
_STATES = {"joining": "initializing", "normal": "running", "leaving": "running"}


def describe_cluster_instances(call: Call) -> Json:
    """CVM instances and native machines; super nodes are not among them [K]."""
    cluster = call.cluster("InvalidParameter.ClusterNotFound")
    wanted = filters(call, _FILTERS, "InternalError.Param")
    pools.settle(call.cloud, cluster, look=True)
    ids = call.params.get("InstanceIds")
    found = [
        _describe(cluster, node)
        for node in cluster.nodes.values()
        if node.type != "Super" and (not ids or node.id in ids) and _matches(node, wanted)
    ]
    # A managed cluster's masters are the cloud's own [K].
    if call.params.get("InstanceRole", "WORKER") not in {"WORKER", "ALL"}:
        found = []
    return {"TotalCount": len(found), "InstanceSet": page(found, call.params)}


def delete_cluster_instances(call: Call) -> Json:
    """Remove instances. That some fail or are unknown is part of a successful answer [M].

    The desired number of their pool sinks with them, as far as its minimum allows: expected, no document says so.
    """
    cluster = call.cluster("FailedOperation.ClusterNotFound")
    if call.params["InstanceDeleteMode"] not in {"terminate", "retain"}:
        raise CloudError("FailedOperation.Param", "InstanceDeleteMode must be terminate or retain")
    pools.settle(call.cloud, cluster)
    ids = call.params["InstanceIds"]
    if ids and all(each in cluster.departed for each in ids):
        # A second deletion of the same instance; code and message: [T].
        raise CloudError("InternalError.Param", "PARAM_ERROR[some instances []is not in right state]")
    there = [cluster.nodes[each] for each in ids if each in cluster.nodes]
    # That a machine which is still joining, or is no CVM instance, fails is inferred from the answer's three lists.
    removable = [node for node in there if node.state == "normal" and node.type == "Regular"]
    for node in removable:
        _remove(call, cluster, node)
    removed = {node.id for node in removable}
    return {
        "SuccInstanceIds": [node.id for node in removable] or None,
        "FailedInstanceIds": [node.id for node in there if node.id not in removed] or None,
        "NotFoundInstanceIds": [each for each in ids if each not in {node.id for node in there}] or None,
    }


def _remove(call: Call, cluster: Cluster, node: Node) -> None:
    pools.retire(call.cloud, node)
    pool = cluster.pools.get(node.pool)
    if pool:
        pool.desired = max(pool.minimum, pool.desired - 1)
        pools.fill(call.cloud, cluster, pool, call.action)


def _matches(node: Node, wanted: dict[str, list[str]]) -> bool:
    if "nodepool-id" in wanted and node.pool not in wanted["nodepool-id"]:
        return False
    return set(wanted.get("nodepool-instance-type", ["ALL"])) & {"ALL", "AUTOSCALING_ADDED"} != set()


def _describe(cluster: Cluster, node: Node) -> Json:
    pool = cluster.pools.get(node.pool)
    return {
        "InstanceId": node.id,
        "InstanceRole": "WORKER",
        # This is how a healthy node looks in the published example [M].
        "FailedReason": "=Ready:True" if node.state == "normal" else "",
        "InstanceState": _STATES[node.state],
        "DrainStatus": "",
        "InstanceAdvancedSettings": {
            "DesiredPodNumber": 64,
            "Labels": node.labels or None,
            "Taints": node.taints or None,
            "Unschedulable": 0,
            "MountTarget": "",
            "DockerGraphPath": "",
            "UserScript": "",
            "PreStartUserScript": None,
            "GPUArgs": None,
            "DataDisks": None,
            "ExtraArgs": {"Kubelet": []},
        },
        "CreatedTime": iso(node.created),
        "LanIP": node.ip,
        "NodePoolId": node.pool,
        "AutoscalingGroupId": pool.scaling_group if pool and pool.type == "Regular" else "",
    }


ACTIONS: dict[str, Handler] = {
    "DeleteClusterInstances": delete_cluster_instances,
    "DescribeClusterInstances": describe_cluster_instances,
}
