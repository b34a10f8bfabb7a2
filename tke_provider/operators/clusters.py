"""Clusters that are made for a time, and deleted again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

from tke_provider.domain.choices import check_choice
from tke_provider.domain.clusters import NewCluster
from tke_provider.domain.creations import IfExists, check_confirmed, mark, recognise
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import CapacityError, ConflictError, InputError, NotFoundError, UnavailableError
from tke_provider.links.console import ClusterLink
from tke_provider.operators.base import TkeWaitingOperator, first_found, open_region, operation_of
from tke_provider.operators.scaling import failure
from tke_provider.triggers.clusters import ClusterTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.tke import Tke
    from tke_provider.domain.clusters import Cluster

Fate = Literal["retain", "terminate"]
"""What becomes of machines or disks when their cluster or pool is deleted: they stay, or they end."""
DELETED = "deleted"
"""Under which a try keeps the id of what it found and deletes; see :func:`~tke_provider.operators.base.first_found`."""
TO_SHOW = 60.0
"""Seconds in which the cloud must list what it was asked for."""


class MadeCluster(TypedDict):
    """A cluster that runs, as it lies in XCom."""

    cluster_id: str
    name: str
    version: str
    reason: str


class DeletedCluster(TypedDict):
    """A cluster that is gone, as it lies in XCom."""

    cluster_id: str
    instances: Fate
    disks: Fate
    reason: str


class TkeCreateClusterOperator(TkeWaitingOperator):
    """Make a managed cluster without nodes, and wait until it runs.

    The cluster carries the tag ``tke.airflow/made-by``, the mark of this task's run. A retry, a lost answer or a killed
    worker finds the cluster by it and goes on waiting; no second one is made. Nothing is ever deleted by this operator:
    when the time is over, the cluster goes on being made.

    :param name: of the cluster.
    :param vpc_id: the private network (``vpc-xxxxxxxx``).
    :param version: of Kubernetes, as ``DescribeVersions`` lists them.
    :param cidr: network of its pods and services, which overlaps no other in the VPC. Empty for VPC-CNI, whose subnets
        come with ``settings``.
    :param level: its size class: ``L5``, ``L20``, … up to ``L5000``.
    :param deletion_protection: whether the cloud refuses to delete it. :class:`TkeDeleteClusterOperator` respects that.
    :param tags: more tags; ``tke.airflow/made-by`` is added.
    :param settings: more parameters of ``CreateCluster``, by the API's names
        (https://cloud.tencent.com/document/api/457/34527); they come before the arguments here.
    :param if_exists: where another one made a cluster of that name: ``refuse``, or ``use`` it as it is.
    :param region: default: the connection's.
    :param timeout: seconds until it runs.
    :returns: id, name and version, and one sentence.
    :raises InputError: when the name is taken, or the cloud refuses a parameter. Nothing was made.
    :raises CapacityError: when the quota is used up, or the cloud gave up on the cluster, which stays as it is.
    :raises DeadlineError: when it does not run in time. It goes on being made: run the task again.
    """

    template_fields = ("cidr", "name", "region", "tags", "tke_conn_id", "version", "vpc_id")
    operator_extra_links = (ClusterLink(),)
    cluster_id = ""

    def __init__(
        self,
        *,
        name: str,
        vpc_id: str,
        version: str,
        cidr: str = "",
        level: str = "L5",
        deletion_protection: bool = True,
        tags: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        if_exists: IfExists = "refuse",
        region: str | None = None,
        timeout: float = 1800.0,
        poll_interval: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, poll_interval=poll_interval, **kwargs)
        check_choice("if_exists", if_exists, get_args(IfExists))
        self.name = name
        self.vpc_id = vpc_id
        self.version = version
        self.cidr = cidr
        self.level = level
        self.deletion_protection = deletion_protection
        self.tags = tags
        self.settings = settings
        self.if_exists = if_exists
        self.region = region

    @property
    def new(self) -> NewCluster:
        """The checked cluster to be made."""
        for argument in ("name", "vpc_id", "version"):
            if not getattr(self, argument):
                raise InputError(f"{argument} of the cluster is empty", way_out="give one")
        return NewCluster(
            name=self.name,
            vpc_id=self.vpc_id,
            cidr=self.cidr,
            version=self.version,
            level=self.level,
            tags=self.tags or {},
            deletion_protection=self.deletion_protection,
            settings=self.settings or {},
        )

    async def change(self, context: Context) -> None:
        """Find the cluster that an earlier try made, or make it."""
        from tke_provider.clients.creations import asked_once

        new, made_by = self.new, mark(operation_of(context).id)
        async with await open_region(self) as tke:
            cluster = await asked_once(
                lambda: self._find(tke, made_by),
                lambda: self._create(tke, new, made_by),
                f"the creation of cluster {self.name}",
                patience=TO_SHOW,
                poll_interval=self.poll_interval,
            )
        self.cluster_id = cluster.id
        self.log.info("Waiting for %s", cluster)

    def trigger(self, context: Context, deadline: float) -> ClusterTrigger:  # noqa: ARG002
        """Return what waits until it runs."""
        return ClusterTrigger(
            tke_conn_id=self.tke_conn_id,
            cluster_id=self.cluster_id,
            wanted="running",
            region=self.region,
            deadline=deadline,
            poll_interval=self.poll_interval,
        )

    async def conclude(self, context: Context, verdict: Verdict) -> MadeCluster:
        """Say what was made, or in which state it is."""
        async with await open_region(self) as tke:
            cluster = await self._find(tke, mark(operation_of(context).id))
        if cluster is None:
            raise ConflictError(f"Cluster {self.name} was deleted meanwhile", way_out="find out by whom")
        self.cluster_id = cluster.id
        if verdict.state is State.PASSED:
            return {
                "cluster_id": cluster.id,
                "name": cluster.name,
                "version": cluster.version,
                "reason": verdict.reason,
            }
        way_out = "nothing was deleted; look at the cluster in the console, then run the task again, which takes it up"
        raise failure(f"Cluster {cluster.id} ({cluster.name}) does not run", verdict, CapacityError, way_out)

    async def _create(self, tke: Tke, new: NewCluster, made_by: str) -> None:
        self.cluster_id = await tke.create_cluster(new, made_by)

    async def _find(self, tke: Tke, made_by: str) -> Cluster | None:
        there = await tke.clusters()
        return recognise("cluster", there, self.name, made_by, self.if_exists, made_id=self.cluster_id)


class TkeDeleteClusterOperator(TkeWaitingOperator):
    """Delete a cluster with its node pools, and wait until it is gone.

    :param cluster_id: ``cls-xxxxxxxx``; never the connection's by default.
    :param confirm: the name of the cluster, or its id, written a second time. Write the name: it is read by people, and
        differs from whatever a template has put into ``cluster_id``.
    :param instances: what becomes of its machines: ``retain``, or ``terminate``, which the cloud does only to those
        that are paid by the hour.
    :param disks: what becomes of the CBS disks that its volumes made: ``retain`` or ``terminate``.
    :param region: default: the connection's.
    :param timeout: seconds until it is gone.
    :returns: the id, what became of machines and disks, and one sentence.
    :raises InputError: when the deletion is not confirmed, or the cluster is protected from it. Nothing was changed.
    :raises NotFoundError: when there is no such cluster. A later try takes it for done if an earlier one found it
        (before Airflow 3.3: in any case), and so does a Clear.
    :raises DeadlineError: when it is not gone in time. It goes on being deleted.
    """

    template_fields = ("cluster_id", "confirm", "region", "tke_conn_id")
    operator_extra_links = (ClusterLink(),)

    def __init__(
        self,
        *,
        cluster_id: str,
        confirm: str,
        instances: Fate,
        disks: Fate,
        region: str | None = None,
        timeout: float = 1800.0,
        poll_interval: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, poll_interval=poll_interval, **kwargs)
        check_choice("instances", instances, get_args(Fate))
        check_choice("disks", disks, get_args(Fate))
        self.cluster_id = cluster_id
        self.confirm = confirm
        self.instances = instances
        self.disks = disks
        self.region = region

    async def change(self, context: Context) -> None:
        """Begin to delete it, unless that was done."""
        from tke_provider.clients.creations import asked_once

        if not self.cluster_id:
            raise InputError("cluster_id of the cluster to delete is empty", way_out="give one")
        async with await open_region(self) as tke:
            cluster = await tke.cluster(self.cluster_id)
            if cluster is None:
                refuse_unknown(context, self.retries, f"Region {self.region} has no cluster {self.cluster_id}")
                return
            first_found(context, DELETED, cluster.id)
            check_confirmed("cluster", cluster, self.confirm)
            if cluster.deletion_protection:
                raise protected(f"Cluster {cluster.id} ({cluster.name})")
            await asked_once(
                lambda: self._leaving(tke),
                lambda: tke.delete_cluster(cluster.id, instances=self.instances, disks=self.disks),
                f"the deletion of {cluster}",
                patience=TO_SHOW,
                poll_interval=self.poll_interval,
            )

    def trigger(self, context: Context, deadline: float) -> ClusterTrigger:  # noqa: ARG002
        """Return what waits until it is gone."""
        return ClusterTrigger(
            tke_conn_id=self.tke_conn_id,
            cluster_id=self.cluster_id,
            wanted="gone",
            region=self.region,
            deadline=deadline,
            poll_interval=self.poll_interval,
        )

    async def conclude(self, context: Context, verdict: Verdict) -> DeletedCluster:  # noqa: ARG002
        """Say what was deleted."""
        if verdict.state is not State.PASSED:
            way_out = "it goes on being deleted; run the task again to wait for it"
            raise failure(f"Cluster {self.cluster_id} is not gone", verdict, UnavailableError, way_out)
        return {
            "cluster_id": self.cluster_id,
            "instances": self.instances,
            "disks": self.disks,
            "reason": verdict.reason,
        }

    async def _leaving(self, tke: Tke) -> bool | None:
        cluster = await tke.cluster(self.cluster_id)
        return True if cluster is None or cluster.state == "Deleting" else None


def refuse_unknown(context: Context, retries: int | None, problem: str) -> None:
    """Take what is not there for deleted, if an earlier try found it: a misspelt id would leave the real one running.

    Where Airflow keeps nothing from try to try (before 3.3), any but the first try is believed; a Clear is everywhere,
    for somebody has looked.

    :param retries: of the task; a Clear allows as many again.
    :raises NotFoundError: when no try has found it.
    """
    ti, store = context["ti"], context.get("task_state_store")
    found = not store or ti.max_tries > (retries or 0) or store.get(DELETED) is not None
    if ti.try_number <= 1 or not found:
        raise NotFoundError(problem, way_out="check the id and the region; if it was deleted by hand, clear the task")


def protected(what: str) -> InputError:
    """Return the error about something that is protected from deletion, which no task of ours lifts."""
    return InputError(
        f"{what} is protected from deletion",
        way_out="if it shall go indeed, lift the protection in the console, then run the task again",
    )
