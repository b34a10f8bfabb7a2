"""Nodes: closed to new pods, emptied by the eviction API, opened again."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, TypeVar

from tke_provider.domain.manifests import ObjectRef, annotation
from tke_provider.domain.nodes import check_losses, keeper, still_there, to_evict
from tke_provider.domain.operations import OPERATION
from tke_provider.domain.phrases import count, some
from tke_provider.domain.verdicts import Verdict, passed, pending
from tke_provider.exceptions import BusyError, ConflictError, DeadlineError, NotFoundError, TkeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from tke_provider.clients.kubernetes import Cluster, Objects
    from tke_provider.domain.manifests import Manifest

log = logging.getLogger(__name__)

CORDONED_BY = "tke.airflow/cordoned-by"
"""Annotation, written by the write that closes the node: who closed it. Nobody else opens it again but a person."""
_UNMARKED = {"annotations": {CORDONED_BY: None}}
_AT_ONCE = 20
_MOST_TOLD = 5

T = TypeVar("T")
R = TypeVar("R")


def node_ref(name: str) -> ObjectRef:
    """Name a node."""
    return ObjectRef("v1", "Node", "", name)


async def pods_on(cluster: Cluster, nodes: Sequence[str]) -> Objects:
    """Return every pod of the nodes: node by node, or by one list of all where there are many."""
    if len(nodes) > _AT_ONCE:
        wanted = set(nodes)
        return [pod for pod in await cluster.list("v1", "Pod") if pod["spec"].get("nodeName") in wanted]
    listed = await asyncio.gather(*(cluster.list("v1", "Pod", field_selector=f"spec.nodeName={n}") for n in nodes))
    return [pod for pods in listed for pod in pods]


async def to_drain(
    cluster: Cluster, nodes: Sequence[str], *, force: bool, delete_empty_dir: bool
) -> tuple[dict[str, Manifest], Objects]:
    """Return the nodes by name, and their pods, once it is certain that these may be evicted.

    :raises NotFoundError: when one does not exist.
    :raises InputError: when something would be lost; see :func:`tke_provider.domain.nodes.check_losses`.
    """
    listed, wanted = await cluster.list("v1", "Node"), set(nodes)
    live = {name: node for node in listed if (name := node["metadata"]["name"]) in wanted}
    if absent := [name for name in nodes if name not in live]:
        raise NotFoundError(
            f"Cluster {cluster.name} has no node {some(absent, _MOST_TOLD)}",
            way_out="name nodes as kubectl get nodes does",
        )
    pods = await pods_on(cluster, nodes)
    check_losses(pods, force=force, delete_empty_dir=delete_empty_dir)
    return live, pods


async def cordon(
    cluster: Cluster,
    nodes: Sequence[str],
    operation: str,
    *,
    closed_by: str = "",
    force: bool = False,
    delete_empty_dir: bool = False,
) -> None:
    """Close nodes to new pods, once it is certain that their pods may be evicted. May be repeated.

    :param closed_by: the mark by which they are known to be closed by us; default: the operation.
    :raises TkeError: as :func:`to_drain`. Nothing was changed.
    """
    live, _ = await to_drain(cluster, nodes, force=force, delete_empty_dir=delete_empty_dir)
    marks = {"annotations": {OPERATION: operation, CORDONED_BY: closed_by or operation}}
    to_close = [name for name, node in live.items() if not node["spec"].get("unschedulable")]
    log.info("Closing %s to new pods: %s", count(len(to_close), "node"), some(to_close, _MOST_TOLD))
    await _each(to_close, lambda name: cluster.patch(node_ref(name), {"metadata": marks, **_closed(True)}))


async def uncordon(cluster: Cluster, nodes: Iterable[str], closed_by: str) -> list[str]:
    """Open those nodes again that bear this mark, and return them."""
    to_open = await _closed_nodes(cluster, nodes, closed_by)
    await _each(to_open, lambda name: cluster.patch(node_ref(name), {"metadata": _UNMARKED, **_closed(None)}))
    return to_open


async def uncordon_occupied(cluster: Cluster, nodes: Iterable[str], closed_by: str) -> list[str]:
    """Open those nodes again that bear this mark and were not emptied, and return them; the others stay closed."""
    ours = await _closed_nodes(cluster, nodes, closed_by)
    occupied = {pod["spec"]["nodeName"] for pod in to_evict(await pods_on(cluster, ours))}
    return await uncordon(cluster, [name for name in ours if name in occupied], closed_by)


async def keep_closed(cluster: Cluster, nodes: Iterable[str], closed_by: str) -> None:
    """Take the mark from the nodes that bear it: they are empty, and only a person opens them again."""
    ours = await _closed_nodes(cluster, nodes, closed_by)
    await _each(ours, lambda name: cluster.patch(node_ref(name), {"metadata": _UNMARKED}))


async def closed_by_marks(cluster: Cluster) -> dict[str, str]:
    """Return the mark of every closed node of the cluster that bears one, by its name."""
    closed = await cluster.list("v1", "Node", field_selector="spec.unschedulable=true")
    marks = {str(node["metadata"]["name"]): annotation(node, CORDONED_BY) for node in closed}
    return {name: by for name, by in marks.items() if by}


async def _closed_nodes(cluster: Cluster, nodes: Iterable[str], closed_by: str) -> list[str]:
    listed = await cluster.list("v1", "Node")
    ours = {node["metadata"]["name"] for node in listed if annotation(node, CORDONED_BY) == closed_by}
    return [name for name in nodes if name in ours]


async def drain(
    cluster: Cluster, nodes: Sequence[str], operation: str, *, closed_by: str, deadline: float, poll_interval: float
) -> None:
    """Close nodes and evict their pods until none is left that has to go; where that fails or is cancelled, open them.

    Data on a node (``emptyDir``) goes with it, as it does whenever a pool shrinks.

    :param closed_by: the mark by which they are known to be closed by us.
    :param deadline: until when; :func:`time.monotonic`.
    :raises DeadlineError: when they are not empty in time; names the disruption budget that keeps a pod.
    """
    try:
        await cordon(cluster, nodes, operation, closed_by=closed_by, force=False, delete_empty_dir=True)
        while not (verdict := await evict(cluster, nodes)).final:
            if time.monotonic() > deadline:
                raise DeadlineError(
                    f"Nodes {some(nodes, _MOST_TOLD)} are not drained",
                    cause=verdict.reason,
                    way_out="let the budget allow a disruption, and run the task again",
                )
            await asyncio.sleep(poll_interval)
    except (TkeError, asyncio.CancelledError):
        await uncordon(cluster, nodes, closed_by)
        raise


async def evict(cluster: Cluster, nodes: Sequence[str]) -> Verdict:
    """Ask every pod of the nodes once to go that has to, and return how far it is."""
    pods = to_evict(await pods_on(cluster, nodes))
    if not pods:
        return passed(f"{count(len(nodes), 'node')} drained: {some(nodes, _MOST_TOLD)}")
    staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    answers = await _each(staying, lambda pod: _keeps(cluster, pod))
    kept = [pod for pod, keeps in zip(staying, answers, strict=True) if keeps]
    budgets = await cluster.list("policy/v1", "PodDisruptionBudget") if kept else []
    return pending(still_there(pods, [keeper(pod, budgets) for pod in kept]))


async def _keeps(cluster: Cluster, pod: Manifest) -> bool:
    """Ask one pod to go, and return whether a disruption budget keeps it."""
    try:
        await cluster.evict(ObjectRef.of(pod), pod["metadata"]["uid"])
    except BusyError:
        return True
    except (NotFoundError, ConflictError):
        log.debug("%s is gone already", ObjectRef.of(pod))
    return False


def _closed(closed: bool | None) -> dict[str, object]:
    return {"spec": {"unschedulable": closed}}


async def _each(things: Sequence[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
    """Do something with each, so many at a time."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(thing: T) -> R:
        async with gate:
            return await work(thing)

    return list(await asyncio.gather(*map(one, things)))
