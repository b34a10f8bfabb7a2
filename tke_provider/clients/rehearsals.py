"""What a rehearsal looks at: what would be changed, and what stands against it in the cluster itself."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tke_provider.clients import leases
from tke_provider.clients.nodes import to_drain
from tke_provider.clients.plan_targets import being_changed, find, list_if_allowed
from tke_provider.clients.pools import first_to_go, rules_of, whole_pool
from tke_provider.clients.scaling import APPS, find_number
from tke_provider.domain.clusters import show_setting
from tke_provider.domain.nodes import kept_pods, to_evict, used_up
from tke_provider.domain.phrases import count, some
from tke_provider.domain.plans import Claim, Kind, Target
from tke_provider.domain.proposals import Present, compare
from tke_provider.domain.rehearsals import Line
from tke_provider.domain.scaling import AUTOSCALER, carried_out, show_pool
from tke_provider.exceptions import NotFoundError, OwnedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.clients.pools import FoundPool
    from tke_provider.clients.scaling import Number
    from tke_provider.clients.tke import Tke
    from tke_provider.domain.clusters import NodePool, PoolSettings
    from tke_provider.domain.manifests import ObjectRef
    from tke_provider.domain.plans import OnOwner
    from tke_provider.domain.proposals import Row
    from tke_provider.domain.scaling import SetBounds, SetSize

_MOST_TOLD = 3


async def look_at_service(
    cluster: Cluster, workload: ObjectRef, size: int, operation: str, *, on_owner: OnOwner
) -> Line:
    """Return what giving a workload a size would change: its own number, or the bounds of whoever owns that.

    :param operation: whose lease does not stand against a change.
    :param on_owner: as in :class:`~tke_provider.domain.plans.Target`.
    :raises NotFoundError: when there is no such workload.
    """
    number = await find_number(cluster, workload)
    target = Target(
        name=workload.name,
        kind=Kind.SERVICE,
        object_name=workload.name,
        namespace=workload.namespace,
        workload=workload.kind,
        on_owner=on_owner,
    )
    if workload.api_version == APPS:
        found, _ = await find(cluster, [target], operation, closely=True)
        presents = [each.present for each in found]
    else:
        held = await leases.others(cluster, workload.namespace, operation)
        presents = [_of_any_kind(target, workload, number, held.get(workload.name))]
    if not presents:
        raise NotFoundError(f"{workload} was deleted meanwhile", way_out="find out by whom")
    return dataclasses.replace(compare(target, Claim(size), presents[0]).line, why="as asked for")


def _of_any_kind(target: Target, workload: ObjectRef, number: Number, holder: str | None) -> Present:
    """Return what is known of a workload of which only the scale subresource is."""
    owner = number.owner
    refused = (
        (f"its size is written by {owner}",) if owner and (target.on_owner == "refuse" or not owner.bounds) else ()
    )
    return Present(
        target=target.name,
        ref=str(workload),
        size=number.value,
        bounds=owner.bounds if owner else None,
        owner=str(owner or ""),
        blockers=(*refused, *being_changed(holder)),
    )


async def look_at_pool(
    tke: Tke,
    cluster: Cluster,
    pool: NodePool,
    operation: str,
    plan: Callable[[NodePool], Iterable[SetBounds | SetSize]],
    size: int,
) -> Line:
    """Return what giving a node pool a size would change.

    :param operation: whose lease does not stand against a change.
    :param plan: which writes bring it there.
    :param size: that is asked for.
    """
    refused: list[str] = []
    try:
        then = carried_out(pool, plan(pool))
    except OwnedError:
        then, refused = dataclasses.replace(pool, desired=size), [f"its size is written by {AUTOSCALER}"]
    rules = [f"its size is written by {rule}" for rule in await rules_of(tke, pool)]
    held = await leases.others(cluster, whole_pool("").namespace, operation)
    return Line(
        ref=f"node pool {pool.id} ({pool.name})",
        before=show_pool(pool),
        after=show_pool(then),
        why="as asked for",
        owner=AUTOSCALER if pool.autoscaling else "",
        blockers=(*refused, *rules, *being_changed(held.get(pool.id))),
    )


async def look_at_settings(cluster: Cluster, pool: NodePool, settings: PoolSettings, operation: str) -> list[Line]:
    """Return what giving a node pool settings would change, a line for each that is given.

    :param operation: whose lease does not stand against a change.
    """
    held = await leases.others(cluster, whole_pool("").namespace, operation)
    return [
        Line(
            ref=f"{name} of node pool {pool.id} ({pool.name})",
            before=show_setting(getattr(pool, name)),
            after=show_setting(wanted),
            why="as asked for",
            blockers=being_changed(held.get(pool.id)),
        )
        for name, wanted in settings.given.items()
    ]


async def look_at_nodes(cluster: Cluster, nodes: Sequence[str], *, force: bool, delete_empty_dir: bool) -> list[Line]:
    """Return what draining nodes would change, and which disruption budgets keep their pods.

    :raises TkeError: as :func:`~tke_provider.clients.nodes.to_drain`.
    """
    live, pods = await to_drain(cluster, nodes, force=force, delete_empty_dir=delete_empty_dir)
    pods = to_evict(pods)
    budgets = await list_if_allowed(cluster, "policy/v1", "PodDisruptionBudget") if pods else []
    lines = []
    for name in nodes:
        here = [pod for pod in pods if pod["spec"].get("nodeName") == name]
        kept = kept_pods(here, budgets)
        closed = "closed" if live[name]["spec"].get("unschedulable") else "open"
        lines.append(
            Line(
                ref=f"Node {name}",
                before=f"{closed}, {count(len(here), 'pod')} to evict",
                after="closed, 0 pods to evict",
                why="as asked for",
                blockers=(some(kept, _MOST_TOLD, "; "),) if kept else (),
            )
        )
    return lines


async def look_at_pools(
    tke: Tke, cluster: Cluster, cluster_id: str, pools: Sequence[tuple[FoundPool, Row]], operation: str
) -> list[FoundPool]:
    """Return the pools of one cluster with who is changing them, and which disruption budgets keep their nodes.

    The nodes are those that would be drained if it were done now. Pods and nodes are listed once for all pools, and
    only where some budget is used up.

    :param operation: whose leases do not stand against a change.
    """
    if not pools:
        return []
    held = await leases.others(cluster, whole_pool("").namespace, operation)
    kept = await _kept(
        tke, cluster, cluster_id, [(found, number) for found, row in pools if (number := found.leaving(row))]
    )
    looked = []
    for found, _ in pools:
        more = (*being_changed(held.get(found.pool.id)), *kept.get(found.pool.id, ()))
        present = dataclasses.replace(found.present, blockers=(*found.present.blockers, *more))
        looked.append(dataclasses.replace(found, present=present))
    return looked


async def _kept(
    tke: Tke, cluster: Cluster, cluster_id: str, shrinking: Sequence[tuple[FoundPool, int]]
) -> dict[str, tuple[str, ...]]:
    """Pool to what keeps pods on the nodes that it would lose."""
    budgets = await list_if_allowed(cluster, "policy/v1", "PodDisruptionBudget") if shrinking else []
    spent = used_up(budgets)
    if not spent:
        return {}
    live, pods = await cluster.list("v1", "Node"), to_evict(await cluster.list("v1", "Pod"))
    kept: dict[str, tuple[str, ...]] = {}
    for found, number in shrinking:
        machines = await tke.nodes(cluster_id, found.pool.id)
        _, names = first_to_go(machines, live, pods, found.pool.id, len(machines) - found.pool.desired + number)
        leaving = set(names)
        if told := kept_pods([pod for pod in pods if pod["spec"].get("nodeName") in leaving], spent):
            kept[found.pool.id] = (some(told, _MOST_TOLD, "; "),)
    return kept
