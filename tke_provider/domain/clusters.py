"""Clusters and node pools: what the cloud's answers say, as values."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any, TypedDict

from tke_provider.domain.creations import MADE_BY, merged
from tke_provider.domain.verdicts import Verdict, failed, passed, pending

if TYPE_CHECKING:
    from collections.abc import Mapping


class PoolKind(str, enum.Enum):
    """What a node pool is made of; it decides which call scales it."""

    REGULAR = "regular"
    """Virtual machines of an auto-scaling group."""
    NATIVE = "native"
    """Native nodes, scaled by their replica count."""
    SUPER = "super"
    """Super nodes: capacity without machines, so there is nothing to scale."""
    EXTERNAL = "external"
    """Machines registered from outside the cloud, which the cloud cannot scale."""
    UNKNOWN = "unknown"
    """A kind that is newer than this provider: listed, so that the others are found, and never scaled."""

    @classmethod
    def _missing_(cls, value: object) -> PoolKind:  # noqa: ARG003  # whatever it is
        return cls.UNKNOWN


@dataclasses.dataclass(frozen=True, slots=True)
class NodePool:
    """One node pool, whatever its kind.

    :param life_state: the cloud's own word, whose vocabulary depends on the kind; see :attr:`settled`.
    :param minimum: lower bound of its size.
    :param maximum: upper bound of its size.
    :param desired: how many nodes it was told to have.
    :param ready: how many of its nodes work.
    :param autoscaling: whether the cluster autoscaler writes ``desired``.
    :param autoscaling_group_id: the AS group behind a regular pool; empty for other kinds.
    :param labels: that its nodes get.
    :param taints: that its nodes get, as ``key=value:effect``.
    :param deletion_protection: whether the cloud refuses to delete it.
    """

    id: str
    name: str
    kind: PoolKind
    life_state: str
    minimum: int
    maximum: int
    desired: int
    ready: int
    autoscaling: bool
    autoscaling_group_id: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    taints: frozenset[str] = frozenset()
    deletion_protection: bool = False

    @property
    def made_by(self) -> str:
        """The mark of the operation that made it."""
        return self.labels.get(MADE_BY, "")

    @property
    def settled(self) -> bool:
        """Whether no change of the pool is under way; regular pools say ``normal``, native ones ``Running``."""
        return self.life_state.lower() in {"normal", "running"}

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> NodePool:
        """Read one of ``NodePools`` of ``DescribeNodePools`` (version 2022-05-01), which lists every kind."""
        kind = PoolKind(str(answer.get("Type")).lower())
        if kind is PoolKind.REGULAR:
            return cls._regular(answer, answer.get("Regular") or {})
        native = answer.get("Native") or {}
        scaling = native.get("Scaling") or {}
        nodes = (answer.get("External") or {}).get("NodesNum") or 0
        return cls(
            id=answer["NodePoolId"],
            name=answer.get("Name") or "",
            kind=kind,
            life_state=answer.get("LifeState") or "",
            minimum=scaling.get("MinReplicas") or 0,
            maximum=scaling.get("MaxReplicas") or 0,
            desired=native.get("Replicas") or nodes,
            ready=native.get("ReadyReplicas") or nodes,
            autoscaling=bool(native.get("EnableAutoscaling")),
            **_settings(answer),
        )

    @classmethod
    def _regular(cls, answer: Mapping[str, Any], group: Mapping[str, Any]) -> NodePool:
        summary = group.get("NodeCountSummary") or {}
        counts = [summary.get("AutoscalingAdded") or {}, summary.get("ManuallyAdded") or {}]
        return cls(
            id=answer["NodePoolId"],
            name=answer.get("Name") or "",
            kind=PoolKind.REGULAR,
            life_state=answer.get("LifeState") or "",
            minimum=group.get("MinNodesNum") or 0,
            maximum=group.get("MaxNodesNum") or 0,
            desired=group.get("DesiredNodesNum") or 0,
            ready=sum(count.get("Normal") or 0 for count in counts),
            autoscaling=(group.get("AutoscalingGroupStatus") or "").startswith("enabl"),
            autoscaling_group_id=group.get("AutoscalingGroupId") or "",
            **_settings(answer),
        )


class _Settings(TypedDict):
    labels: Mapping[str, str]
    taints: frozenset[str]
    deletion_protection: bool


def _settings(answer: Mapping[str, Any]) -> _Settings:
    """Read what every kind of pool says in the same words."""
    taints = answer.get("Taints") or ()
    return {
        "labels": {each["Name"]: each.get("Value") or "" for each in answer.get("Labels") or ()},
        "taints": frozenset(f"{each['Key']}={each.get('Value') or ''}:{each['Effect']}" for each in taints),
        "deletion_protection": bool(answer.get("DeletionProtection")),
    }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """What is to be set at a node pool; ``None`` leaves a setting as it is.

    :param autoscaling: whether the cluster autoscaler writes the size.
    :param labels: all that the pool should give its nodes.
    :param taints: likewise, as ``key=value:effect``.
    """

    autoscaling: bool | None = None
    minimum: int | None = None
    maximum: int | None = None
    labels: Mapping[str, str] | None = None
    taints: frozenset[str] | None = None
    deletion_protection: bool | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The settings that are not left as they are, by name."""
        named = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in named.items() if value is not None}

    def changes(self, pool: NodePool) -> PoolSettings:
        """Return those settings that the pool does not have yet."""
        return PoolSettings(**{name: value for name, value in self.given.items() if value != getattr(pool, name)})

    def __bool__(self) -> bool:
        """Whether anything is to be set."""
        return bool(self.given)


