"""Monitor 2018-07-24: metrics, as the remote control told them under ``/_emulator/metrics``.

What is not told has no points. Where nothing is said about how the cloud aggregates, that is noted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING

from tke_provider.emulator.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tke_provider.emulator.cloud import Call, Handler
    from tke_provider.emulator.models import Json, Measured

# "Only QCE/TKE2 (Conditions are required), QCE/KEEWIDB, QCE/CAMP" [M].
_STATISTIC = frozenset({"QCE/TKE2", "QCE/KEEWIDB", "QCE/CAMP"})
_CONDITIONS_REQUIRED = "QCE/TKE2"
_HOUR, _DAY = 3600, 86400
# Period: less than how much time in one answer, how long ago at most [M].
_PERIODS = {60: (12 * _HOUR, 15 * _DAY), 300: (3 * _DAY, 31 * _DAY), 3600: (30 * _DAY, 93 * _DAY)}
_PERIODS[_DAY] = (186 * _DAY, 186 * _DAY)
_DEFAULT_PERIOD = 300
_MOST_POINTS = 7200


def describe_statistic_data(call: Call) -> Json:
    """Points of container metrics. Several series of one group are added up [K]."""
    params, namespace = call.params, call.params["Namespace"]
    if namespace not in _STATISTIC:
        raise CloudError("InvalidParameter.UnsupportedProduct", f"Namespace {namespace} is not supported.")
    if namespace == _CONDITIONS_REQUIRED and not params.get("Conditions"):
        raise CloudError("InvalidParameterValue", f"Conditions is required for {namespace}.")
    period, start, end = _window(call)
    if not (
        start < end and end - start < _PERIODS[period][0] and call.cloud.clock.now() - start <= _PERIODS[period][1]
    ):
        raise CloudError("InvalidParameterValue", f"StartTime and EndTime do not fit a Period of {period}.")
    found = [each for each in call.cloud.state.measured if each.namespace == namespace and _fits(each, params)]
    data = []
    for metric in params["MetricNames"]:
        groups = defaultdict(list)
        for each in found:
            if each.metric == metric:
                groups[tuple(each.dimensions.get(name, "") for name in params.get("GroupBys", []))].append(each)
        points = [
            {
                "Dimensions": _named(zip(params.get("GroupBys", []), group, strict=True)),
                "Values": [{"Timestamp": at, "Value": value} for at, value in _points(members, period, start, end)],
            }
            for group, members in groups.items()
        ]
        data.append({"MetricName": metric, "Points": points})
    return {"Period": period, "StartTime": params.get("StartTime"), "EndTime": params.get("EndTime"), "Data": data}


def get_monitor_data(call: Call) -> Json:
    """Points of one metric of named instances; "does not serve containers" [M], which this code says [K]."""
    params, namespace = call.params, call.params["Namespace"]
    if namespace in _STATISTIC:
        raise CloudError("UnsupportedOperation", f"{namespace}: use DescribeStatisticData.")
    period, start, end = _window(call)
    if (end - start) / period * len(params["Instances"]) > _MOST_POINTS:
        raise CloudError("LimitExceeded.LimitedAccess", f"More than {_MOST_POINTS} points.")
    points = []
    for instance in params["Instances"]:
        wanted = {each["Name"]: each["Value"] for each in instance["Dimensions"]}
        members = [
            each
            for each in call.cloud.state.measured
            if (each.namespace, each.metric, each.dimensions) == (namespace, params["MetricName"], wanted)
        ]
        known = list(_points(members, period, start, end))
        points.append(
            {
                "Dimensions": _named(wanted.items()),
                "Timestamps": [at for at, _ in known],
                "Values": [value for _, value in known],
            }
        )
    window = {"StartTime": params.get("StartTime"), "EndTime": params.get("EndTime")}
    return {"Period": period, "MetricName": params["MetricName"], "DataPoints": points, **window}


def _window(call: Call) -> tuple[int, float, float]:
    params, now = call.params, call.cloud.clock.now()
    period = params.get("Period", _DEFAULT_PERIOD)
    if period not in _PERIODS:
        raise CloudError("InvalidParameterValue", f"Period {period} is none of {', '.join(map(str, _PERIODS))}.")
    try:
        start, end = (
            datetime.fromisoformat(params[name]).timestamp() if name in params else now
            for name in ("StartTime", "EndTime")
        )
    except ValueError as error:
        raise CloudError("InvalidParameterValue", f"StartTime or EndTime: {error}") from error
    return period, start, end


def _fits(measured: Measured, params: Json) -> bool:
    for condition in params.get("Conditions", []):
        # "=" looks at the first value only [M].
        wanted = condition["Value"] if condition["Operator"] == "in" else condition["Value"][:1]
        if measured.dimensions.get(condition["Key"]) not in wanted:
            return False
    return True


def _points(measured: list[Measured], period: int, start: float, end: float) -> Iterable[tuple[int, float | None]]:
    """Yield a point a period; null where nothing was measured yet [M]. What is told holds until it is told anew."""
    series: dict[tuple[tuple[str, str], ...], list[Measured]] = defaultdict(list)
    for each in measured:
        series[tuple(sorted(each.dimensions.items()))].append(each)
    for at in range(math.ceil(start / period) * period, math.floor(end) + 1, period):
        latest = [
            max((m for m in told if m.since <= at), key=lambda m: m.since, default=None) for told in series.values()
        ]
        known = [each.value for each in latest if each is not None and each.value is not None]
        yield at, sum(known) if known else None


def _named(pairs: Iterable[tuple[str, str]]) -> list[Json]:
    return [{"Name": name, "Value": value} for name, value in pairs]


ACTIONS: dict[str, Handler] = {
    "DescribeStatisticData": describe_statistic_data,
    "GetMonitorData": get_monitor_data,
}
