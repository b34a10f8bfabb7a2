"""TKE 2018-05-25: making, naming, protecting and deleting clusters."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

from tke_provider.emulator import clusters, trouble
from tke_provider.emulator.errors import CloudError
from tke_provider.emulator.models import Cluster
from tke_provider.emulator.state import new_id

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Call, Handler
    from tke_provider.emulator.models import Json


def create_cluster(call: Call) -> Json:
    """A managed cluster without nodes. There is no idempotency token and names need not be unique: twice makes two [M].

    Every cluster here stands in front of the same real one. Control planes of one's own and machines bought with the
    cluster are not emulated.
    """
    basic = call.params.get("ClusterBasicSettings", {})
    if call.params["ClusterType"] != "MANAGED_CLUSTER" or call.params.get("RunInstancesForNode"):
        raise CloudError("UnsupportedOperation", "the emulator makes managed clusters without nodes")
    if not basic.get("VpcId"):
        # Required for a managed cluster without nodes [M]; which code says so is inferred.
        raise CloudError("InvalidParameter.Param", "VpcId is required for a managed cluster without nodes")
    clusters.settle(call.cloud)
    advanced = call.params.get("ClusterAdvancedSettings", {})
    cluster = Cluster(
        new_id("cls"),
        basic.get("ClusterName", ""),
        call.region,
        call.cloud.clock.now(),
        # The default is 1.10.5 by the metadata [M], which nothing answers any more; the real cluster's own is truer.
        version=basic.get("ClusterVersion", "1.32.2"),
        state="Creating",
        vpc=basic["VpcId"],
        cidr=_cidr(call, basic["VpcId"]),
        description=basic.get("ClusterDescription", ""),
        level=basic.get("ClusterLevel", "L5"),
        deletion_protection=advanced.get("DeletionProtection", False),
        tags=[tag for each in basic.get("TagSpecification", []) for tag in each.get("Tags", [])],
        # Its maker is its administrator [M].
        admins=[call.key.arn],
    )
    call.cloud.state.clusters[cluster.id] = cluster
    fails = trouble.take(call.cloud.state.troubles, ("fails",), call.action)
    call.cloud.clock.begin(cluster, "Abnormal" if fails else "Running", "cluster")
    return {"ClusterId": cluster.id}


def delete_cluster(call: Call) -> Json:
    """A cluster with its pools. That one which is being made or deleted refuses is inferred; the codes are [G]."""
    cluster = call.cluster("InternalError.ClusterNotFound")
    if cluster.deletion_protection:
        raise CloudError("OperationDenied.ClusterInDeletionProtection", f"cluster {cluster.id} is protected")
    if cluster.state in {"Creating", "Deleting"}:
        clusters.refuse_busy(cluster, "FailedOperation.ClusterState")
    if call.params["InstanceDeleteMode"] not in {"terminate", "retain"}:
        raise CloudError("InternalError.Param", "InstanceDeleteMode is terminate or retain")
    clusters.delete(call.cloud, cluster)
    return {}


def modify_cluster_attribute(call: Call) -> Json:
    """Name, description and level; the answer repeats them [M]."""
    cluster = call.cluster("ResourceNotFound")
    clusters.refuse_busy(cluster)
    cluster.name = call.params.get("ClusterName", cluster.name)
    cluster.description = call.params.get("ClusterDesc", cluster.description)
    cluster.level = call.params.get("ClusterLevel", cluster.level)
    return {"ClusterName": cluster.name, "ClusterDesc": cluster.description, "ClusterLevel": cluster.level}


def enable_cluster_deletion_protection(call: Call) -> Json:
    """From now on nobody deletes it."""
    call.cluster("ResourceNotFound").deletion_protection = True
    return {}


def disable_cluster_deletion_protection(call: Call) -> Json:
    """From now on whoever may, deletes it."""
    call.cluster("ResourceNotFound").deletion_protection = False
    return {}


def _cidr(call: Call, vpc: str) -> str:
    """The network of its pods, which must not overlap that of another cluster in the same VPC [M]."""
    given = call.params["ClusterCIDRSettings"]
    text: str = given.get("ClusterCIDR", "")
    if not text:
        return ""  # none is given where the pods' addresses come from subnets (VPC-CNI) [M]
    try:
        network = ip_network(text)
    except ValueError as e:
        raise CloudError("InvalidParameter.CidrInvalid", f"{text} is no network: {e}") from e
    others = [each for each in call.cloud.state.clusters.values() if each.vpc == vpc and each.cidr]
    for other in others:
        if network.overlaps(ip_network(other.cidr)) and not given.get("IgnoreClusterCIDRConflict", False):
            raise CloudError(
                "InvalidParameter.CidrConflictWithOtherCluster",
                f"DBG_CIDR_CONFLICT[{text} conflicts with {other.cidr} of {other.id}]",
            )
    return text


ACTIONS: dict[str, Handler] = {
    "CreateCluster": create_cluster,
    "DeleteCluster": delete_cluster,
    "DisableClusterDeletionProtection": disable_cluster_deletion_protection,
    "EnableClusterDeletionProtection": enable_cluster_deletion_protection,
    "ModifyClusterAttribute": modify_cluster_attribute,
}
