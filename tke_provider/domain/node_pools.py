"""What a node pool is made from, in our words; and whether one that is being deleted is gone."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

from tke_provider.domain.clusters import PoolKind
from tke_provider.domain.creations import MADE_BY, merged
from tke_provider.domain.scaling import Bounds, at_rest
from tke_provider.domain.verdicts import Verdict, passed, pending
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tke_provider.domain.clusters import NodePool

_TAINT = re.compile(r"[^=:\s]+=[^=:\s]*:(NoSchedule|PreferNoSchedule|NoExecute)")


def check_taints(taints: Iterable[str]) -> frozenset[str]:
    """Return taints as values.

    :raises InputError: when one is not ``key=value:effect``.
    """
    found = frozenset(taints)
    for taint in sorted(found):
        if not _TAINT.fullmatch(taint):
            raise InputError(f"{taint!r} is no taint", way_out="write key=value:effect, as in gpu=yes:NoSchedule")
    return found


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewPool:
    """A node pool to be made.

    :param desired: how many nodes at first.
    :param settings: more of the call's own parameters, by the API's names.
    """

    name: str
    kind: PoolKind
    subnets: Sequence[str]
    instance_types: Sequence[str] = ()
    security_groups: Sequence[str] = ()
    minimum: int = 0
    maximum: int = 0
    desired: int = 0
    autoscaling: bool = False
    disk_type: str = "CLOUD_BSSD"
    disk_gib: int = 50
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    taints: frozenset[str] = frozenset()
    deletion_protection: bool = False
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def check(self) -> None:
        """Refuse what the cloud would refuse, or take for something else.

        :raises InputError: when something is missing or contradicts itself.
        """
        name = f"Node pool {self.name}"
        if not self.subnets:
            raise InputError(f"{name} has no subnet", way_out="name at least one (subnet-xxxxxxxx)")
        if self.kind is PoolKind.SUPER:
            if self.instance_types or self.maximum or self.desired or self.autoscaling:
                raise InputError(
                    f"{name} consists of super nodes, which have neither machines nor a size",
                    way_out="leave out instance_types, minimum, maximum, desired and autoscaling",
                )
            if not self.security_groups:
                raise InputError(f"{name} has no security group", way_out="super nodes need one (sg-xxxxxxxx)")
            return
        if not self.instance_types:
            raise InputError(f"{name} has no instance type", way_out="name at least one, as in SA5.LARGE8")
        Bounds(self.minimum, self.maximum).check(self.desired, name)


def regular_request(pool: NewPool, made_by: str, vpc_id: str) -> dict[str, Any]:
    """Return the parameters of ``CreateClusterNodePool``; two of them are JSON within JSON.

    Those are of AS ``CreateAutoScalingGroup`` and ``CreateLaunchConfiguration``
    (https://cloud.tencent.com/document/api/377/20440, …/20447).
    """
    group = {
        "MinSize": pool.minimum,
        "MaxSize": pool.maximum,
        "DesiredCapacity": pool.desired,
        "VpcId": vpc_id,
        "SubnetIds": list(pool.subnets),
    }
    launch = {
        "InstanceTypes": list(pool.instance_types),
        "InstanceChargeType": "POSTPAID_BY_HOUR",
        "SystemDisk": {"DiskType": pool.disk_type, "DiskSize": pool.disk_gib},
        "SecurityGroupIds": list(pool.security_groups),
    }
    # As in the published example of CreateCluster: the metadata requires these four.
    advanced = {"DesiredPodNumber": 0, "GPUArgs": {}, "PreStartUserScript": "", "Taints": []}
    params = {
        **_shared(pool, made_by),
        "EnableAutoscale": pool.autoscaling,
        "AutoScalingGroupPara": group,
        "LaunchConfigurePara": launch,
        "InstanceAdvancedSettings": advanced,
    }
    params = merged(params, pool.settings)
    return params | {name: json.dumps(params[name]) for name in ("AutoScalingGroupPara", "LaunchConfigurePara")}


def native_request(pool: NewPool, made_by: str) -> dict[str, Any]:
    """Return the parameters of ``CreateNodePool`` (version 2022-05-01)."""
    native = {
        "Scaling": {"MinReplicas": pool.minimum, "MaxReplicas": pool.maximum},
        "Replicas": pool.desired,
        "EnableAutoscaling": pool.autoscaling,
        "SubnetIds": list(pool.subnets),
        "InstanceTypes": list(pool.instance_types),
        "InstanceChargeType": "POSTPAID_BY_HOUR",
        "SystemDisk": {"DiskType": pool.disk_type, "DiskSize": pool.disk_gib},
        "SecurityGroupIds": list(pool.security_groups),
    }
    return merged({**_shared(pool, made_by), "Type": "Native", "Native": native}, pool.settings)


def super_request(pool: NewPool, made_by: str) -> dict[str, Any]:
    """Return the parameters of ``CreateClusterVirtualNodePool``."""
    params = {
        **_shared(pool, made_by),
        "SubnetIds": list(pool.subnets),
        "SecurityGroupIds": list(pool.security_groups),
    }
    return merged(params, pool.settings)


def _shared(pool: NewPool, made_by: str) -> dict[str, Any]:
    return {
        "Name": pool.name,
        "Labels": label_list({**pool.labels, MADE_BY: made_by}),
        "Taints": taint_list(pool.taints),
        "DeletionProtection": pool.deletion_protection,
    }


def label_list(labels: Mapping[str, str]) -> list[dict[str, str]]:
    """Write labels as the cloud has them."""
    return [{"Name": name, "Value": value} for name, value in sorted(labels.items())]


def taint_list(taints: Iterable[str]) -> list[dict[str, str]]:
    """Write taints as the cloud has them; each is ``key=value:effect``."""
    split = [(*each.rpartition(":")[0].partition("=")[::2], each.rpartition(":")[2]) for each in sorted(taints)]
    return [{"Key": key, "Value": value, "Effect": effect} for key, value, effect in split]


def assess_absence(pools: Iterable[NodePool], pool_id: str) -> Verdict:
    """Return whether a pool that is being deleted is gone."""
    for pool in pools:
        if pool.id == pool_id:
            return pending(f"node pool {pool.id} is {pool.life_state}")
    return passed(f"node pool {pool_id} is gone")


def assess_super(pool: NodePool) -> Verdict:
    """Return whether a new pool of super nodes takes pods: it has no size that could be waited for."""
    rest = at_rest(pool)
    return passed(f"node pool {pool.id} is ready") if rest.final and pool.settled else rest