def show_setting(value: bool | int | str | Mapping[str, str] | frozenset[str] | None) -> str:
    """Return a setting as people read it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (int, str)):
        return str(value)
    if value is None:
        return "none"
    pairs = value if isinstance(value, frozenset) else (f"{name}={text}" for name, text in value.items())
    return ", ".join(sorted(pairs)) or "none"


@dataclasses.dataclass(frozen=True, slots=True)
class PoolNode:
    """One node of a pool, as the cloud sees it.

    :param id: the instance (``ins-…``) or, for native nodes, what the cloud calls the instance.
    :param state: ``initializing``, ``running`` or ``failed``.
    :param reason: why it is not running; empty where the cloud says nothing.
    """

    id: str
    state: str
    reason: str
    ip: str
    cordoned: bool
    created: str

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> PoolNode:
        """Read one of ``InstanceSet`` of ``DescribeClusterInstances`` (version 2022-05-01)."""
        reason = answer.get("FailedReason") or ""
        return cls(
            id=answer["InstanceId"],
            state=answer.get("InstanceState") or "",
            # Healthy nodes carry "=" or "=Ready:True" (the action's published example).
            reason="" if reason in {"=", "=Ready:True"} else reason,
            ip=answer.get("LanIP") or "",
            cordoned=bool(answer.get("Unschedulable")),
            created=answer.get("CreatedTime") or "",
        )


@dataclasses.dataclass(frozen=True, slots=True)
class ScalingActivity:
    """What an auto-scaling group did or tried; the only place where the cloud says why nodes do not come.

    :param kind: ``SCALE_OUT``, ``SCALE_IN``, ….
    :param status: ``INIT``, ``RUNNING``, ``SUCCESSFUL``, ``PARTIALLY_SUCCESSFUL``, ``FAILED`` or ``CANCELLED``.
    :param reason: the cloud's explanation.
    :param started: ISO 8601, UTC.
    """

    id: str
    kind: str
    status: str
    reason: str
    started: str

    @property
    def failed(self) -> bool:
        """Whether some of it did not work."""
        return self.status in {"FAILED", "PARTIALLY_SUCCESSFUL"}

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> ScalingActivity:
        """Read one of ``ActivitySet`` of ``DescribeAutoScalingActivities`` (autoscaling, version 2018-04-19)."""
        return cls(
            id=answer["ActivityId"],
            kind=answer.get("ActivityType") or "",
            status=answer.get("StatusCode") or "",
            reason=answer.get("StatusMessageSimplified") or answer.get("StatusMessage") or "",
            started=answer.get("StartTime") or "",
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, as the cloud sees it.

    :param state: the cloud's own word: ``Creating``, ``Running``, ``Deleting``, ``Abnormal``, ….
    :param tags: that its maker gave it.
    :param deletion_protection: whether the cloud refuses to delete it.
    """

    id: str
    name: str
    state: str
    version: str = ""
    vpc_id: str = ""
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    deletion_protection: bool = False

    def __str__(self) -> str:
        return f"cluster {self.id} ({self.name})"

    @property
    def made_by(self) -> str:
        """The mark of the operation that made it."""
        return self.tags.get(MADE_BY, "")

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Cluster:
        """Read one of ``Clusters`` of ``DescribeClusters`` (version 2018-05-25)."""
        tags = [tag for each in answer.get("TagSpecification") or () for tag in each.get("Tags") or ()]
        return cls(
            id=answer["ClusterId"],
            name=answer.get("ClusterName") or "",
            state=answer.get("ClusterStatus") or "",
            version=answer.get("ClusterVersion") or "",
            vpc_id=(answer.get("ClusterNetworkSettings") or {}).get("VpcId") or "",
            tags={tag["Key"]: tag.get("Value") or "" for tag in tags},
            deletion_protection=bool(answer.get("DeletionProtection")),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewCluster:
    """A managed cluster to be made.

    :param cidr: the network of its pods and services.
    :param settings: more parameters of ``CreateCluster``, by the API's names.
    """

    name: str
    vpc_id: str
    cidr: str
    version: str
    level: str = "L5"
    description: str = ""
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    deletion_protection: bool = True
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def request(self, made_by: str) -> dict[str, Any]:
        """Return the parameters of ``CreateCluster``."""
        tags = {**self.tags, MADE_BY: made_by}
        basic = {
            "ClusterName": self.name,
            "ClusterVersion": self.version,
            "ClusterDescription": self.description,
            "ClusterLevel": self.level,
            "VpcId": self.vpc_id,
            "TagSpecification": [
                {"ResourceType": "cluster", "Tags": [{"Key": key, "Value": tags[key]} for key in sorted(tags)]}
            ],
        }
        params = {
            "ClusterType": "MANAGED_CLUSTER",
            "ClusterCIDRSettings": {"ClusterCIDR": self.cidr} if self.cidr else {},
            "ClusterBasicSettings": basic,
            # The default runtime is docker by the metadata, which no cluster of today has.
            "ClusterAdvancedSettings": {
                "ContainerRuntime": "containerd",
                "DeletionProtection": self.deletion_protection,
            },
        }
        return merged(params, self.settings)


def end_of_cluster(instances: str, disks: str) -> dict[str, Any]:
    """Return what ``DeleteCluster`` is told to do with machines and with the disks of volumes."""
    options = [{"ResourceType": "CBS", "DeleteMode": disks}]
    return {"InstanceDeleteMode": instances, "ResourceDeleteOptions": options}


# In none of them does a cluster come back by itself: "Isolated" is for money owed.
_LOST = {"abnormal", "isolated", "resourceisolate", "resourceisolated", "deleting"}
_SLOW_TO_SHOW = 60.0
"""Seconds after it was asked for in which an endpoint may still be shown as not there."""


def assess_creation(cluster: Cluster | None, cluster_id: str) -> Verdict:
    """Return whether a cluster that is being made runs."""
    if cluster is None:
        # The list may lag behind the call that made it; a cluster that never shows is told by the deadline.
        return pending(f"cluster {cluster_id} is not listed yet")
    if cluster.state == "Running":
        return passed(f"{cluster} is Running")
    if cluster.state.lower() in _LOST:
        return failed(f"{cluster} is {cluster.state}")
    return pending(f"{cluster} is {cluster.state}")


def assess_deletion(cluster: Cluster | None, cluster_id: str) -> Verdict:
    """Return whether a cluster that is being deleted is gone."""
    if cluster is None:
        return passed(f"cluster {cluster_id} is gone")
    return pending(f"{cluster} is {cluster.state}")


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """One of the two ways to a cluster's API server.

    :param status: ``Created``, ``Creating``, ``NotFound``, ``CreateFailed``, ``Deleting``, ….
    :param error: what the cloud says beside it; not empty does not mean failed (the action's published example).
    """

    external: bool
    status: str
    error: str = ""

    @property
    def name(self) -> str:
        """``public`` or ``private``."""
        return "public" if self.external else "private"

    def opened(self, cluster_id: str, seconds: float) -> Verdict:
        """Return whether it is open.

        :param seconds: since it was asked for.
        """
        said = f"the {self.name} endpoint of cluster {cluster_id} is {self.status}"
        if self.status == "Created":
            return passed(said)
        if self.status == "CreateFailed":
            return failed(f"{said}: {self.error}" if self.error else said)
        if self.status == "NotFound" and seconds > _SLOW_TO_SHOW:
            return failed(f"{said}, {seconds:.0f} seconds after it was asked for")
        return pending(said)

    def closed(self, cluster_id: str) -> Verdict:
        """Return whether it is closed."""
        said = f"the {self.name} endpoint of cluster {cluster_id} is {self.status}"
        if self.status in {"NotFound", "Deleted"}:
            return passed(f"the {self.name} endpoint of cluster {cluster_id} is closed")
        if self.status == "DeletedFailed":
            return failed(f"{said}: {self.error}" if self.error else said)
        return pending(said)
