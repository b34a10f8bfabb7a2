"""TKE 2018-05-25: clusters, their endpoints and their kubeconfig."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tke_provider.emulator import clusters, kubeconfig, pools, trouble
from tke_provider.emulator.cloud import filters, page
from tke_provider.emulator.errors import CloudError

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Call, Handler
    from tke_provider.emulator.models import Cluster, Endpoint, Json

_FILTERS = ("ClusterName", "ClusterType", "ClusterStatus", "vpc-id", "tag-key", "tag-value", "Tags")


def iso(seconds: float) -> str:
    """A time as this API version writes most of them: ``2021-06-16T07:42:57Z`` [M]."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def describe_clusters(call: Call) -> Json:
    """Clusters of the region. Unknown ids are no error, the list is empty [T]."""
    ids = call.params.get("ClusterIds")
    wanted = filters(call, _FILTERS, "InternalError.Param")
    found = []
    clusters.settle(call.cloud, look=True)
    for cluster in call.cloud.state.clusters.values():
        if cluster.region != call.region or (ids and cluster.id not in ids):
            continue
        pools.settle(call.cloud, cluster)
        if _matches(cluster, wanted):
            found.append(_cluster(cluster))
    return {"TotalCount": len(found), "Clusters": page(found, call.params)}


def describe_cluster_status(call: Call) -> Json:
    """Cluster state and how many of its nodes run."""
    ids = call.params.get("ClusterIds")
    found = []
    clusters.settle(call.cloud, look=True)
    for cluster in call.cloud.state.clusters.values():
        if cluster.region != call.region or (ids and cluster.id not in ids):
            continue
        pools.settle(call.cloud, cluster, look=True)
        found.append(_status(cluster))
    return {"TotalCount": len(found), "ClusterStatusSet": found}


def describe_cluster_endpoints(call: Call) -> Json:
    """Where the API server answers; ``""`` where it does not [K]."""
    cluster = call.cluster("ResourceNotFound.ClusterNotFound")
    access = kubeconfig.access(call.cloud.settings.kubeconfig)
    return {
        "CertificationAuthority": access.authority,
        "ClusterExternalEndpoint": access.server if cluster.external.state == "Created" else "",
        "ClusterIntranetEndpoint": access.server if cluster.internal.state == "Created" else "",
        "ClusterDomain": kubeconfig.default_domain(cluster.id),
        "ClusterExternalACL": None,
        "ClusterExternalDomain": "",
        "ClusterIntranetDomain": "",
        "SecurityGroup": cluster.external.security_group,
        "ClusterIntranetSubnetId": cluster.internal.subnet,
    }


def describe_cluster_endpoint_status(call: Call) -> Json:
    """``NotFound``, ``Creating``, ``Created`` … of one of the two endpoints."""
    endpoint = _endpoint(call, call.cluster("InternalError.ClusterNotFound"))
    call.cloud.clock.settle(endpoint, look=True)
    # The first look after a creation may still find nothing; Terraform's provider stumbles over that [T].
    early = endpoint.state == "Creating" and endpoint.change is not None and endpoint.change.looks <= 1
    return {"Status": "NotFound" if early else endpoint.state, "ErrorMsg": endpoint.error}


def create_cluster_endpoint(call: Call) -> Json:
    """Open an endpoint."""
    cluster = call.cluster("ResourceNotFound")
    endpoint = _endpoint(call, cluster)
    call.cloud.clock.settle(endpoint)
    pools.settle(call.cloud, cluster)
    external = call.params.get("IsExtranet", False)
    clusters.refuse_busy(cluster)
    if endpoint.state not in {"NotFound", "CreateFailed"}:
        # That one which failed may be opened anew is inferred.
        raise CloudError("ResourceInUse", f"the endpoint of {cluster.id} is {endpoint.state} already")
    if not external and not call.params.get("SubnetId"):
        raise CloudError("InvalidParameter.Param", "SubnetId is required for an intranet endpoint")
    if not any(node.state == "normal" for node in cluster.nodes.values()):
        # Needs a running node [T]; the code is in [G].
        raise CloudError("InternalError.EmptyClusterNotSupport", f"cluster {cluster.id} has no running node")
    endpoint.subnet = call.params.get("SubnetId", "")
    endpoint.security_group = call.params.get("SecurityGroup", "")
    fails = trouble.take(call.cloud.state.troubles, ("fails",), call.action)
    endpoint.error = fails.message if fails else ""
    endpoint.state = "Creating"
    call.cloud.clock.begin(endpoint, "CreateFailed" if fails else "Created", "endpoint")
    return {}


def delete_cluster_endpoint(call: Call) -> Json:
    """Close an endpoint."""
    cluster = call.cluster("InternalError.ClusterNotFound")
    endpoint = _endpoint(call, cluster)
    call.cloud.clock.settle(endpoint)
    if endpoint.state == "NotFound":
        raise CloudError("ResourceNotFound", f"cluster {cluster.id} has no such endpoint")
    endpoint.state = "Deleting"
    call.cloud.clock.begin(endpoint, "NotFound", "endpoint")
    return {}


