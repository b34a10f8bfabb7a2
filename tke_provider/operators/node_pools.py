"""Settings of a node pool, other than its size."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypedDict

from tke_provider.clients import leases
from tke_provider.clients.pools import whole_pool
from tke_provider.clients.rehearsals import look_at_settings
from tke_provider.clients.scaling import settle
from tke_provider.domain.clusters import PoolSettings
from tke_provider.domain.node_pools import check_taints
from tke_provider.domain.scaling import Bounds, sizeless, whole_number
from tke_provider.exceptions import BusyError, DeadlineError, InputError, UnavailableError
from tke_provider.links.console import ClusterLink, NodePoolLink
from tke_provider.operators.base import open_cluster, open_tke, operation_of
from tke_provider.operators.rehearsals import TkeRehearsableOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.tke import Tke
    from tke_provider.domain.clusters import NodePool
    from tke_provider.domain.rehearsals import Line


class Configured(TypedDict):
    """What a node pool was set to, as it lies in XCom."""

    node_pool: str
    changed: list[str]


class TkeConfigureNodePoolOperator(TkeRehearsableOperator):
    """Set who sizes a node pool and within which bounds, what its nodes are marked with, and whether it may be deleted.

    Looks first, and writes once, and only what differs. What is not given stays as it is. It holds the pool's lease in
    the cluster while it writes, as plans and tasks that scale the pool do, so that only one of them changes it.

    :param node_pool: id (``np-xxxxxxxx``) or name.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param autoscaling: whether the cluster autoscaler writes the size.
    :param minimum: lower bound of the size.
    :param maximum: upper bound of the size. The present size must lie within: scale the pool first.
    :param labels: all labels that the pool should give its nodes; those that it gave and that are left out, go.
    :param taints: all taints, likewise, each as ``key=value:effect``.
    :param deletion_protection: whether the cloud refuses to delete the pool.
    :param region: of the cluster; default: the connection's.
    :param timeout: seconds until the pool must be at rest with its settings.
    :param poll_interval: seconds between two looks.
    :param dry_run: only say what would be changed; see
        :class:`~tke_provider.operators.rehearsals.TkeRehearsableOperator`.
    :returns: the pool's id, and the names of the settings that were changed.
    :raises InputError: when a setting makes no sense, or the present size lies outside the bounds. Nothing was changed.
    :raises NotFoundError: when there is no such pool, or no way into its cluster. Nothing was changed.
    :raises BusyError: while another task or plan changes the pool; a retry helps. Nothing was changed.
    :raises DeadlineError: when the pool does not take the settings in time.
    """

    template_fields = ("cluster_id", "maximum", "minimum", "node_pool", "region", "tke_conn_id")
    operator_extra_links = (ClusterLink(), NodePoolLink())
    node_pool_id = ""

    def __init__(
        self,
        *,
        node_pool: str,
        cluster_id: str | None = None,
        autoscaling: bool | None = None,
        minimum: int | str | None = None,
        maximum: int | str | None = None,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[str] | None = None,
        deletion_protection: bool | None = None,
        region: str | None = None,
        timeout: float = 900.0,
        poll_interval: float = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.node_pool = node_pool
        self.cluster_id = cluster_id
        self.autoscaling = autoscaling
        self.minimum = minimum
        self.maximum = maximum
        self.labels = labels
        self.taints = taints
        self.deletion_protection = deletion_protection
        self.region = region
        self.timeout = timeout
        self.poll_interval = poll_interval

    @property
    def settings(self) -> PoolSettings:
        """The checked settings."""
        return PoolSettings(
            autoscaling=self.autoscaling,
            minimum=None if self.minimum is None else whole_number("minimum", self.minimum),
            maximum=None if self.maximum is None else whole_number("maximum", self.maximum),
            labels=self.labels,
            taints=None if self.taints is None else check_taints(self.taints),
            deletion_protection=self.deletion_protection,
        )

    async def rehearse(self, context: Context) -> list[Line]:
        """Say which settings would be changed."""
        settings = self._given
        async with await open_tke(self) as tke, await open_cluster(self) as cluster:
            pool = await tke.node_pool(str(self.cluster_id), self.node_pool)
            self.node_pool_id = pool.id
            _check(pool, settings)
            return await look_at_settings(cluster, pool, settings, operation_of(context).id)

    @property
    def _given(self) -> PoolSettings:
        if settings := self.settings:
            return settings
        raise InputError(f"Nothing is to be set at node pool {self.node_pool}", way_out="give a setting")

    async def perform(self, context: Context) -> Configured:
        """Look, and where something differs, bring the pool there as its only writer."""
        settings, deadline = self._given, time.monotonic() + self.timeout
        changed: list[str] = []
        async with await open_tke(self) as tke:
            pool = await tke.node_pool(str(self.cluster_id), self.node_pool)
            self.node_pool_id = pool.id
            _check(pool, settings)
            if settings.changes(await self._settled(tke, pool, deadline)):
                lease, operation = whole_pool(pool.id), operation_of(context).id
                async with await open_cluster(self) as cluster, leases.kept(cluster, lease, operation):
                    changed = await self._bring(tke, pool, settings, deadline)
        return {"node_pool": pool.id, "changed": changed}

    async def _bring(self, tke: Tke, pool: NodePool, settings: PoolSettings, deadline: float) -> list[str]:
        """Write what differs, and look until the pool has it; return what was written."""
        changed: set[str] = set()
        while changes := settings.changes(pool := await self._settled(tke, pool, deadline)):
            if time.monotonic() > deadline:
                raise DeadlineError(
                    f"Node pool {pool.id} does not take its settings",
                    cause=f"it still lacks {', '.join(_names(changes))}",
                    way_out="find out who else changes it, and run the task again",
                )
            _check(pool, settings)
            changed.update(_names(changes))
            await self._write(tke, pool, changes)
        return sorted(changed)

    async def _settled(self, tke: Tke, pool: NodePool, deadline: float) -> NodePool:
        return await settle(tke, str(self.cluster_id), pool.id, deadline=deadline, poll_interval=self.poll_interval)

    async def _write(self, tke: Tke, pool: NodePool, changes: PoolSettings) -> None:
        self.log.info("Node pool %s: setting %s", pool.id, ", ".join(_names(changes)))
        try:
            await tke.configure_pool(str(self.cluster_id), pool, changes)
        except (BusyError, UnavailableError) as error:
            self.log.warning("%s Looking at what became of it.", error)
            await asyncio.sleep(self.poll_interval)


def _check(pool: NodePool, settings: PoolSettings) -> None:
    """Refuse before anything is written what the cloud would refuse, or take and never do."""
    if why := sizeless(pool):
        raise InputError(f"Node pool {pool.id} cannot be set: {why}", way_out="name a regular or native node pool")
    low = pool.minimum if settings.minimum is None else settings.minimum
    high = pool.maximum if settings.maximum is None else settings.maximum
    Bounds(low, high).check(pool.desired, f"Node pool {pool.id} with these bounds")


def _names(settings: PoolSettings) -> list[str]:
    names = ("autoscaling", "minimum", "maximum", "labels", "taints", "deletion_protection")
    return [name for name in names if getattr(settings, name) is not None]
