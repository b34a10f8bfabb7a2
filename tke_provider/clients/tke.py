"""Tencent Kubernetes Engine (https://cloud.tencent.com/document/api/457), and the auto-scaling behind its pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.clients.tencent_cloud import TencentCloudService
from tke_provider.domain.cluster_autoscaler import parse as parse_options
from tke_provider.domain.cluster_autoscaler import request as option_request
from tke_provider.domain.clusters import (
    Cluster,
    Endpoint,
    NodePool,
    PoolKind,
    PoolNode,
    ScalingActivity,
    end_of_cluster,
)
from tke_provider.domain.node_pools import label_list, native_request, regular_request, super_request, taint_list
from tke_provider.domain.pools import GroupRule
from tke_provider.exceptions import BusyError, InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tke_provider.domain.cluster_autoscaler import Value
    from tke_provider.domain.clusters import NewCluster, PoolSettings
    from tke_provider.domain.node_pools import NewPool

    Call = Callable[[str, Mapping[str, object]], Awaitable[dict[str, Any]]]

_PAGE = 100  # the most that one answer holds


class Tke(TencentCloudService):
    """Clusters of one region; use it as ``async with``."""

    async def clusters(self) -> list[Cluster]:
        """Return every cluster of the region."""
        pages = await self._pages(self._tke, "DescribeClusters", {}, "Clusters", "ClusterId")
        return [Cluster.parse(each) for each in pages]

    async def cluster(self, cluster_id: str) -> Cluster | None:
        """Return a cluster, or nothing where the region has none of that id."""
        answer = await self._tke("DescribeClusters", {"ClusterIds": [cluster_id]})
        return next((Cluster.parse(each) for each in answer.get("Clusters") or ()), None)

    async def create_cluster(self, new: NewCluster, made_by: str) -> str:
        """Begin to make a cluster, and return its id. Look first: a second call makes a second one.

        :param made_by: mark of the operation, its tag ``tke.airflow/made-by``.
        """
        return str((await self._tke("CreateCluster", new.request(made_by)))["ClusterId"])

    async def delete_cluster(self, cluster_id: str, *, instances: str, disks: str) -> None:
        """Begin to delete a cluster with its node pools.

        :param instances: ``terminate`` or ``retain`` its machines.
        :param disks: ``terminate`` or ``retain`` the CBS disks that its volumes made.
        :raises InputError: when it is protected from deletion.
        """
        await self._tke("DeleteCluster", {"ClusterId": cluster_id, **end_of_cluster(instances, disks)})

    async def endpoint(self, cluster_id: str, *, external: bool) -> Endpoint:
        """Return one of the two ways to the API server.

        :param external: the public endpoint, or the one inside the private network.
        """
        answer = await self._tke("DescribeClusterEndpointStatus", {"ClusterId": cluster_id, "IsExtranet": external})
        return Endpoint(external, str(answer["Status"]), str(answer.get("ErrorMsg") or ""))

    async def open_endpoint(self, cluster_id: str, *, external: bool, settings: Mapping[str, object]) -> None:
        """Begin to open an endpoint; settings are further parameters of ``CreateClusterEndpoint``.

        :raises BusyError: when it is open, or being opened, or the cluster is being changed.
        """
        await self._tke("CreateClusterEndpoint", {"ClusterId": cluster_id, "IsExtranet": external, **settings})

    async def close_endpoint(self, cluster_id: str, *, external: bool) -> None:
        """Begin to close an endpoint.

        :raises NotFoundError: when it is closed.
        """
        await self._tke("DeleteClusterEndpoint", {"ClusterId": cluster_id, "IsExtranet": external})

    async def kubeconfig(self, cluster_id: str, external: bool) -> str:
        """Return a kubeconfig (YAML). It carries a client certificate that is valid for years: treat it as a secret.

        Its identity has no right inside the cluster unless the caller created the cluster or was granted one
        (https://cloud.tencent.com/document/api/457/39046).

        :param external: through the public endpoint, or the one inside the private network.
        :raises NotFoundError: when there is no such cluster, or the endpoint is not open.
        :raises BusyError: while the endpoint is being opened.
        """
        # Without an open endpoint the cloud hands out a kubeconfig that leads nowhere.
        endpoint = await self.endpoint(cluster_id, external=external)
        if endpoint.status != "Created":
            raise _closed_endpoint(cluster_id, external, endpoint.status)
        params = {"ClusterId": cluster_id, "IsExtranet": external}
        return str((await self._tke("DescribeClusterKubeconfig", params))["Kubeconfig"])

    async def node_pools(self, cluster_id: str) -> list[NodePool]:
        """Return every node pool of the cluster, of every kind."""
        pages = await self._pages(
            self._tke_2022, "DescribeNodePools", {"ClusterId": cluster_id}, "NodePools", "NodePoolId"
        )
        return [NodePool.parse(each) for each in pages]

    async def node_pool(self, cluster_id: str, pool: str) -> NodePool:
        """Return one node pool.

        :param pool: its id (``np-xxxxxxxx``) or its name.
        :raises NotFoundError: when the cluster has none of that id or name.
        :raises InputError: when several bear that name.
        """
        pools = await self.node_pools(cluster_id)
        found = [each for each in pools if each.id == pool] or [each for each in pools if each.name == pool]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(
                f"Cluster {cluster_id} has {len(found)} node pools named {pool}",
                way_out=f"name it by id: one of {', '.join(each.id for each in found)}",
            )
        there = ", ".join(f"{each.id} ({each.name})" for each in pools) or "none"
        raise NotFoundError(f"Cluster {cluster_id} has no node pool {pool}", way_out=f"use one of its pools: {there}")

    async def create_pool(self, cluster_id: str, new: NewPool, made_by: str, vpc_id: str) -> str:
        """Begin to make a node pool, and return its id. Look first: a second call makes a second one.

        :param made_by: mark of the operation, its label ``tke.airflow/made-by``.
        :param vpc_id: of the cluster; for regular pools.
        :raises InputError: when pools of this kind cannot be made.
        """
        if new.kind is PoolKind.REGULAR:
            action, params = "CreateClusterNodePool", regular_request(new, made_by, vpc_id)
            return str((await self._tke(action, {"ClusterId": cluster_id, **params}))["NodePoolId"])
        if new.kind is PoolKind.NATIVE:
            action, params = "CreateNodePool", native_request(new, made_by)
            return str((await self._tke_2022(action, {"ClusterId": cluster_id, **params}))["NodePoolId"])
        if new.kind is PoolKind.SUPER:
            action, params = "CreateClusterVirtualNodePool", super_request(new, made_by)
            return str((await self._tke(action, {"ClusterId": cluster_id, **params}))["NodePoolId"])
        raise InputError(
            f"A pool of {new.kind.value} nodes cannot be made", way_out="make a regular, native or super one"
        )

    async def delete_pool(self, cluster_id: str, pool: NodePool, *, retain: bool, force: bool) -> None:
        """Begin to delete a pool; its nodes leave the cluster, undrained.

        :param retain: whether the machines stay as such, which only regular pools can.
        :param force: whether running pods keep super nodes from going.
        """
        which, both = {"ClusterId": cluster_id, "NodePoolId": pool.id}, {"NodePoolIds": [pool.id]}
        if pool.kind is PoolKind.REGULAR:
            params = {"ClusterId": cluster_id, **both, "KeepInstance": retain}
            await self._tke("DeleteClusterNodePool", params)
        elif pool.kind is PoolKind.SUPER:
            await self._tke("DeleteClusterVirtualNodePool", {"ClusterId": cluster_id, **both, "Force": force})
        else:
            await self._tke_2022("DeleteNodePool", which)

    async def set_pool_bounds(
        self, cluster_id: str, pool: NodePool, minimum: int, maximum: int, desired: int | None = None
    ) -> None:
        """Change the bounds of a regular or native pool.

        :param desired: the size to write in the same call, which only native pools can.
        :raises InputError: when the current size lies outside of the bounds, or the kind has none.
        :raises BusyError: while another change of the pool is under way.
        """
        which = {"ClusterId": cluster_id, "NodePoolId": pool.id}
        if pool.kind is PoolKind.REGULAR:
            await self._tke("ModifyClusterNodePool", {**which, "MinNodesNum": minimum, "MaxNodesNum": maximum})
        elif pool.kind is PoolKind.NATIVE:
            scaling = {"MinReplicas": minimum, "MaxReplicas": maximum}
            size = {} if desired is None else {"Replicas": desired}
            await self._tke_2022("ModifyNodePool", {**which, "Native": {"Scaling": scaling, **size}})
        else:
            raise _unscalable(pool)

    async def configure_pool(self, cluster_id: str, pool: NodePool, settings: PoolSettings) -> None:
        """Change settings of a regular or native pool, in one call.

        :raises InputError: when its size lies outside of the bounds, or the kind has no such settings.
        :raises BusyError: while another change of the pool is under way.
        """
        which = {"ClusterId": cluster_id, "NodePoolId": pool.id}
        given = _given(
            Labels=None if settings.labels is None else label_list(settings.labels),
            Taints=None if settings.taints is None else taint_list(settings.taints),
        )
        given |= _given(DeletionProtection=settings.deletion_protection)
        if pool.kind is PoolKind.REGULAR:
            bounds = _given(MinNodesNum=settings.minimum, MaxNodesNum=settings.maximum)
            switch = _given(EnableAutoscale=settings.autoscaling)
            await self._tke("ModifyClusterNodePool", {**which, **given, **bounds, **switch})
        elif pool.kind is PoolKind.NATIVE:
            scaling = _given(MinReplicas=settings.minimum, MaxReplicas=settings.maximum)
            native = _given(EnableAutoscaling=settings.autoscaling, Scaling=scaling or None)
            await self._tke_2022("ModifyNodePool", {**which, **given, **_given(Native=native or None)})
        else:
            raise _unscalable(pool)

    async def autoscaler_options(self, cluster_id: str) -> dict[str, Value | None]:
        """Return the options of the cluster's autoscaler; none where the cloud tells none."""
        answer = await self._tke("DescribeClusterAsGroupOption", {"ClusterId": cluster_id})
        return parse_options(answer.get("ClusterAsGroupOption"))

    async def set_autoscaler_options(self, cluster_id: str, options: Mapping[str, Value]) -> None:
        """Change options of the cluster's autoscaler; those that are not given stay.

        https://cloud.tencent.com/document/api/457/51289 shows a call with some of them.
        """
        params = {"ClusterId": cluster_id, "ClusterAsGroupOption": option_request(options)}
        await self._tke("ModifyClusterAsGroupOptionAttribute", params)

    async def set_pool_desired(self, cluster_id: str, pool: NodePool, desired: int) -> None:
        """Tell a regular or native pool how many nodes to have. Returns before the nodes come or go.

        :raises InputError: when it lies outside of the pool's bounds, or the kind has no size.
        :raises BusyError: while another change of the pool is under way.
        """
        which = {"ClusterId": cluster_id, "NodePoolId": pool.id}
        if pool.kind is PoolKind.REGULAR:
            await self._tke("ModifyNodePoolDesiredCapacityAboutAsg", {**which, "DesiredCapacity": desired})
        elif pool.kind is PoolKind.NATIVE:
            await self._tke_2022("ScaleNodePool", {**which, "Replicas": desired})
        else:
            raise _unscalable(pool)

    async def remove_nodes(self, cluster_id: str, pool: NodePool, nodes: Sequence[str]) -> None:
        """Take these very nodes out of a regular or native pool and end their machines; its size sinks with them.

        For native pools that is documented (``EnableScaleDown``), for regular ones it is to be looked at afterwards.

        :param nodes: their ids, at most 100.
        :raises InputError: when the kind of the pool has no such nodes.
        """
        if pool.kind is PoolKind.REGULAR:
            params = {"ClusterId": cluster_id, "InstanceIds": list(nodes), "InstanceDeleteMode": "terminate"}
            await self._tke("DeleteClusterInstances", params)
        elif pool.kind is PoolKind.NATIVE:
            machines = {"MachineNames": list(nodes), "EnableScaleDown": True}
            await self._tke_2022("DeleteClusterMachines", {"ClusterId": cluster_id, **machines})
        else:
            raise _unscalable(pool)

    async def nodes(self, cluster_id: str, pool_id: str) -> list[PoolNode]:
        """Return the nodes of a pool, also those that did not make it into Kubernetes."""
        params = {"ClusterId": cluster_id, "Filters": [{"Name": "NodePoolIds", "Values": [pool_id]}]}
        pages = await self._pages(self._tke_2022, "DescribeClusterInstances", params, "InstanceSet", "InstanceId")
        return [PoolNode.parse(each) for each in pages]

    async def scaling_activities(self, autoscaling_group_id: str, limit: int = 10) -> list[ScalingActivity]:
        """Return what the group behind a regular pool did last, newest first: the only place that says why nodes fail.

        :param limit: how many, at most 100.
        """
        filters = [{"Name": "auto-scaling-group-id", "Values": [autoscaling_group_id]}]
        params = {"Filters": filters, "Limit": limit}
        answer = await self._as("DescribeAutoScalingActivities", params)
        return [ScalingActivity.parse(each) for each in answer.get("ActivitySet") or []]

    async def group_rules(self, autoscaling_group_id: str) -> list[GroupRule]:
        """Return what else moves the size of the group behind a regular pool: its scheduled actions and alarm policies.

        https://cloud.tencent.com/document/api/377, ``DescribeScheduledActions`` and ``DescribeScalingPolicies``.
        """
        filters = [{"Name": "auto-scaling-group-id", "Values": [autoscaling_group_id]}]
        of_group = {"Filters": filters}
        actions = await self._pages(
            self._as, "DescribeScheduledActions", of_group, "ScheduledActionSet", "ScheduledActionId"
        )
        policies = await self._pages(
            self._as, "DescribeScalingPolicies", of_group, "ScalingPolicySet", "AutoScalingPolicyId"
        )
        return [*map(GroupRule.of_action, actions), *map(GroupRule.of_policy, policies)]

    async def _tke(self, action: str, params: Mapping[str, object]) -> dict[str, Any]:
        return await self._client.call("tke", "2018-05-25", action, params)

    async def _tke_2022(self, action: str, params: Mapping[str, object]) -> dict[str, Any]:
        return await self._client.call("tke", "2022-05-01", action, params)

    async def _as(self, action: str, params: Mapping[str, object]) -> dict[str, Any]:
        return await self._client.call("as", "2018-04-19", action, params)

    async def _pages(
        self, call: Call, action: str, params: Mapping[str, object], items: str, key: str
    ) -> list[dict[str, Any]]:
        """Read all pages. They are no snapshot: what moved between two of them may come twice."""
        found: dict[str, dict[str, Any]] = {}
        offset = 0
        while True:
            answer = await call(action, {**params, "Offset": offset, "Limit": _PAGE})
            page = answer.get(items) or []
            found.update((each[key], each) for each in page)
            offset += _PAGE
            if not page or offset >= (answer.get("TotalCount") or 0):
                return list(found.values())


def _closed_endpoint(cluster_id: str, external: bool, status: str) -> BusyError | NotFoundError:
    which, other = ("public", "private") if external else ("private", "public")
    if status == "Creating":
        return BusyError(
            f"The {which} endpoint of cluster {cluster_id} is being opened", way_out="wait a minute; a retry helps"
        )
    return NotFoundError(
        f"Cluster {cluster_id} has no open {which} endpoint",
        cause=f"its status is {status}",
        way_out=f"open it (Basic information, API server information), or let the connection use the {other} one",
    )


def _unscalable(pool: NodePool) -> InputError:
    return InputError(
        f"Node pool {pool.id} ({pool.name}) consists of {pool.kind.value} nodes, which the cloud does not scale",
        way_out="name a regular or native node pool",
    )


def _given(**params: object) -> dict[str, object]:
    return {name: value for name, value in params.items() if value is not None}