def describe_cluster_kubeconfig(call: Call) -> Json:
    """The kubeconfig of the real cluster.

    If the endpoint asked for is not open, its server is a default domain that nobody answers [M].
    """
    cluster = call.cluster("ResourceNotFound.ClusterNotFound")
    endpoint = _endpoint(call, cluster)
    call.cloud.clock.settle(endpoint)
    is_open = endpoint.state == "Created"
    return {"Kubeconfig": kubeconfig.render(call.cloud.settings.kubeconfig, cluster.id, call.key.user_id, is_open)}


def acquire_cluster_admin_role(call: Call) -> Json:
    """Noted, and no more: here a kubeconfig has the rights that it has. In the cloud its user becomes an admin [M]."""
    cluster = call.cluster("ResourceNotFound.ClusterNotFound")
    if call.key.arn not in cluster.admins:
        cluster.admins.append(call.key.arn)
    return {}


def _endpoint(call: Call, cluster: Cluster) -> Endpoint:
    # IsExtranet is false by default [M].
    return cluster.external if call.params.get("IsExtranet", False) else cluster.internal


def _matches(cluster: Cluster, wanted: dict[str, list[str]]) -> bool:
    """AND across filters, OR within values [M]. How ``Tags`` writes a tag is inferred from the node pools' filter."""
    fields: dict[str, set[str]] = {
        "ClusterName": {cluster.name},
        "ClusterType": {"MANAGED_CLUSTER"},
        "ClusterStatus": {cluster.state},
        "vpc-id": {cluster.vpc},
        "tag-key": {tag.get("Key", "") for tag in cluster.tags},
        "tag-value": {tag.get("Value", "") for tag in cluster.tags},
        "Tags": {f"{tag.get('Key')}:{tag.get('Value')}" for tag in cluster.tags},
    }
    return all(fields[name] & set(values) for name, values in wanted.items())


def _cluster(cluster: Cluster) -> Json:
    return {
        "ClusterId": cluster.id,
        "ClusterName": cluster.name,
        "ClusterDescription": cluster.description,
        "ClusterVersion": cluster.version,
        "ClusterOs": "tlinux3.1x86_64",
        "ClusterType": "MANAGED_CLUSTER",
        "ClusterNetworkSettings": _network(cluster),
        "ClusterNodeNum": len(cluster.nodes),
        "ProjectId": 0,
        # null where there are none: documented as nullable [M].
        "TagSpecification": [{"ResourceType": "cluster", "Tags": cluster.tags}] if cluster.tags else None,
        "ClusterStatus": cluster.state,
        # A JSON string [M]. In hostname mode nodes bear the name they were given, here the instance's id.
        "Property": '{"NodeNameType":"hostname","NetworkType":"GR"}',
        "ClusterMaterNodeNum": 0,
        "ImageId": "img-local000",
        "OsCustomizeType": "GENERAL",
        "ContainerRuntime": "containerd",
        "CreatedTime": iso(cluster.created),
        "DeletionProtection": cluster.deletion_protection,
        "EnableExternalNode": False,
        "ClusterLevel": cluster.level,
        "AutoUpgradeClusterLevel": False,
        "QGPUShareEnable": False,
        "RuntimeVersion": "1.6.9",
        "ClusterEtcdNodeNum": 0,
    }


def _network(cluster: Cluster) -> Json:
    return {
        "ClusterCIDR": cluster.cidr,
        "IgnoreClusterCIDRConflict": False,
        "MaxNodePodNum": 64,
        "MaxClusterServiceNum": 1024,
        "Ipvs": False,
        "VpcId": cluster.vpc,
        "Cni": True,
        "KubeProxyMode": "iptables",
        "ServiceCIDR": "172.17.0.0/20",
        # null in the published example [M].
        "Subnets": None,
        "IgnoreServiceCIDRConflict": False,
        "IsDualStack": False,
        "Ipv6ServiceCIDR": "",
        "CiliumMode": "",
    }


def _status(cluster: Cluster) -> Json:
    states = [node.state for node in cluster.nodes.values()]
    return {
        "ClusterId": cluster.id,
        "ClusterState": cluster.state,
        "ClusterInstanceState": "AllNormal" if set(states) <= {"normal"} else "PartialAbnormal",
        "ClusterBMonitor": True,
        "ClusterInitNodeNum": states.count("joining"),
        "ClusterRunningNodeNum": states.count("normal"),
        "ClusterFailedNodeNum": 0,
        "ClusterClosedNodeNum": 0,
        "ClusterClosingNodeNum": states.count("leaving"),
        "ClusterDeletionProtection": cluster.deletion_protection,
        "ClusterAuditEnabled": False,
    }


ACTIONS: dict[str, Handler] = {
    "AcquireClusterAdminRole": acquire_cluster_admin_role,
    "CreateClusterEndpoint": create_cluster_endpoint,
    "DeleteClusterEndpoint": delete_cluster_endpoint,
    "DescribeClusterEndpointStatus": describe_cluster_endpoint_status,
    "DescribeClusterEndpoints": describe_cluster_endpoints,
    "DescribeClusterKubeconfig": describe_cluster_kubeconfig,
    "DescribeClusterStatus": describe_cluster_status,
    "DescribeClusters": describe_clusters,
}
