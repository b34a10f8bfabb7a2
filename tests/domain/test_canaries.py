import pytest

from tke_provider.domain.canaries import Step, check_delay, check_whole, parse_steps, pods_for, pods_to_bear
from tke_provider.exceptions import InputError


@pytest.mark.parametrize(
    ("weight", "stable", "pods"),
    [(10, 9, 1), (10, 90, 10), (50, 4, 4), (25, 3, 1), (25, 4, 1), (25, 5, 2), (1, 3, 1), (80, 2, 8), (50, 0, 1)],
)
def test_a_canary_has_as_many_pods_as_its_share_of_the_requests_takes(weight, stable, pods):
    assert pods_for(weight, stable) == pods


@pytest.mark.parametrize(
    ("weight", "stable", "pods"), [(10, 4, 1), (50, 4, 2), (50, 5, 3), (1, 300, 3), (99, 2, 2), (50, 0, 1)]
)
def test_a_canary_by_an_ingress_has_as_many_pods_as_bear_its_share(weight, stable, pods):
    assert pods_to_bear(weight, stable) == pods


def test_an_ingress_gives_whole_percents():
    check_whole(parse_steps([1, 50.0, 99]))
    with pytest.raises(InputError, match=r"12\.5 percent"):
        check_whole(parse_steps([12.5, 50]))


@pytest.mark.parametrize("seconds", [-1, 60.1, float("nan")])
def test_the_time_that_a_controller_has_to_hear_is_bounded(seconds):
    assert check_delay(60) == 60
    with pytest.raises(InputError, match="scale_down_delay"):
        check_delay(seconds)


def test_steps_are_weights_with_or_without_a_pause():
    assert parse_steps([5, {"weight": 20, "pause": 60}, Step(50)]) == [Step(5), Step(20, 60), Step(50)]


@pytest.mark.parametrize(
    "steps",
    [[], [0], [100], [50, 10], [10, 10], [{"weight": "a"}], [{"wait": 1}], [{"weight": 5, "pause": -1}], [None]],
)
def test_steps_that_make_no_sense_are_refused(steps):
    with pytest.raises(InputError):
        parse_steps(steps)
