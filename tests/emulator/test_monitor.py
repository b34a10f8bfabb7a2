from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any

import pytest

CPU = {"namespace": "QCE/TKE2", "metric": "K8sWorkloadCpuCoreUsed"}
WEB = {"tke_cluster_instance_id": "cls-local000", "workload_name": "web"}
SHOP = {"tke_cluster_instance_id": "cls-local000", "workload_name": "shop"}


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="seconds")


def monitor(emulator, action: str, **params: object) -> dict[str, Any]:
    from tencentcloud.monitor.v20180724.monitor_client import MonitorClient

    return emulator.client(MonitorClient).call_json(action, params)["Response"]


def statistic(emulator, seconds: float = 300, period: int = 60, **more: object) -> list[dict]:
    now = time.time()
    asked = {"Module": "monitor", "Namespace": "QCE/TKE2", "MetricNames": [CPU["metric"]], "Period": period}
    asked |= {"Conditions": [{"Key": "tke_cluster_instance_id", "Operator": "=", "Value": ["cls-local000"]}]}
    window = {"StartTime": iso(now - seconds), "EndTime": iso(now)}
    (data,) = monitor(emulator, "DescribeStatisticData", **{**asked, **window, **more})["Data"]
    return data["Points"]


def test_what_was_told_is_answered_a_point_a_period(emulator):
    emulator.admin("POST", "metrics", **CPU, dimensions=WEB, value=1.5)
    (group,) = statistic(emulator)
    assert {point["Value"] for point in group["Values"]} == {1.5}
    assert len(group["Values"]) in {5, 6}
    assert all(point["Timestamp"] % 60 == 0 for point in group["Values"])


def test_a_gap_is_null(emulator):
    emulator.admin("POST", "metrics", **CPU, dimensions=WEB, value=1.5, since=time.time() - 120)
    (group,) = statistic(emulator, 600)
    values = [point["Value"] for point in group["Values"]]
    assert values[0] is None
    assert values[-1] == 1.5


def test_conditions_and_groups_tell_series_apart(emulator):
    for dimensions, value in ((WEB, 1.0), (SHOP, 2.0)):
        emulator.admin("POST", "metrics", **CPU, dimensions=dimensions, value=value)
    groups = statistic(emulator, GroupBys=["workload_name"])
    assert {group["Dimensions"][0]["Value"]: group["Values"][0]["Value"] for group in groups} == {"web": 1, "shop": 2}
    one_of = [{"Key": "workload_name", "Operator": "in", "Value": ["shop", "other"]}]
    (group,) = statistic(emulator, Conditions=one_of)
    assert group["Values"][0]["Value"] == 2.0


def test_what_nobody_told_has_no_points(emulator):
    assert statistic(emulator) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"period": 61}, "Period 61 is none of 60, 300"),
        ({"seconds": 13 * 3600}, "do not fit a Period of 60"),
        ({"Conditions": []}, "Conditions is required"),
        ({"StartTime": "yesterday"}, "StartTime or EndTime"),
    ],
)
def test_what_the_metadata_rules_out_is_refused(emulator, refused, more, words):
    with refused("InvalidParameterValue", words):
        statistic(emulator, **more)


def test_each_action_serves_its_own_namespaces(emulator, refused):
    with refused("InvalidParameter.UnsupportedProduct"):
        statistic(emulator, Namespace="QCE/CVM")
    with refused("UnsupportedOperation", "use DescribeStatisticData"):
        monitor(emulator, "GetMonitorData", Namespace="QCE/TKE2", MetricName="a", Instances=[{"Dimensions": []}])


def test_instances_are_answered_one_by_one(emulator):
    one = {"InstanceId": "ins-00000001"}
    emulator.admin("POST", "metrics", namespace="QCE/CVM", metric="CPUUsage", dimensions=one, value=70)
    instances = [{"Dimensions": [{"Name": "InstanceId", "Value": f"ins-0000000{n}"}]} for n in (1, 2)]
    now = time.time()
    window = {"StartTime": iso(now - 120), "EndTime": iso(now), "Period": 60}
    given = {"Namespace": "QCE/CVM", "MetricName": "CPUUsage", "Instances": instances, **window}
    known, unknown = monitor(emulator, "GetMonitorData", **given)["DataPoints"]
    assert set(known["Values"]) == {70}
    assert set(unknown["Values"]) == {None}
