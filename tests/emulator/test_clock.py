from __future__ import annotations

import pytest

from tests.emulator.conftest import CLUSTER, REGULAR
from tke_provider.emulator.clock import Clock, Pace
from tke_provider.emulator.models import Endpoint


def joined(emulator):
    return emulator.pool()["NodeCountSummary"]["AutoscalingAdded"]["Normal"]


def test_at_once_is_what_a_fresh_cloud_does(emulator):
    emulator.desire(3)
    assert (emulator.pool()["LifeState"], joined(emulator)) == ("normal", 3)


def test_by_looks_the_first_looks_see_the_old_state(emulator):
    emulator.admin("POST", "clock", node={"mode": "looks", "amount": 2})
    emulator.desire(3)
    assert [joined(emulator) for _ in range(4)] == [1, 1, 3, 3]


def test_by_seconds_the_state_changes_when_they_have_passed():
    now = [100.0]
    clock = Clock({"endpoint": Pace("seconds", 30)}, now=lambda: now[0])
    endpoint = Endpoint("Creating")
    clock.begin(endpoint, "Created", "endpoint")
    now[0] = 129.9
    clock.settle(endpoint, look=True)
    assert endpoint.state == "Creating"
    now[0] = 130.0
    clock.settle(endpoint)
    assert endpoint.state == "Created"


def test_when_told_nothing_moves_before(emulator, refused):
    emulator.admin("POST", "clock", default={"mode": "told"})
    emulator.desire(2)
    assert [emulator.pool()["LifeState"], joined(emulator)] == ["updating", 1]
    with refused("OperationDenied"):
        emulator.desire(3)
    assert emulator.admin("POST", "tell", what=REGULAR)["done"] == 2
    assert [emulator.pool()["LifeState"], joined(emulator)] == ["normal", 2]


def test_machines_leave_by_the_clock_too(emulator):
    emulator.desire(3)
    emulator.admin("POST", "clock", node={"mode": "told"})
    emulator.desire(1)
    assert emulator.pool()["NodeCountSummary"]["AutoscalingAdded"] == {
        "Joining": 0,
        "Initializing": 0,
        "Normal": 1,
        "Total": 3,
    }
    emulator.admin("POST", "tell", what="node")
    assert emulator.pool()["NodeCountSummary"]["AutoscalingAdded"]["Total"] == 1


def test_a_new_endpoint_may_look_absent_at_first(emulator):
    emulator.admin("POST", "clock", endpoint={"mode": "looks", "amount": 2})
    emulator.tke("DeleteClusterEndpoint", ClusterId=CLUSTER, IsExtranet=True)
    emulator.admin("POST", "tell", what="endpoint")
    emulator.tke("CreateClusterEndpoint", ClusterId=CLUSTER, IsExtranet=True, SecurityGroup="sg-1")
    seen = [
        emulator.tke("DescribeClusterEndpointStatus", ClusterId=CLUSTER, IsExtranet=True)["Status"] for _ in range(3)
    ]
    assert seen == ["NotFound", "Creating", "Created"]


@pytest.mark.parametrize(
    ("text", "pace"),
    [
        ("at-once", Pace("at once")),
        ("told", Pace("told")),
        ("looks=2", Pace("looks", 2)),
        ("seconds=1.5", Pace("seconds", 1.5)),
    ],
)
def test_a_pace_is_read_from_the_command_line(text, pace):
    assert Pace.parse(text) == pace


def test_what_is_no_pace_is_refused():
    with pytest.raises(ValueError, match="write at-once, looks=N, seconds=T or told"):
        Pace.parse("soon")
