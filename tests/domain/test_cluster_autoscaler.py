"""Options of a cluster's autoscaler: what may be said, and what a look tells."""

from __future__ import annotations

import pytest
from tencentcloud.tke.v20180525.models import ClusterAsGroupOption

from tke_provider.domain import cluster_autoscaler as options
from tke_provider.domain.cluster_autoscaler import AutoscalerOptions, changes, check_options, missing, parse, request
from tke_provider.exceptions import InputError


def test_every_option_of_the_cloud_has_a_word_and_every_word_an_option():
    known = {name.removeprefix("_") for name in vars(ClusterAsGroupOption())}
    assert {option.api for option in options._OPTIONS.values()} == known
    assert set(AutoscalerOptions.__annotations__) == set(options._OPTIONS)


def test_what_a_template_rendered_to_text_is_read():
    said = {"scale_down_enabled": "False", "scale_down_delay": " 15 ", "skip_nodes_with_system_pods": True}
    assert request(check_options(said)) == {
        "IsScaleDownEnabled": False,
        "ScaleDownDelay": 15,
        "SkipNodesWithSystemPods": True,
    }


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, "No option of the cluster autoscaler is to be set"),
        ({"scale_down_unneeded": 10}, "has no option 'scale_down_unneeded'; use scale_down_enabled, expander"),
        ({"expander": "priority"}, "expander is 'priority'; write one of 'random', 'most-pods', 'least-waste'"),
        ({"scale_down_enabled": "maybe"}, "scale_down_enabled is 'maybe'; write true or false"),
        ({"scale_down_enabled": 1}, "scale_down_enabled is 1; write true or false"),
        ({"scale_down_delay": -1}, "scale_down_delay is -1; give a whole number"),
        ({"scale_down_delay": "10m"}, "scale_down_delay is '10m'; give a whole number"),
        ({"scale_down_utilization_threshold": 101}, "scale_down_utilization_threshold is 101; give a percentage"),
        ({"max_total_unready_percentage": 0.5}, "max_total_unready_percentage is 0.5; give a whole number"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(wrong, told):
    with pytest.raises(InputError) as refused:
        check_options(wrong)
    assert told in str(refused.value)


def test_a_value_that_the_cloud_does_not_tell_is_to_be_set_and_no_options_are_none_at_all():
    live = parse({"IsScaleDownEnabled": None, "Expander": "random"})
    assert (live["scale_down_enabled"], live["expander"]) == (None, "random")
    assert missing(live, {"scale_down_enabled": False, "expander": "random"}) == {"scale_down_enabled": False}
    assert parse(None) == {}


def test_every_difference_between_two_looks_is_told():
    assert changes({"a": 1, "b": None, "c": "x"}, {"a": 1, "b": 2, "c": "y"}) == {
        "b": {"before": None, "after": 2},
        "c": {"before": "x", "after": "y"},
    }
