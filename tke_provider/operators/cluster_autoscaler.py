"""Options of the autoscaler that TKE runs for a cluster: when machines come and go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from tke_provider.domain.cluster_autoscaler import changes, check_options, check_words, missing
from tke_provider.domain.clusters import show_setting
from tke_provider.domain.rehearsals import Line
from tke_provider.exceptions import BusyError, DeadlineError, InputError, TkeError, UnavailableError
from tke_provider.links.console import ClusterLink
from tke_provider.operators.base import first_found, open_tke
from tke_provider.operators.rehearsals import TkeRehearsableOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.tke import Tke
    from tke_provider.domain.cluster_autoscaler import AutoscalerOptions, Change, Value

_BEFORE = "before"


class ConfiguredAutoscaler(TypedDict):
    """What the options of a cluster's autoscaler were and are, as it lies in XCom."""

    cluster_id: str
    changed: dict[str, Change]
    options: dict[str, Value | None]


class TkeConfigureClusterAutoscalerOperator(TkeRehearsableOperator):
    """Set options of a cluster's autoscaler: whether and when idle machines go, and which pool grows.

    Looks first, writes only what differs, and looks until it is there; options that are not given stay. They hold for
    the whole cluster, so let one DAG of it set them. Which pools it sizes, and within which bounds, say the pools
    (:class:`~tke_provider.operators.node_pools.TkeConfigureNodePoolOperator`).

    :param options: :class:`~tke_provider.domain.cluster_autoscaler.AutoscalerOptions`, such as
        ``{"expander": "least-waste", "scale_down_unneeded_time": 20}``; times are minutes.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param region: of the cluster; default: the connection's.
    :param timeout: seconds until the cloud must show what was written.
    :param poll_interval: seconds between two looks.
    :param dry_run: only say what would be changed; see
        :class:`~tke_provider.operators.rehearsals.TkeRehearsableOperator`.
    :returns: ``{"cluster_id", "changed": {option: {"before", "after"}}, "options"}``. What changed is seen by two looks
        of which a retry keeps the first (Airflow 3.3), so it holds an option that somebody else changed meanwhile, too.
    :raises InputError: when an option is unknown or makes no sense, or the cloud tells no options of this cluster.
        Nothing was changed.
    :raises NotFoundError: when there is no such cluster.
    :raises UnavailableError: when the cloud did not take them in time, in its words; a retry helps.
    :raises DeadlineError: when it took them, and they do not hold: somebody else sets them.
    """

    template_fields = ("cluster_id", "options", "region", "tke_conn_id")
    operator_extra_links = (ClusterLink(),)

    def __init__(
        self,
        *,
        options: AutoscalerOptions,
        cluster_id: str | None = None,
        region: str | None = None,
        timeout: float = 120.0,
        poll_interval: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(options, Mapping):  # not what an earlier task will return
            check_words(options)
        self.options = options
        self.cluster_id = cluster_id
        self.region = region
        self.timeout = timeout
        self.poll_interval = poll_interval

    async def rehearse(self, context: Context) -> list[Line]:  # noqa: ARG002  # whoever does it
        """Say which options would be changed."""
        wanted = check_options(self.options)
        async with await open_tke(self) as tke:
            live = await self._look(tke)
        return [
            Line(
                ref=f"{word} of the autoscaler of cluster {self.cluster_id}",
                before=show_setting(live.get(word)),
                after=show_setting(value),
                why="as asked for",
            )
            for word, value in wanted.items()
        ]

    async def perform(self, context: Context) -> ConfiguredAutoscaler:
        """Look, write what differs, and look until it is there."""
        wanted = check_options(self.options)
        async with await open_tke(self) as tke:
            live = await self._look(tke)
            before = first_found(context, _BEFORE, live)
            if lacking := missing(live, wanted):
                live = await self._bring(tke, wanted, lacking)
        changed = changes(before, live)
        self.log.info("Cluster autoscaler of %s: changed %s", self.cluster_id, changed or "nothing")
        return {"cluster_id": str(self.cluster_id), "changed": changed, "options": live}

    async def _look(self, tke: Tke) -> dict[str, Value | None]:
        live = await tke.autoscaler_options(str(self.cluster_id))
        if not live:
            raise InputError(
                f"The cloud tells no autoscaler options of cluster {self.cluster_id}",
                way_out="turn on autoscaling for one of its node pools, and look at them in the console",
            )
        return live

    async def _bring(self, tke: Tke, wanted: dict[str, Value], lacking: dict[str, Value]) -> dict[str, Value | None]:
        deadline = time.monotonic() + self.timeout
        while True:
            failed: TkeError | None = None
            try:
                await tke.set_autoscaler_options(str(self.cluster_id), lacking)
            except (BusyError, UnavailableError) as error:
                self.log.warning("%s Looking at what became of it.", error)
                failed = error
            live = await self._look(tke)
            if not (lacking := missing(live, wanted)):
                return live
            if time.monotonic() > deadline:
                raise failed or DeadlineError(
                    f"The autoscaler of cluster {self.cluster_id} does not take its options",
                    cause=f"it still has {', '.join(f'{word} {live[word]}' for word in lacking)}",
                    way_out="find out who else sets them, and run the task again",
                )
            await asyncio.sleep(self.poll_interval)
