from __future__ import annotations

from datetime import datetime, timezone

import pytest

from tke_provider.domain.clusters import NodePool, PoolKind, PoolNode
from tke_provider.domain.pools import GroupRule, came, fell_back, gave_up, ruled, settled_for
from tke_provider.domain.scaling import Bounds

NOW = datetime(2026, 11, 23, 4, tzinfo=timezone.utc)
POOL = NodePool(
    "np-web", "web", PoolKind.REGULAR, "normal", 1, 5, 3, 2, autoscaling=False, autoscaling_group_id="asg-1"
)
ACTION = {"ScheduledActionName": "night", "StartTime": "2026-01-01T20:00:00+08:00", "Recurrence": "", "EndTime": ""}


@pytest.mark.parametrize(
    ("answer", "over"),
    [
        (ACTION, True),
        ({**ACTION, "StartTime": "2026-11-23T13:00:00+08:00"}, False),
        ({**ACTION, "Recurrence": "0 20 * * *", "EndTime": "2026-11-22T20:00:00+08:00"}, True),
        ({**ACTION, "Recurrence": "0 20 * * *", "EndTime": "2026-11-24T20:00:00+08:00"}, False),
        ({**ACTION, "Recurrence": "0 20 * * *", "EndTime": ""}, False),
        ({**ACTION, "StartTime": "soon"}, False),
    ],
)
def test_a_scheduled_action_is_over_when_it_has_happened_for_the_last_time(answer, over):
    assert GroupRule.of_action(answer).is_over(NOW) is over


def test_rules_are_named_with_when_they_happen():
    action = GroupRule.of_action({**ACTION, "Recurrence": "0 20 * * *"})
    policy = GroupRule.of_policy({"ScalingPolicyName": "busy", "MetricAlarm": {"MetricName": "CPU_UTILIZATION"}})
    assert not policy.is_over(NOW)
    assert str(ruled(POOL, [action, policy])).startswith(
        "The size of node pool np-web is written by the scheduled action night (cron 0 20 * * *)"
        " and by the alarm policy busy (CPU_UTILIZATION) of its scaling group asg-1; remove them there"
    )


def test_a_policy_that_follows_a_metric_is_named_with_it():
    policy = GroupRule.of_policy({"ScalingPolicyName": "half", "MetricAlarm": None, "PredefinedMetricType": "LAN_IN"})
    assert str(policy) == "the alarm policy half (LAN_IN)"


def test_what_the_cloud_gave_up_on_is_told_in_its_words():
    told = "Node pool np-web has 2 nodes of 3, and the cloud gave up on more: sold out; give the pool more"
    assert str(gave_up(POOL, "sold out")).startswith(told)


def test_a_pool_falls_back_to_the_nodes_that_came_or_are_on_their_way():
    nodes = [PoolNode(f"ins-{state}", state, "", "", False, "") for state in ("running", "initializing", "failed")]
    assert came(nodes) == 2
    assert (settled_for(5, 2), settled_for(Bounds(5, 9), 2), settled_for(Bounds(1, 9), 2)) == (
        2,
        Bounds(2, 9),
        Bounds(1, 9),
    )
    assert fell_back("node pool np-web", 1, 2, "sold out") == (
        "node pool np-web falls back to 1 node, 2 fewer than planned: sold out"
    )
