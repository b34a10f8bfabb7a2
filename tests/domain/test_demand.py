from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tke_provider.domain.demand import Policy, choose
from tke_provider.domain.scaling import Bounds
from tke_provider.exceptions import InputError

NOW = 10_000.0


def policy(**more: float) -> Policy:
    steady = {"tolerance": 0.1, "stabilise_up": 0, "stabilise_down": 0, "cooldown": 0}
    return Policy(**{"target": 30, "bounds": Bounds(1, 10), **steady, **more})


@pytest.mark.parametrize(
    ("current", "value", "size"),
    [
        (2, 120, 4),
        (2, 121, 5),
        (8, 120, 4),
        (2, 0, 1),
        (2, 9999, 10),
        (1, 30.000000001, 1),
        (0, 45, 2),
        (0, 0, 1),
        (20, 120, 4),
    ],
)
def test_every_pod_takes_its_target(current, value, size):
    assert choose(policy(), current, value, now=NOW).size == size


@pytest.mark.parametrize(("value", "size"), [(131, 4), (133, 5), (108, 4), (88, 3)])
def test_a_little_more_or_less_changes_nothing(value, size):
    assert choose(policy(), 4, value, now=NOW).size == size


def test_a_peak_is_not_followed_before_it_lasts():
    history = [(NOW - 90, 60), (NOW - 50, 150), (NOW - 20, 120)]
    assert choose(policy(stabilise_up=60), 2, 180, history, now=NOW).size == 4
    assert choose(policy(stabilise_up=100), 2, 180, history, now=NOW).size == 2
    assert choose(policy(), 2, 180, history, now=NOW).size == 6


def test_a_trough_in_the_past_keeps_from_growing_and_makes_nobody_shrink():
    assert choose(policy(stabilise_up=60), 4, 180, [(NOW - 50, 30)], now=NOW).size == 4


def test_what_is_rounding_is_no_demand():
    assert policy().wanted(60.00000000001) == 2


def test_a_dip_is_not_followed_before_it_lasts():
    history = [(NOW - 400, 300), (NOW - 200, 150), (NOW - 20, 30)]
    choice = choose(policy(stabilise_down=300), 8, 30, history, now=NOW)
    assert choice == (5, "30 at 30 a pod asks for 1 pod, and in the time before it asked for 5 pods")
    assert choose(policy(stabilise_down=500), 8, 30, history, now=NOW).size == 8
    assert choose(policy(), 8, 30, history, now=NOW).size == 1


def test_after_a_change_there_is_rest():
    choice = choose(policy(cooldown=60), 2, 180, now=NOW, sized_at=NOW - 20)
    assert choice.size == 2
    assert "for 40 more seconds of cooldown" in choice.reason
    assert choose(policy(cooldown=60), 2, 180, now=NOW, sized_at=NOW - 60).size == 6


def test_a_change_by_a_worker_whose_clock_is_a_little_ahead_counts_as_one():
    assert choose(policy(cooldown=60), 2, 180, now=NOW, sized_at=NOW + 0.5).size == 2


def test_a_clock_that_runs_ahead_does_not_stop_everything():
    assert choose(policy(cooldown=60), 2, 180, now=NOW, sized_at=NOW + 5000).size == 6


def test_bounds_do_not_wait():
    assert choose(policy(cooldown=60), 20, 180, now=NOW, sized_at=NOW - 1).size == 6


def test_gaps_in_the_past_say_nothing():
    assert choose(policy(stabilise_down=300), 8, 30, [(NOW - 20, math.nan)], now=NOW).size == 1


@pytest.mark.parametrize(
    "wrong", [{"target": 0}, {"target": math.nan}, {"tolerance": -0.1}, {"cooldown": math.inf}, {"stabilise_up": -1}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(InputError):
        policy(**wrong)


values = st.floats(0, 1e6)


@given(
    current=st.integers(0, 50),
    value=values,
    past=st.lists(st.tuples(st.floats(NOW - 900, NOW), values)),
    minimum=st.integers(0, 10),
    span=st.integers(0, 30),
    up=st.floats(0, 600),
    down=st.floats(0, 600),
)
def test_the_size_lies_within_bounds_and_never_overshoots_what_is_asked_for(
    current, value, past, minimum, span, up, down
):
    rules = policy(bounds=Bounds(minimum, minimum + span), stabilise_up=up, stabilise_down=down)
    size = choose(rules, current, value, past, now=NOW).size
    assert minimum <= size <= minimum + span
    if minimum <= current <= minimum + span:
        low, high = sorted((current, rules.wanted(value)))
        assert low <= size <= high


@given(current=st.integers(1, 10), value=values)
def test_once_there_it_stays(current, value):
    there = choose(policy(), current, value, now=NOW).size
    assert choose(policy(), there, value, now=NOW).size == there
