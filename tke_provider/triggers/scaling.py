"""Waiting for a node pool, or a workload, to have its size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.clients.leases import Renewal
from tke_provider.clients.pools import PoolNodes, whole_pool
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.scaling import assess_pool, assess_scale, assess_size, shortage
from tke_provider.domain.verdicts import State, Verdict, failed
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.hooks.tke import TkeHook
from tke_provider.triggers.base import TkeBaseTrigger
from tke_provider.triggers.rollouts import RolloutTrigger

if TYPE_CHECKING:
    from tke_provider.clients.rollouts import RolloutLook
    from tke_provider.domain.clusters import NodePool


class NodePoolTrigger(TkeBaseTrigger):
    """Waits until a node pool is at rest, with every node ready and open to pods.

    Fails when the cloud gave up on more nodes, with its reason, and when something else changes the size.

    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param node_pool: id or name.
    :param region: default: the connection's.
    :param desired: the size that it was given; default: whatever it is set to.
    :param at_least: whether more is as good, as under an autoscaler.
    :param seen: id of the newest activity of the scaling group before the size was written.
    :param operation: that holds the pool's lease meanwhile, in the cluster, which is then asked about the nodes, too;
        empty where nobody writes, as in a sensor: the cloud's word counts.
    """

    arguments = ("cluster_id", "node_pool", "region", "desired", "at_least", "seen", "operation")

    def __init__(
        self,
        *,
        cluster_id: str | None,
        node_pool: str,
        region: str | None = None,
        desired: int | None = None,
        at_least: bool = False,
        seen: str = "",
        operation: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.cluster_id = cluster_id
        self.node_pool = node_pool
        self.region = region
        self.desired = desired
        self.at_least = at_least
        self.seen = seen
        self.operation = operation
        self._renewal = Renewal()
        self._nodes = PoolNodes()

    async def look(self) -> Verdict:
        """Look at the pool, its nodes, and where nodes are missing at what its scaling group says."""
        hook = TkeHook(self.tke_conn_id, self.region)
        cluster_id = self.cluster_id or await hook.default_cluster()
        await self._renew()
        async with await hook.tke() as tke:
            pool = await tke.node_pool(cluster_id, self.node_pool)
            nodes = await self._nodes.get(tke, cluster_id, pool)
            verdict = assess_pool(pool, nodes, self.desired, at_least=self.at_least)
            if verdict.state is State.PASSED and self.operation:
                return await self._joined(pool)
            if verdict.final or pool.ready >= pool.desired or not pool.autoscaling_group_id:
                return verdict
            why = shortage(pool, await tke.scaling_activities(pool.autoscaling_group_id), self.seen)
            return failed(f"{verdict.reason}: {why}") if why else verdict

    async def ended_by_person(self) -> None:
        """Give the lease back. The size stays: whoever ended the wait sees it, and knows which they want."""
        from tke_provider.clients import leases

        if self.operation:
            lease = whole_pool(self.node_pool)
            async with await self._kubernetes().cluster() as cluster:
                await leases.release(cluster, lease.namespace, lease.name, self.operation)

    async def _joined(self, pool: NodePool) -> Verdict:
        """Look whether Kubernetes has the nodes as well: whoever writes has a way into the cluster."""
        wanted = self.desired if self.at_least and self.desired is not None else pool.desired
        async with await self._kubernetes().cluster() as cluster:
            return await self._nodes.joined(cluster, pool, wanted)

    async def _renew(self) -> None:
        if self.operation and self._renewal.due:
            lease = whole_pool(self.node_pool)
            async with await self._kubernetes().cluster() as cluster:
                await self._renewal.renew(cluster, [(lease.namespace, lease.name)], self.operation)

    def _kubernetes(self) -> TkeKubernetesHook:
        return TkeKubernetesHook(self.tke_conn_id, self.cluster_id, self.region)


class SizeTrigger(RolloutTrigger):
    """Waits until a workload has its size, with every pod available; else as a rollout is waited for.

    :param workloads: one ``Kind/name``.
    :param size: how many pods.
    :param at_least: whether more is as good, as under an autoscaler.
    """

    arguments = (*RolloutTrigger.arguments, "size", "at_least")

    def __init__(self, *, size: int, at_least: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size
        self.at_least = at_least

    async def ended_by_person(self) -> None:
        """Give the lease back. The size stays: whoever ended the wait sees it, and knows which they want."""
        from tke_provider.clients import leases

        async with await self._hook().cluster() as cluster:
            await leases.release(cluster, self.namespace, self.service, self.operation)

    async def _assess(self, look: RolloutLook, kind: str, name: str) -> Verdict:
        ref = ObjectRef("apps/v1", kind, self.namespace, name)
        workload = await look.cluster.get(ref)
        if workload is None:
            return failed(f"{ref} was deleted meanwhile")
        verdict = assess_size(workload, self.size, at_least=self.at_least)
        if verdict.final:
            return verdict
        return assess_size(workload, self.size, *await look.clues(workload), at_least=self.at_least)


class ScaleTrigger(TkeBaseTrigger):
    """Waits until something of any kind that has a scale subresource has its size, and holds its lease meanwhile.

    :param api_version: of its kind.
    :param at_least: whether more is as good, as under an autoscaler.
    """

    arguments = ("cluster_id", "region", "api_version", "kind", "namespace", "name", "operation", "size", "at_least")

    def __init__(
        self,
        *,
        cluster_id: str | None,
        api_version: str,
        kind: str,
        namespace: str,
        name: str,
        operation: str,
        size: int,
        at_least: bool = False,
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.cluster_id = cluster_id
        self.region = region
        self.api_version = api_version
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.operation = operation
        self.size = size
        self.at_least = at_least
        self._renewal = Renewal()

    async def look(self) -> Verdict:
        """Look at its scale and its pods."""
        ref = ObjectRef(self.api_version, self.kind, self.namespace, self.name)
        async with await self._hook().cluster() as cluster:
            await self._renewal.renew(cluster, [(self.namespace, self.name)], self.operation)
            scale = await cluster.get_scale(ref)
            selector = (scale.get("status") or {}).get("selector")
            pods = await cluster.list("v1", "Pod", self.namespace, label_selector=selector) if selector else None
            return assess_scale(ref, scale, pods, self.size, at_least=self.at_least)

    async def ended_by_person(self) -> None:
        """Give the lease back. The size stays: whoever ended the wait sees it, and knows which they want."""
        from tke_provider.clients import leases

        async with await self._hook().cluster() as cluster:
            await leases.release(cluster, self.namespace, self.name, self.operation)

    def _hook(self) -> TkeKubernetesHook:
        return TkeKubernetesHook(self.tke_conn_id, self.cluster_id, self.region)
