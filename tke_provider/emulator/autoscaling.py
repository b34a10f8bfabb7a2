"""AS 2018-04-19: only why a regular pool's scaling group did not get its machines. TKE itself does not say."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tke_provider.emulator import pools
from tke_provider.emulator.cloud import filters, page
from tke_provider.emulator.errors import CloudError

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Call, Cloud, Handler
    from tke_provider.emulator.models import Activity, Json

_FILTERS = {
    "auto-scaling-group-id": "AutoScalingGroupId",
    "activity-status-code": "StatusCode",
    "activity-type": "ActivityType",
    "activity-id": "ActivityId",
}
_CAUSE = "Activity was launched in response to a difference between desired capacity and actual capacity"


def describe_auto_scaling_activities(call: Call) -> Json:
    """The activities of scaling groups, latest first [K]. Words and shape are those of the published example [M]."""
    params = call.params
    if params.get("ActivityIds") and params.get("Filters"):
        # [M]: the two exclude one another; code: [G].
        raise CloudError("InvalidParameter.Conflict", "ActivityIds and Filters cannot be specified at the same time.")
    wanted = filters(call, tuple(_FILTERS), "InvalidParameterValue.InvalidFilter")
    for cluster in call.cloud.state.clusters.values():
        pools.settle(call.cloud, cluster)
    found = []
    for activity in reversed(call.cloud.state.activities):
        described = _describe(call.cloud, activity)
        if params.get("ActivityIds") and activity.id not in params["ActivityIds"]:
            continue
        if "StartTime" in params and described["StartTime"] < params["StartTime"]:
            continue
        if all(described[_FILTERS[name]] in values for name, values in wanted.items()):
            found.append(described)
    return {"TotalCount": len(found), "ActivitySet": page(found, params)}


def _describe(cloud: Cloud, activity: Activity) -> Json:
    status = _status(cloud, activity)
    at = datetime.fromtimestamp(activity.at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    message = activity.reason or ("Success" if status == "SUCCESSFUL" else "")
    # What is said of REMOVE_INSTANCES, which the cluster autoscaler causes, is inferred.
    verb = "scale out" if activity.type == "SCALE_OUT" else "scale in"
    return {
        "AutoScalingGroupId": activity.group,
        "ActivityId": activity.id,
        "ActivityType": activity.type,
        "StatusCode": status,
        "StatusMessage": message,
        "StatusMessageSimplified": message,
        "Cause": f"{_CAUSE}.",
        "Description": f"{_CAUSE}, {verb} {activity.wanted} instance(s).",
        "StartTime": at,
        "EndTime": "" if status == "RUNNING" else at,
        "CreatedTime": at,
        "RelatedInstanceSet": [{"InstanceId": each, "InstanceStatus": "SUCCESSFUL"} for each in activity.instances],
        "DetailedStatusMessageSet": _details(activity),
        "LifecycleActionResultSet": [],
        "InvocationResultSet": [],
    }


def _status(cloud: Cloud, activity: Activity) -> str:
    if activity.code:
        return "PARTIALLY_SUCCESSFUL" if activity.instances else "FAILED"
    moving = any(
        cluster.nodes[each].change
        for cluster in cloud.state.clusters.values()
        for each in activity.instances
        if each in cluster.nodes
    )
    return "RUNNING" if moving else "SUCCESSFUL"


def _details(activity: Activity) -> list[Json]:
    if not activity.code:
        return []
    return [{"Code": activity.code, "Message": activity.reason, "Zone": "ap-guangzhou-3", "InstanceType": "S5.MEDIUM4"}]


ACTIONS: dict[str, Handler] = {"DescribeAutoScalingActivities": describe_auto_scaling_activities}
