"""Scheduled actions and alarm policies of scaling groups, asked for by Tencent's own client."""

from __future__ import annotations

from typing import Any

import pytest
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

GROUP = "asg-regular0"
BY_GROUP = [{"Name": "auto-scaling-group-id", "Values": [GROUP]}]
SIZES = {"MinSize": 0, "MaxSize": 9, "DesiredCapacity": 3, "StartTime": "2026-11-23T16:00:00+08:00"}


def ask(emulator, action: str, **params: object) -> dict[str, Any]:
    profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=emulator.address))
    client = CommonClient("as", "2018-04-19", emulator.credential, emulator.region, profile)
    return client.call_json(action, params)["Response"]


def test_a_scheduled_action_is_found_by_its_group_until_it_is_deleted(emulator):
    again = {"Recurrence": "0 20 * * *", "EndTime": "2027-11-23T16:00:00+08:00"}
    made = ask(
        emulator, "CreateScheduledAction", AutoScalingGroupId=GROUP, ScheduledActionName="night", **SIZES, **again
    )
    found = ask(emulator, "DescribeScheduledActions", Filters=BY_GROUP)
    (action,) = found["ScheduledActionSet"]
    assert (found["TotalCount"], action["ScheduledActionName"], action["ScheduledType"]) == (1, "night", "CRONTAB")
    assert action["Recurrence"] == "0 20 * * *"
    elsewhere = [{"Name": "auto-scaling-group-id", "Values": ["asg-elsewhere"]}]
    assert ask(emulator, "DescribeScheduledActions", Filters=elsewhere)["ScheduledActionSet"] == []
    ask(emulator, "DeleteScheduledAction", ScheduledActionId=made["ScheduledActionId"])
    assert ask(emulator, "DescribeScheduledActions", Filters=BY_GROUP)["ScheduledActionSet"] == []


def test_an_alarm_policy_is_found_by_its_group_and_is_no_scheduled_action(emulator):
    alarm = {
        "ComparisonOperator": "GREATER_THAN",
        "MetricName": "CPU_UTILIZATION",
        "Threshold": 80,
        "Period": 60,
        "ContinuousTime": 3,
    }
    policy = {"AutoScalingGroupId": GROUP, "ScalingPolicyName": "busy", "MetricAlarm": alarm}
    ask(emulator, "CreateScalingPolicy", AdjustmentType="CHANGE_IN_CAPACITY", AdjustmentValue=1, **policy)
    (found,) = ask(emulator, "DescribeScalingPolicies", Filters=BY_GROUP)["ScalingPolicySet"]
    assert (found["ScalingPolicyName"], found["ScalingPolicyType"]) == ("busy", "SIMPLE")
    assert found["MetricAlarm"]["MetricName"] == "CPU_UTILIZATION"
    assert ask(emulator, "DescribeScheduledActions", Filters=BY_GROUP)["TotalCount"] == 0


def test_what_makes_no_sense_is_refused(emulator, refused):
    once = {"AutoScalingGroupId": GROUP, "ScheduledActionName": "night", **SIZES}
    with refused("InvalidParameter.InScenario", "must be specified together"):
        ask(emulator, "CreateScheduledAction", **once, Recurrence="0 20 * * *")
    with refused("ResourceNotFound.AutoScalingGroupNotFound"):
        ask(emulator, "CreateScheduledAction", **{**once, "AutoScalingGroupId": "asg-nowhere"})
    with refused("ResourceNotFound.ScheduledActionNotFound"):
        ask(emulator, "DeleteScheduledAction", ScheduledActionId="asst-nowhere0")
    with refused("InvalidParameter.Conflict"):
        ask(emulator, "DescribeScheduledActions", ScheduledActionIds=["asst-1"], Filters=BY_GROUP)


@pytest.mark.parametrize("action", ["DescribeScheduledActions", "DescribeScalingPolicies"])
def test_a_filter_that_nobody_knows_is_refused(emulator, refused, action):
    with refused("InvalidParameterValue.Filter", "not supported"):
        ask(emulator, action, Filters=[{"Name": "colour", "Values": ["red"]}])
