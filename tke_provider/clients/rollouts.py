"""Asking a cluster how its workloads come up: what is up is asked for nothing more, and nothing is asked for twice."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Any

from tke_provider.domain.rollouts import MAX_CRASHES, assess, pods_of_newest
from tke_provider.domain.settling import is_unprobed, settle
from tke_provider.domain.verdicts import State

if TYPE_CHECKING:
    from tke_provider.clients.kubernetes import Cluster, Objects
    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.verdicts import Verdict


class RolloutLook:
    """One look at workloads of one namespace, which share the namespace's warnings.

    :param namespace: of all workloads.
    """

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self._namespace = namespace
        self._events: asyncio.Task[Objects] | None = None

    async def assess(self, workload: Manifest, max_crashes: int = MAX_CRASHES) -> Verdict:
        """Say whether the workload is up, and why not; as :func:`~tke_provider.domain.rollouts.assess` does."""
        verdict = assess(workload, ())
        if verdict.state is State.PASSED:
            return verdict
        return assess(workload, *await self.clues(workload), max_crashes)

    async def settled(self, workload: Manifest, up: Verdict, max_crashes: int = MAX_CRASHES) -> Verdict:
        """Say whether what is up stays up, where the cluster asks its containers nothing; else return what is known."""
        if not is_unprobed(workload):
            return up
        newest = pods_of_newest(workload, *await parts_of(self.cluster, workload))
        verdict = settle(workload, newest, dt.datetime.now(dt.timezone.utc), max_crashes)
        return up if verdict.state is State.PASSED else verdict

    async def clues(self, workload: Manifest) -> tuple[Objects, Objects, Objects]:
        """Return what says why it is not up: its pods, its ReplicaSets, and the warnings of the namespace."""
        parts, events = await asyncio.gather(parts_of(self.cluster, workload), self._warnings())
        return *parts, events

    async def _warnings(self) -> Objects:
        if self._events is None:
            listed = self.cluster.list("v1", "Event", self._namespace, field_selector="type=Warning")
            self._events = asyncio.ensure_future(listed)
        return await self._events


async def parts_of(cluster: Cluster, workload: Manifest) -> tuple[Objects, Objects]:
    """Return the pods that a workload selects, and its ReplicaSets where it is a Deployment."""
    namespace, selector = workload["metadata"]["namespace"], selector_of(workload["spec"]["selector"])
    pods = cluster.list("v1", "Pod", namespace, label_selector=selector)
    if workload["kind"] != "Deployment":
        return await pods, []
    return await asyncio.gather(pods, cluster.list("apps/v1", "ReplicaSet", namespace, label_selector=selector))


def selector_of(selector: dict[str, Any]) -> str:
    """Return a label selector as a query has it."""
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or ():
        key, values = each["key"], ",".join(each.get("values") or ())
        operators = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
        parts.append(operators.get(each["operator"], f"!{key}"))
    return ",".join(parts)
