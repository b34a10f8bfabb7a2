"""From a query to whoever can answer it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tke_provider.domain.metrics import worst
from tke_provider.hooks.monitor import MonitorHook
from tke_provider.hooks.prometheus import PrometheusHook
from tke_provider.hooks.tencent_cloud import TencentCloudHook

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tke_provider.clients.monitor import Monitor
    from tke_provider.clients.prometheus import Prometheus
    from tke_provider.domain.metrics import Gate, Query, Words
    from tke_provider.domain.verdicts import Verdict


class MetricsHook(MonitorHook):
    """Asks Prometheus what is written in PromQL, and Tencent Cloud's monitoring everything else.

    :param prometheus_conn_id: connection to Prometheus.
    :param tke_conn_id: connection to Tencent Cloud.
    :param region: of the cloud's resources; default: the connection's.
    """

    def __init__(
        self,
        prometheus_conn_id: str = PrometheusHook.default_conn_name,
        tke_conn_id: str = TencentCloudHook.default_conn_name,
        region: str | None = None,
    ) -> None:
        super().__init__(tke_conn_id, region)
        self.prometheus_conn_id = prometheus_conn_id

    async def source(self, query: Query) -> Prometheus | Monitor:
        """Return who answers such a query; use it as ``async with await hook.source(query) as source:``."""
        if isinstance(query, str):
            return await PrometheusHook(self.prometheus_conn_id).prometheus()
        return await self.monitor()

    async def ask(
        self, gates: Iterable[Gate], *, new: Words | None = None, old: Words | None = None, at: float | None = None
    ) -> Verdict:
        """Ask what all gates want to know of one instant; the worst verdict counts.

        Parameters and errors are those of :func:`tke_provider.clients.metrics.ask`.
        """
        from tke_provider.clients.metrics import ask

        verdicts = []
        for gate in gates:
            async with await self.source(gate.query) as source:
                verdicts.append(await ask(source, gate, new=new, old=old, at=at))
        return worst(verdicts)
