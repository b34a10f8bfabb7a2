"""Node pools as one model, whatever API version speaks about them: grow, shrink, settle, delete."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from tke_provider.emulator import trouble
from tke_provider.emulator.clock import finish
from tke_provider.emulator.errors import CloudError
from tke_provider.emulator.models import Activity, Cluster, Json, Node, Pool
from tke_provider.emulator.state import SUBNET, new_id

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Cloud

SOLD_OUT = "ResourceInsufficient.SpecifiedInstanceType"


def settle(cloud: Cloud, cluster: Cluster, *, look: bool = False) -> None:
    """Let due changes of a cluster's pools and machines come true, and drop what is gone by that.

    :param look: Somebody looks: counts for a clock that runs by looks.
    """
    for node in list(cluster.nodes.values()):
        cloud.clock.settle(node, look=look)
        if node.state == "gone":
            _drop(cluster, node)
    for pool in list(cluster.pools.values()):
        cloud.clock.settle(pool, look=look)
        if pool.state == "gone":
            del cluster.pools[pool.id]


def tell(cluster: Cluster, wanted: str) -> int:
    """Finish what is on its way: of the pool, machine or kind called ``wanted``, or of all for ``*``."""
    things: list[Pool | Node] = [*cluster.pools.values(), *cluster.nodes.values()]
    due = [each for each in things if each.change and wanted in {"*", each.id, each.change.kind, _pool_of(each)}]
    for thing in due:
        finish(thing)
    for node in [each for each in cluster.nodes.values() if each.state == "gone"]:
        _drop(cluster, node)
    for pool in [each for each in cluster.pools.values() if each.state == "gone"]:
        del cluster.pools[pool.id]
    return len(due)


def add(cloud: Cloud, cluster: Cluster, pool: Pool, given: Json, action: str) -> None:
    """A new pool with what its maker ``given``, and its first machines."""
    update(pool, given)
    cluster.pools[pool.id] = pool
    cloud.clock.begin(pool, "normal", "pool")
    fill(cloud, cluster, pool, action)


def update(pool: Pool, given: Json) -> None:
    """What both API versions call by the same names."""
    pool.name = given.get("Name", pool.name)
    pool.labels = given.get("Labels", pool.labels)
    pool.taints = given.get("Taints", pool.taints)
    pool.annotations = given.get("Annotations", pool.annotations)
    pool.tags = given.get("Tags", pool.tags)
    # A number in the older version, a bool in the newer [M].
    pool.unschedulable = bool(given.get("Unschedulable", pool.unschedulable))
    pool.deletion_protection = given.get("DeletionProtection", pool.deletion_protection)


def check_sizes(minimum: int, size: int, maximum: int, code: str = "InvalidParameter.Param") -> None:
    """Refuse bounds that do not hold the size.

    :param code: What the action answers.
    """
    if not 0 <= minimum <= size <= maximum:
        raise CloudError(code, f"minimum {minimum}, size {size} and maximum {maximum} are not in this order")


def scaling_group(cluster: Cluster, pool: Pool) -> Json:
    """The scaling group behind a regular pool: both API versions describe it by the same names [M]."""
    return {
        "LaunchConfigurationId": pool.id.replace("np-", "asc-", 1),
        "AutoscalingGroupId": pool.scaling_group,
        "AutoscalingGroupStatus": "enabled" if pool.autoscaling else "disabled",
        "NodeCountSummary": _counts(cluster, pool),
        "MaxNodesNum": pool.maximum,
        "MinNodesNum": pool.minimum,
        "DesiredNodesNum": pool.desired,
        "NodePoolOs": pool.options.get("NodePoolOs", "tlinux3.1x86_64"),
    }


def touch(cloud: Cloud, pool: Pool) -> None:
    """A write to a pool: it is ``updating`` until the clock says otherwise."""
    pool.state = "updating"
    cloud.clock.begin(pool, "normal", "pool")


def refuse_busy(pool: Pool) -> None:
    """Only a pool at rest takes a write; another answers bare ``OperationDenied`` ([M]; met in practice [O])."""
    if pool.state != "normal":
        raise CloudError("OperationDenied", f"node pool {pool.id} is {pool.state}, try again later")


def resize(cloud: Cloud, cluster: Cluster, pool: Pool, desired: int, action: str) -> None:
    """Set how many machines a pool shall have, and buy or retire the difference.

    :param action: The action that asks; a ``sold_out`` trouble is stored for it.
    """
    pool.desired = desired
    fill(cloud, cluster, pool, action)


def fill(cloud: Cloud, cluster: Cluster, pool: Pool, action: str) -> None:
    """Bring the machines of a pool to the number desired."""
    staying = [node for node in cluster.nodes_of(pool) if node.state not in {"leaving", "gone"}]
    short = pool.desired - len(staying)
    if short > 0:
        _buy(cloud, cluster, pool, short, action)
    elif short < 0:
        _retire_some(cloud, pool, staying, -short)


def retire(cloud: Cloud, node: Node) -> None:
    """Send a machine away: cordoned now, gone when the clock says so."""
    node.state = "leaving"
    cloud.clock.begin(node, "gone", "node")


def remove(cloud: Cloud, pool: Pool, node: Node) -> None:
    """Send a chosen machine away for good: the pool shall have one less."""
    pool.desired -= 1
    retire(cloud, node)
    _record(cloud, pool, "REMOVE_INSTANCES", 1, [node.id])


def add_node(cloud: Cloud, cluster: Cluster, pool: Pool, node_id: str, subnet: str = SUBNET) -> Node:
    """A new machine on its way into its pool."""
    node = Node(node_id, pool.id, pool.type, cloud.new_address(), cloud.clock.now(), subnet=subnet)
    node.labels, node.taints = [*pool.labels], [*pool.taints]
    cluster.nodes[node.id] = node
    cloud.clock.begin(node, "normal", "node")
    return node


def delete(cloud: Cloud, cluster: Cluster, pool: Pool) -> None:
    """Delete a pool with its machines."""
    pool.state = "deleting"
    cloud.clock.begin(pool, "gone", "pool")
    for node in cluster.nodes_of(pool):
        retire(cloud, node)


def _counts(cluster: Cluster, pool: Pool) -> Json:
    # All machines here are made by the scaling group, none added by hand.
    states = [node.state for node in cluster.nodes_of(pool)]
    added = {
        "Joining": states.count("joining"),
        "Initializing": 0,
        "Normal": states.count("normal"),
        "Total": len(states),
    }
    return {"ManuallyAdded": dict.fromkeys(added, 0), "AutoscalingAdded": added}


def _buy(cloud: Cloud, cluster: Cluster, pool: Pool, wanted: int, action: str) -> None:
    met = trouble.take(cloud.state.troubles, ("sold_out",), action)
    bought = min(wanted, met.available) if met else wanted
    made = [add_node(cloud, cluster, pool, _node_id(cluster, pool)).id for _ in range(bought)]
    activity = _record(cloud, pool, "SCALE_OUT", wanted, made)
    if met and activity:
        activity.code = met.code or SOLD_OUT
        activity.reason = met.message or "The specified instance type is sold out in the specified zone."


def _retire_some(cloud: Cloud, pool: Pool, staying: list[Node], number: int) -> None:
    # Native pools delete the newest first by default (DeletePolicy [M]); scaling groups the oldest (TerminationPolicies
    # of AS [M]). Machines protected from scale-in are never picked [M].
    free = [node for node in staying if not node.protected]
    if pool.type == "Native":
        free.reverse()
    for node in free[:number]:
        retire(cloud, node)
    _record(cloud, pool, "SCALE_IN", number, [node.id for node in free[:number]])


def _record(cloud: Cloud, pool: Pool, kind: str, wanted: int, instances: list[str]) -> Activity | None:
    if pool.type != "Regular":
        return None
    activity = Activity(new_id("asa"), pool.scaling_group, kind, cloud.clock.now(), wanted, instances)
    cloud.state.activities.append(activity)
    return activity


def _node_id(cluster: Cluster, pool: Pool) -> str:
    # Shapes: CVM "ins-xxxxxxxx", native machine "<pool>-xxxxx" [M]: so short that of thousands two would be the same.
    while True:
        made = f"{pool.id}-{secrets.token_hex(4)[:5]}" if pool.type == "Native" else new_id("ins")
        if made not in cluster.nodes:
            return made


def _drop(cluster: Cluster, node: Node) -> None:
    del cluster.nodes[node.id]
    cluster.departed.append(node.id)


def _pool_of(thing: Pool | Node) -> str:
    return thing.pool if isinstance(thing, Node) else thing.id
