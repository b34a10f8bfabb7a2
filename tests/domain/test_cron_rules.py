from __future__ import annotations

import pytest

from tke_provider.domain.cron_rules import resized, rule_sizes, target_of, usual_sizes
from tke_provider.domain.operations import OPERATION
from tke_provider.domain.plans import USUAL
from tke_provider.domain.scaling import Bounds
from tke_provider.exceptions import NotFoundError

MORNING = {"name": "morning", "schedule": "0 0 8 * * *", "targetSize": 8, "excludeDates": ["* * * 1 1 *"]}
NIGHT = {"name": "night", "schedule": "0 0 20 * * *", "targetSize": 2}


def scaler(*rules: dict, usual: str = "") -> dict:
    metadata = {"name": "hours", "namespace": "shop", "resourceVersion": "7"}
    metadata["annotations"] = {USUAL: usual} if usual else {}
    spec = {"scaleTarget": {"kind": "Deployment", "name": "web"}, "crons": list(rules)}
    return {"apiVersion": "autoscaling.cloud.tencent.com/v1", "kind": "HorizontalPodCronscaler"} | {
        "metadata": metadata,
        "spec": spec,
    }


def test_each_rule_has_a_number_or_bounds():
    bounds = {"name": "load", "schedule": "0 0 9 * * *", "minSize": 3, "maxSize": 10}
    assert rule_sizes(scaler(MORNING, bounds)) == {"morning": 8, "load": Bounds(3, 10)}
    assert (rule_sizes(scaler()), target_of(scaler())) == ({}, "web")


def test_one_rule_changes_its_neighbours_stay_and_its_usual_size_is_kept():
    patch = resized(scaler(MORNING, NIGHT, usual='{"night": "2"}'), "morning", 24, 8, "me")
    assert patch["spec"]["crons"] == [{**MORNING, "targetSize": 24}, NIGHT]
    assert patch["metadata"] == {
        "annotations": {OPERATION: "me", USUAL: '{"morning": "8", "night": "2"}'},
        "resourceVersion": "7",
    }


def test_back_at_the_usual_size_the_record_goes_and_with_the_last_one_the_annotation():
    both = scaler(MORNING, NIGHT, usual='{"morning": "8", "night": "2"}')
    assert resized(both, "morning", 8, None, "me")["metadata"]["annotations"][USUAL] == '{"night": "2"}'
    one = scaler(MORNING, usual='{"morning": "8"}')
    assert resized(one, "morning", 8, None, "me")["metadata"]["annotations"][USUAL] is None


def test_a_rule_of_an_hpa_gets_bounds():
    rule = {"name": "load", "schedule": "0 0 9 * * *", "minSize": 3, "maxSize": 10}
    (changed,) = resized(scaler(rule), "load", Bounds(6, 20), Bounds(3, 10), "me")["spec"]["crons"]
    assert (changed["minSize"], changed["maxSize"]) == (6, 20)


def test_a_rule_that_is_gone_is_named():
    with pytest.raises(NotFoundError, match="hours has no rule noon any more"):
        resized(scaler(MORNING), "noon", 1, None, "me")


@pytest.mark.parametrize("record", ["", "no json", "[]", '{"morning": "many"}', '{"morning": 8}'])
def test_a_record_that_cannot_be_read_is_none(record):
    assert usual_sizes(scaler(MORNING, usual=record)) == {}
