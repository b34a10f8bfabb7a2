"""Node pools that are made for a time, and deleted again."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

from tke_provider.clients import leases
from tke_provider.clients.pools import whole_pool
from tke_provider.domain.choices import check_choice
from tke_provider.domain.clusters import PoolKind
from tke_provider.domain.creations import IfExists, check_confirmed, mark, recognise
from tke_provider.domain.node_pools import NewPool, check_taints
from tke_provider.domain.pools import gave_up
from tke_provider.domain.scaling import shortage, whole_number
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import ConflictError, InputError, NotFoundError, UnavailableError
from tke_provider.links.console import ClusterLink, NodePoolLink
from tke_provider.operators.base import TkeWaitingOperator, first_found, open_cluster, open_tke, operation_of, recall
from tke_provider.operators.clusters import DELETED, TO_SHOW, Fate, protected, refuse_unknown
from tke_provider.operators.scaling import failure
from tke_provider.triggers.node_pools import NewPoolTrigger, PoolGoneTrigger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.tke import Tke
    from tke_provider.domain.clusters import NodePool

Kind = Literal["regular", "native", "super"]


class MadePool(TypedDict):
    """A node pool that is whole, as it lies in XCom."""

    cluster_id: str
    node_pool: str
    name: str
    kind: str
    nodes: int
    reason: str


class DeletedPool(TypedDict):
    """A node pool that is gone, as it lies in XCom."""

    cluster_id: str
    node_pool: str
    instances: Fate
    reason: str


class TkeCreateNodePoolOperator(TkeWaitingOperator):
    """Make a node pool, and wait until all its nodes are ready and open to pods.

    The pool and its nodes carry the label ``tke.airflow/made-by``, the mark of this task's run. A retry, a lost answer
    or a killed worker finds the pool by it and goes on waiting; no second one is made. Nothing is ever deleted by this
    operator.

    :param name: of the pool.
    :param kind: ``regular`` (machines of a scaling group), ``native``, or ``super`` (capacity without machines).
    :param subnets: where its nodes get their addresses (``subnet-xxxxxxxx``).
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param instance_types: of its machines, the preferred first; not for super nodes.
    :param security_groups: of its nodes (``sg-xxxxxxxx``).
    :param minimum: lower bound of its size.
    :param maximum: upper bound of its size.
    :param desired: how many nodes at first; default: the minimum.
    :param autoscaling: whether the cluster autoscaler writes the size, within the bounds.
    :param disk_type: of the system disk, ``CLOUD_BSSD`` by default.
    :param disk_gib: its size.
    :param labels: of its nodes; ``tke.airflow/made-by`` is added.
    :param taints: of its nodes, each as ``key=value:effect``.
    :param deletion_protection: whether the cloud refuses to delete it.
    :param settings: more parameters of the call, by the API's names: ``CreateClusterNodePool`` for regular pools
        (``AutoScalingGroupPara`` and ``LaunchConfigurePara`` as dicts), ``CreateNodePool`` for native ones,
        ``CreateClusterVirtualNodePool`` for super ones. They come before the arguments here.
    :param if_exists: where another one made a pool of that name: ``refuse``, or ``use`` it as it is.
    :param region: default: the connection's.
    :param timeout: seconds until all nodes are ready.
    :returns: ids, name, kind, the number of nodes, and one sentence.
    :raises InputError: when something is missing or contradicts itself, or the name is taken. Nothing was made.
    :raises CapacityError: when the cloud gave up on nodes; in its words. The pool stays.
    :raises DeadlineError: when the nodes are not there in time. They go on coming: run the task again.
    """

    template_fields = (
        "cluster_id",
        "desired",
        "instance_types",
        "labels",
        "maximum",
        "minimum",
        "name",
        "region",
        "security_groups",
        "subnets",
        "tke_conn_id",
    )
    operator_extra_links = (ClusterLink(), NodePoolLink())
    node_pool_id = ""

    def __init__(
        self,
        *,
        name: str,
        kind: Kind,
        subnets: Sequence[str],
        cluster_id: str | None = None,
        instance_types: Sequence[str] = (),
        security_groups: Sequence[str] = (),
        minimum: int | str = 0,
        maximum: int | str = 0,
        desired: int | str | None = None,
        autoscaling: bool = False,
        disk_type: str = "CLOUD_BSSD",
        disk_gib: int = 50,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[str] = (),
        deletion_protection: bool = False,
        settings: Mapping[str, Any] | None = None,
        if_exists: IfExists = "refuse",
        region: str | None = None,
        timeout: float = 1800.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        check_choice("kind", kind, get_args(Kind))
        check_choice("if_exists", if_exists, get_args(IfExists))
        self.name = name
        self.kind = kind
        self.subnets = subnets
        self.cluster_id = cluster_id
        self.instance_types = instance_types
        self.security_groups = security_groups
        self.minimum = minimum
        self.maximum = maximum
        self.desired = desired
        self.autoscaling = autoscaling
        self.disk_type = disk_type
        self.disk_gib = disk_gib
        self.labels = labels
        self.taints = taints
        self.deletion_protection = deletion_protection
        self.settings = settings
        self.if_exists = if_exists
        self.region = region

    @property
    def new(self) -> NewPool:
        """The checked pool to be made."""
        minimum = whole_number("minimum", self.minimum)
        new = NewPool(
            name=self.name,
            kind=PoolKind(self.kind),
            subnets=self.subnets,
            instance_types=self.instance_types,
            security_groups=self.security_groups,
            minimum=minimum,
            maximum=whole_number("maximum", self.maximum),
            desired=minimum if self.desired is None else whole_number("desired", self.desired),
            autoscaling=self.autoscaling,
            disk_type=self.disk_type,
            disk_gib=self.disk_gib,
            labels=self.labels or {},
            taints=check_taints(self.taints),
            deletion_protection=self.deletion_protection,
            settings=self.settings or {},
        )
        new.check()
        return new

    async def change(self, context: Context) -> None:
        """Find the pool that an earlier try made, or make it."""
        from tke_provider.clients.creations import asked_once

        new, made_by = self.new, mark(operation_of(context).id)
        async with await open_tke(self) as tke:
            cluster = await tke.cluster(str(self.cluster_id))
            if cluster is None:
                raise NotFoundError(f"Region {self.region} has no cluster {self.cluster_id}", way_out="check the id")
            pool = await asked_once(
                lambda: self._find(tke, made_by),
                lambda: tke.create_pool(cluster.id, new, made_by, cluster.vpc_id),
                f"the creation of node pool {self.name}",
                patience=TO_SHOW,
                poll_interval=self.poll_interval,
            )
        self.node_pool_id = pool.id

    def trigger(self, context: Context, deadline: float) -> NewPoolTrigger:  # noqa: ARG002
        """Return what waits for its nodes."""
        return NewPoolTrigger(
            tke_conn_id=self.tke_conn_id,
            cluster_id=self.cluster_id,
            node_pool=self.node_pool_id,
            region=self.region,
            at_least=self.autoscaling,
            deadline=deadline,
            poll_interval=self.poll_interval,
        )

    async def conclude(self, context: Context, verdict: Verdict) -> MadePool:
        """Say what was made, or why its nodes did not come."""
        async with await open_tke(self) as tke:
            pool = await self._find(tke, mark(operation_of(context).id))
            if pool is None:
                raise ConflictError(f"Node pool {self.name} was deleted meanwhile", way_out="find out by whom")
            activities = await tke.scaling_activities(group) if (group := pool.autoscaling_group_id) else []
        self.node_pool_id = pool.id
        if verdict.state is State.PASSED:
            return {
                "cluster_id": str(self.cluster_id),
                "node_pool": pool.id,
                "name": pool.name,
                "kind": pool.kind.value,
                "nodes": pool.ready,
                "reason": verdict.reason,
            }
        if why := shortage(pool, activities):
            raise gave_up(pool, why)
        way_out = "nothing was deleted; remove the cause and run the task again, which takes the pool up"
        raise failure(f"Node pool {pool.id} ({pool.name}) is not whole", verdict, ConflictError, way_out)

    async def _find(self, tke: Tke, made_by: str) -> NodePool | None:
        there = await tke.node_pools(str(self.cluster_id))
        return recognise("node pool", there, self.name, made_by, self.if_exists)


class TkeDeleteNodePoolOperator(TkeWaitingOperator):
    """Delete a node pool, and wait until it is gone.

    Its nodes leave the cluster as they are: drain them first (:class:`~tke_provider.operators.nodes.
    TkeDrainNodesOperator`), or scale the pool to zero by a plan. The pool's lease in the cluster is held while the
    deletion is asked for, so that no plan or task is in the middle of changing it; where the connection finds no open
    endpoint of the cluster, none is held, so let nobody change the pool by another connection then.

    :param node_pool: id (``np-xxxxxxxx``) or name.
    :param confirm: its name, or its id, written a second time.
    :param instances: what becomes of its machines: ``retain``, which only regular pools can, or ``terminate``.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param force: delete super nodes even while pods run on them.
    :param region: default: the connection's.
    :param timeout: seconds until it is gone.
    :returns: ids, what became of the machines, and one sentence.
    :raises InputError: when the deletion is not confirmed, or the pool protected from it, or it cannot retain its
        machines, or pods run on its super nodes. Nothing was changed.
    :raises NotFoundError: when there is no such pool. A later try takes it for done if an earlier one found it (before
        Airflow 3.3: in any case), and so does a Clear.
    :raises BusyError: while the pool is being changed, by another task, a plan or the cloud; a retry helps.
    :raises DeadlineError: when it is not gone in time. It goes on being deleted.
    """

    template_fields = ("cluster_id", "confirm", "node_pool", "region", "tke_conn_id")
    operator_extra_links = (ClusterLink(), NodePoolLink())
    node_pool_id = ""

    def __init__(
        self,
        *,
        node_pool: str,
        confirm: str,
        instances: Fate,
        cluster_id: str | None = None,
        force: bool = False,
        region: str | None = None,
        timeout: float = 900.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        check_choice("instances", instances, get_args(Fate))
        self.node_pool = node_pool
        self.confirm = confirm
        self.instances = instances
        self.cluster_id = cluster_id
        self.force = force
        self.region = region

    async def change(self, context: Context) -> None:
        """Begin to delete it, unless that was done."""
        from tke_provider.clients.creations import asked_once

        async with await open_tke(self) as tke:
            try:
                pool = await tke.node_pool(str(self.cluster_id), self.node_pool)
            except NotFoundError as error:
                refuse_unknown(context, self.retries, error.problem)
                self.node_pool_id = first_found(context, DELETED, self.node_pool)
                return
            self.node_pool_id = first_found(context, DELETED, pool.id)
            self._check(pool)
            async with self._alone(pool, operation_of(context).id):
                await asked_once(
                    lambda: self._leaving(tke, pool.id),
                    lambda: tke.delete_pool(
                        str(self.cluster_id), pool, retain=self.instances == "retain", force=self.force
                    ),
                    f"the deletion of node pool {pool.id}",
                    patience=TO_SHOW,
                    poll_interval=self.poll_interval,
                )

    def trigger(self, context: Context, deadline: float) -> PoolGoneTrigger:  # noqa: ARG002
        """Return what waits until it is gone."""
        return PoolGoneTrigger(
            tke_conn_id=self.tke_conn_id,
            cluster_id=str(self.cluster_id),
            node_pool=self.node_pool_id,
            region=self.region,
            deadline=deadline,
            poll_interval=self.poll_interval,
        )

    async def conclude(self, context: Context, verdict: Verdict) -> DeletedPool:
        """Say what was deleted."""
        async with await open_tke(self):
            self.node_pool_id = str(recall(context, DELETED))
        if verdict.state is not State.PASSED:
            way_out = "it goes on being deleted; run the task again to wait for it"
            raise failure(f"Node pool {self.node_pool_id} is not gone", verdict, UnavailableError, way_out)
        return {
            "cluster_id": str(self.cluster_id),
            "node_pool": self.node_pool_id,
            "instances": self.instances,
            "reason": verdict.reason,
        }

    def _check(self, pool: NodePool) -> None:
        check_confirmed("node pool", pool, self.confirm)
        if pool.deletion_protection:
            raise protected(f"Node pool {pool.id} ({pool.name})")
        if self.instances == "retain" and pool.kind is not PoolKind.REGULAR:
            raise InputError(
                f"Node pool {pool.id} consists of {pool.kind.value} nodes, which do not outlive it",
                way_out='say instances="terminate" if they shall go with it',
            )

    @contextlib.asynccontextmanager
    async def _alone(self, pool: NodePool, operation: str) -> AsyncIterator[None]:
        """Hold the pool's lease, as whoever changes a pool does, where the connection has a way into the cluster."""
        try:
            opened = await open_cluster(self)
        except NotFoundError as closed:
            self.log.warning("Node pool %s is deleted without its lease. %s", pool.id, closed)
            yield
            return
        async with opened as cluster, leases.kept(cluster, whole_pool(pool.id), operation):
            yield

    async def _leaving(self, tke: Tke, pool_id: str) -> bool | None:
        there = [each for each in await tke.node_pools(str(self.cluster_id)) if each.id == pool_id]
        return True if not there or there[0].life_state.lower() == "deleting" else None
