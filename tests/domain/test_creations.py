from __future__ import annotations

import pytest

from tke_provider.domain.clusters import Cluster
from tke_provider.domain.creations import check_confirmed, mark, merged, recognise
from tke_provider.exceptions import ConflictError, InputError

OURS = Cluster("cls-1", "day", "Running", tags={"tke.airflow/made-by": "abc"})
THEIRS = Cluster("cls-2", "day", "Running", tags={"tke.airflow/made-by": "xyz"})


def find(*there, name="day", if_exists="refuse", made_id=""):
    return recognise("cluster", there, name, "abc", if_exists, made_id=made_id)


def test_a_mark_is_what_tells_runs_apart_and_fits_a_label():
    assert mark("a.dag.with.dots.task.0123456789ab") == "0123456789ab"


def test_ours_is_known_by_its_mark_whatever_its_name_is_now():
    assert find(THEIRS, OURS, name="renamed") is OURS


def test_ours_is_known_by_the_id_that_the_cloud_answered_with():
    assert find(THEIRS, made_id="cls-2") is THEIRS


def test_nothing_is_there_to_be_found():
    assert find() is None
    assert find(THEIRS, name="night") is None


def test_a_name_of_another_is_refused_or_used_as_said():
    with pytest.raises(InputError, match="named day already, which this task did not make: cls-2"):
        find(THEIRS)
    assert find(THEIRS, if_exists="use") is THEIRS


def test_one_of_several_of_a_name_is_not_chosen_by_chance():
    with pytest.raises(InputError, match="cls-2, cls-2"):
        find(THEIRS, THEIRS, if_exists="use")


def test_two_of_ours_are_named():
    with pytest.raises(ConflictError, match="Two tries of this task made a cluster each: cls-1, cls-1"):
        find(OURS, OURS, if_exists="use")


@pytest.mark.parametrize("confirm", ["cls-1", "day"])
def test_a_deletion_is_confirmed_by_name_or_id(confirm):
    check_confirmed("cluster", OURS, confirm)


@pytest.mark.parametrize("confirm", ["", "Day", "cls-2", " day"])
def test_anything_else_confirms_nothing(confirm):
    with pytest.raises(InputError, match=r"is not confirmed, for confirm is .*; write confirm='day', if it"):
        check_confirmed("cluster", OURS, confirm)


def test_a_thing_without_a_name_is_not_confirmed_by_nothing():
    with pytest.raises(InputError, match="write confirm='cls-3'"):
        check_confirmed("cluster", Cluster("cls-3", "", "Running"), "")


def test_parameters_are_merged_level_by_level_and_the_latter_counts():
    assert merged({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"c": 3}, "d": [2], "e": 4}) == {
        "a": {"b": 1, "c": 3},
        "d": [2],
        "e": 4,
    }
