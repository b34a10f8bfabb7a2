"""What exists in the emulated account. Plain data: the state file is these classes as JSON."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from tke_provider.emulator.clock import Change, Pace  # noqa: TC001 - pydantic needs them to read the state

Json = dict[str, Any]
"""A JSON object of the API: parameters that passed validation, or an answer."""

PoolType = Literal["Regular", "Native", "Super"]


@dataclass
class Key:
    """A SecretId's other half and whose it is.

    :param token: Only of temporary keys.
    :param expires: Seconds since the epoch; 0 for a permanent key.
    """

    secret_key: str
    arn: str
    type: str
    user_id: str
    token: str = ""
    expires: float = 0


@dataclass
class Node:
    """A machine of a cluster. Its id is also the name of its Node object.

    :param pool: The pool's id, or ``""`` once it was taken out of its pool.
    :param state: ``joining``, ``normal``, ``leaving`` or ``gone``.
    :param idle_since: When the cluster autoscaler first saw it do nothing; 0 while it does something.
    """

    id: str
    pool: str
    type: PoolType
    ip: str
    created: float
    state: str = "joining"
    change: Change | None = None
    protected: bool = False
    subnet: str = ""
    labels: list[Json] = field(default_factory=list)
    taints: list[Json] = field(default_factory=list)
    idle_since: float = 0


@dataclass
class Pool:
    """A node pool of any type.

    :param state: ``creating``, ``normal``, ``updating``, ``deleting`` or ``gone``; each API version has its own words.
    :param options: What its maker gave and descriptions repeat, by the API's names.
    """

    id: str
    name: str
    type: PoolType
    minimum: int
    maximum: int
    desired: int
    created: float
    autoscaling: bool = False
    state: str = "normal"
    change: Change | None = None
    labels: list[Json] = field(default_factory=list)
    taints: list[Json] = field(default_factory=list)
    annotations: list[Json] = field(default_factory=list)
    tags: list[Json] = field(default_factory=list)
    deletion_protection: bool = False
    unschedulable: bool = False
    options: Json = field(default_factory=dict)

    @property
    def scaling_group(self) -> str:
        """The id of the scaling group behind a regular pool."""
        return self.id.replace("np-", "asg-", 1)


@dataclass
class Endpoint:
    """One way to a cluster's API server. ``state`` is in the API's words: ``NotFound``, ``Created``, and so on."""

    state: str = "NotFound"
    change: Change | None = None
    subnet: str = ""
    security_group: str = ""
    error: str = ""


@dataclass
class PendingRelease:
    """A change of a Helm release that is under way, or failed.

    :param action: What helm calls it: ``install``, ``upgrade``, ``rollback`` or ``uninstall``.
    :param state: ``pending-…`` or ``failed``.
    :param condition: What helm said, if it failed.
    """

    id: str
    action: str
    name: str
    namespace: str
    created: float
    updated: float
    state: str
    condition: str = ""

    @classmethod
    def of(cls, action: str, namespace: str, name: str, now: float) -> PendingRelease:
        """A change that begins now. Ids are UUIDs, states as in the published examples [M]."""
        return cls(str(uuid.uuid4()), action, name, namespace, now, now, f"pending-{action}")


@dataclass
class Cluster:
    """A TKE cluster.

    :param departed: Instances that were there once: deleting one again is another error than an unknown one.
    :param admins: Who acquired the administrator's role.
    :param autoscaler: What was set of the cluster autoscaler's options, by the API's names.
    :param pending: Changes of Helm releases by their id; the releases themselves are in the real cluster.
    """

    id: str
    name: str
    region: str
    created: float
    version: str = "1.32.2"
    state: str = "Running"
    vpc: str = "vpc-local000"
    cidr: str = "172.16.0.0/16"
    description: str = ""
    level: str = "L5"
    deletion_protection: bool = False
    tags: list[Json] = field(default_factory=list)
    change: Change | None = None
    internal: Endpoint = field(default_factory=Endpoint)
    external: Endpoint = field(default_factory=Endpoint)
    pools: dict[str, Pool] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    departed: list[str] = field(default_factory=list)
    admins: list[str] = field(default_factory=list)
    pending: dict[str, PendingRelease] = field(default_factory=dict)
    autoscaler: Json = field(default_factory=dict)

    def nodes_of(self, pool: Pool) -> list[Node]:
        """The machines of a pool, oldest first, those on their way out included."""
        return [node for node in self.nodes.values() if node.pool == pool.id]


@dataclass
class Namespace:
    """A namespace of a registry."""

    name: str
    number: int
    created: float
    public: bool = False
    options: Json = field(default_factory=dict)


@dataclass
class Repository:
    """A repository that was created through the API; those made by a push are known to the registry alone."""

    namespace: str
    name: str
    created: float
    brief: str = ""
    description: str = ""


@dataclass
class Registry:
    """A TCR enterprise instance."""

    id: str
    name: str
    region: str
    created: float
    state: str = "Running"
    namespaces: dict[str, Namespace] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)


@dataclass
class Scan:
    """What the scanner says of an image; the remote control says what it finds.

    :param status: ``NOT_SCAN``, ``SCANNING``, ``SCANNED`` or ``SCAN_ERR``.
    :param found: Vulnerabilities by level (``Critical``, ``High``, ``Medium``, ``Low``), and ``Virus``.
    """

    id: int
    status: str = "NOT_SCAN"
    at: float = 0
    found: dict[str, int] = field(default_factory=dict)
    reason: str = ""


@dataclass
class Activity:
    """What a scaling group did, or failed to do, about a difference between desired and actual."""

    id: str
    group: str
    type: str
    at: float
    wanted: int
    instances: list[str]
    code: str = ""
    reason: str = ""


@dataclass
class Trouble:
    """Something that goes wrong on request; see :mod:`tke_provider.emulator.trouble`."""

    id: str
    kind: str
    action: str = "*"
    count: int | None = 1
    skip: int = 0
    seconds: float = 0
    code: str = ""
    message: str = ""
    status: int = 503
    available: int = 0


@dataclass
class Measured:
    """What a metric is from an instant on.

    :param since: Seconds since the epoch.
    """

    namespace: str
    metric: str
    dimensions: dict[str, str]
    value: float | None
    since: float = 0


@dataclass
class State:
    """Everything, as one value.

    :param uin: The account's number.
    :param root: The SecretId of the account itself.
    :param owner: Marks the Node objects of this state in the real cluster: several emulators may share one.
    :param scans: By the image's digest.
    :param group_rules: Scheduled actions and alarm policies of scaling groups by their id, as they are described.
    :param serial: Counts what needs a number of its own (addresses, namespaces).
    """

    uin: str
    root: str
    owner: str
    keys: dict[str, Key]
    clusters: dict[str, Cluster] = field(default_factory=dict)
    registries: dict[str, Registry] = field(default_factory=dict)
    activities: list[Activity] = field(default_factory=list)
    group_rules: dict[str, Json] = field(default_factory=dict)
    scans: dict[str, Scan] = field(default_factory=dict)
    paces: dict[str, Pace] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    serial: int = 0
