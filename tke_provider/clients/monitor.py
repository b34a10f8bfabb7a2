"""Tencent Cloud's own monitoring (https://cloud.tencent.com/document/api/248)."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from tke_provider.clients.tencent_cloud import TencentCloudService
from tke_provider.domain.metrics import STATISTICS, check_query
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tke_provider.domain.metrics import MonitorQuery, Query

# "Only QCE/TKE2, QCE/KEEWIDB and QCE/CAMP", and GetMonitorData says of itself that it does not serve containers:
# both from the published API metadata.
_BY_CONDITIONS = frozenset({"QCE/TKE2", "QCE/KEEWIDB", "QCE/CAMP"})
_PERIOD, _WINDOW = 60, 300


class Monitor(TencentCloudService):
    """Metrics of the resources of one region; use it as ``async with``."""

    async def value(self, query: Query, at: float) -> float | None:
        """Return what the query's statistic makes of the points in its window before an instant, or None.

        The newest points arrive a minute or two late, so a window should span several periods.

        :param at: seconds since the epoch.
        :raises InputError: when it is no question to the cloud, several things have the dimensions, or the cloud
            refuses it.
        """
        asked = _checked(query)
        points = await self._points(asked, at - asked.get("window", _WINDOW), at)
        statistic = STATISTICS[asked.get("statistic", "avg")]
        return statistic([value for _, value in points]) if points else None

    async def values(self, query: Query, start: float, end: float, step: float) -> list[tuple[float, float]]:  # noqa: ARG002
        """Return instant and value of each point, oldest first, at the query's own period instead of ``step``.

        Errors as :meth:`value`.
        """
        return await self._points(_checked(query), start, end)

    async def _points(self, query: MonitorQuery, start: float, end: float) -> list[tuple[float, float]]:
        params = {"Namespace": query["namespace"], "Period": query.get("period", _PERIOD)}
        params |= {"StartTime": _iso(start), "EndTime": _iso(end)}
        by_conditions = query["namespace"] in _BY_CONDITIONS
        found = await (self._statistic_data if by_conditions else self._monitor_data)(query, params)
        if len(found) > 1:
            raise InputError(
                f"{query['metric']} of {query['dimensions']} is {len(found)} numbers",
                way_out="name more dimensions, until they mean one thing",
            )
        # The cloud fills gaps with null.
        return sorted((float(at), float(value)) for each in found for at, value in each if value is not None)

    async def _statistic_data(self, query: MonitorQuery, params: Mapping[str, Any]) -> list[list[tuple[float, Any]]]:
        conditions = [{"Key": key, "Operator": "=", "Value": [value]} for key, value in query["dimensions"].items()]
        asked = {"Module": "monitor", "MetricNames": [query["metric"]], "Conditions": conditions, **params}
        answer = await self._monitor("DescribeStatisticData", asked)
        groups = [group for data in answer.get("Data") or () for group in data["Points"]]
        return [[(point["Timestamp"], point["Value"]) for point in group["Values"]] for group in groups]

    async def _monitor_data(self, query: MonitorQuery, params: Mapping[str, Any]) -> list[list[tuple[float, Any]]]:
        dimensions = [{"Name": name, "Value": value} for name, value in query["dimensions"].items()]
        asked = {"MetricName": query["metric"], "Instances": [{"Dimensions": dimensions}], **params}
        answer = await self._monitor("GetMonitorData", asked)
        groups = answer.get("DataPoints") or ()
        return [list(zip(group["Timestamps"], group["Values"], strict=True)) for group in groups]

    async def _monitor(self, action: str, params: Mapping[str, object]) -> dict[str, Any]:
        return await self._client.call("monitor", "2018-07-24", action, params)


def _checked(query: Query) -> MonitorQuery:
    check_query(query)
    if isinstance(query, str):
        raise InputError(f"Tencent Cloud's monitoring cannot be asked {query!r}", way_out="ask Prometheus in PromQL")
    return query


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="seconds")
