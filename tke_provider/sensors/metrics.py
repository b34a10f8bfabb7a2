"""Whether metrics are as they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.sensors.base import TkeBaseSensor
from tke_provider.triggers.metrics import MetricTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class TkeMetricSensor(TkeBaseSensor):
    """Waits until every gate is good at the same instant, such as a queue that has become short enough.

    What is not known is waited for. A query that is not understood, and a login that is refused, end it at once.

    :param gates: each ``{"name", "query"}`` and at least one bound, as ``docs/metrics.md`` explains.
    :param new: what ``{word}`` in a query stands for.
    :param old: the same where a gate asks for the old version; words that it lacks are those of ``new``.
    :param prometheus_conn_id: connection to Prometheus, for queries in PromQL.
    :param region: of the cloud's resources, for queries to Tencent Cloud's monitoring; default: the connection's.
    """

    template_fields: Sequence[str] = ("gates", "new", "old", "prometheus_conn_id", "region", "tke_conn_id")

    def __init__(
        self,
        *,
        gates: Sequence[Mapping[str, Any]],
        new: Mapping[str, str] | None = None,
        old: Mapping[str, str] | None = None,
        prometheus_conn_id: str = "prometheus_default",
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gates = gates
        self.new = new
        self.old = old
        self.prometheus_conn_id = prometheus_conn_id
        self.region = region

    def trigger(self, deadline: float) -> MetricTrigger:
        """Return what asks."""
        return MetricTrigger(
            tke_conn_id=self.tke_conn_id,
            deadline=deadline,
            poll_interval=self.poke_interval,
            gates=self.gates,
            new=self.new or {},
            old=self.old or {},
            prometheus_conn_id=self.prometheus_conn_id,
            region=self.region,
        )
