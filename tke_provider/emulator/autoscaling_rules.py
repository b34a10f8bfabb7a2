"""AS 2018-04-19: scheduled actions and alarm policies of scaling groups. They lie there; nothing makes them happen."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tke_provider.emulator.cloud import filters, page
from tke_provider.emulator.errors import CloudError
from tke_provider.emulator.state import new_id

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Call, Handler
    from tke_provider.emulator.models import Json

_ACTION, _POLICY = "asst", "asp"
# What a policy is told to be when it is made, and described as [M].
_POLICY_FIELDS = (
    "ScalingPolicyType",
    "AdjustmentType",
    "AdjustmentValue",
    "Cooldown",
    "MetricAlarm",
    "PredefinedMetricType",
    "TargetValue",
    "EstimatedInstanceWarmup",
    "DisableScaleIn",
)


def create_scheduled_action(call: Call) -> Json:
    """Sizes for a group at a time, or again and again: then ``Recurrence`` and ``EndTime`` are given together [M]."""
    params = call.params
    _check_group(call)
    if ("Recurrence" in params) is not ("EndTime" in params):
        raise CloudError("InvalidParameter.InScenario", "EndTime and Recurrence must be specified together.")
    made = {name: value for name, value in params.items() if name != "DisableUpdateDesiredCapacity"}
    created = datetime.fromtimestamp(call.cloud.clock.now(), timezone.utc)
    kind = "CRONTAB" if "Recurrence" in params else "ONCE"
    told = {"ScheduledType": kind, "CreatedTime": f"{created:%Y-%m-%dT%H:%M:%SZ}"}
    # Of an action that happens once, what is said instead of these two is inferred [G].
    return _keep(call, _ACTION, "ScheduledActionId", {"Recurrence": "", "EndTime": "", **made, **told})


def describe_scheduled_actions(call: Call) -> Json:
    """The scheduled actions of scaling groups."""
    known = ("auto-scaling-group-id", "scheduled-action-id", "scheduled-action-name")
    names = ("AutoScalingGroupId", "ScheduledActionId", "ScheduledActionName")
    return _describe(call, "ScheduledAction", dict(zip(known, names, strict=True)))


def delete_scheduled_action(call: Call) -> Json:
    """Take a scheduled action away."""
    if not call.cloud.state.group_rules.pop(call.params["ScheduledActionId"], None):
        raise CloudError("ResourceNotFound.ScheduledActionNotFound", "the scheduled action does not exist")
    return {}


def create_scaling_policy(call: Call) -> Json:
    """An alarm policy: what moves the size when a metric passes a threshold."""
    _check_group(call)
    names = ("AutoScalingGroupId", "ScalingPolicyName", *_POLICY_FIELDS)
    made = {name: call.params.get(name) for name in names}
    made["ScalingPolicyType"] = made["ScalingPolicyType"] or "SIMPLE"
    made |= {"MetricAlarms": None, "NotificationUserGroupIds": []}
    return _keep(call, _POLICY, "AutoScalingPolicyId", made)


def describe_scaling_policies(call: Call) -> Json:
    """The alarm policies of scaling groups."""
    known = ("auto-scaling-group-id", "auto-scaling-policy-id", "scaling-policy-name")
    names = ("AutoScalingGroupId", "AutoScalingPolicyId", "ScalingPolicyName")
    return _describe(call, "ScalingPolicy", dict(zip(known, names, strict=True)))


def _check_group(call: Call) -> None:
    pools = [pool for cluster in call.cloud.state.clusters.values() for pool in cluster.pools.values()]
    if call.params["AutoScalingGroupId"] not in {pool.scaling_group for pool in pools if pool.type == "Regular"}:
        raise CloudError("ResourceNotFound.AutoScalingGroupNotFound", "the scaling group does not exist")


def _keep(call: Call, prefix: str, name: str, rule: Json) -> Json:
    rule[name] = new_id(prefix)
    call.cloud.state.group_rules[rule[name]] = rule
    return {name: rule[name]}


def _describe(call: Call, what: str, known: dict[str, str]) -> Json:
    ids = {"ScheduledAction": "ScheduledActionIds", "ScalingPolicy": "AutoScalingPolicyIds"}[what]
    if call.params.get(ids) and call.params.get("Filters"):
        raise CloudError("InvalidParameter.Conflict", f"{ids} and Filters cannot be specified at the same time.")
    prefix = _ACTION if what == "ScheduledAction" else _POLICY
    rules = {key: rule for key, rule in call.cloud.state.group_rules.items() if key.startswith(f"{prefix}-")}
    wanted = filters(call, tuple(known), "InvalidParameterValue.Filter")
    found = [
        rule
        for key, rule in rules.items()
        if key in (call.params.get(ids) or rules)
        and all(rule[known[name]] in values for name, values in wanted.items())
    ]
    return {"TotalCount": len(found), f"{what}Set": page(found, call.params)}


ACTIONS: dict[str, Handler] = {
    "CreateScheduledAction": create_scheduled_action,
    "DescribeScheduledActions": describe_scheduled_actions,
    "DeleteScheduledAction": delete_scheduled_action,
    "CreateScalingPolicy": create_scaling_policy,
    "DescribeScalingPolicies": describe_scaling_policies,
}
