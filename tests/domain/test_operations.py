from __future__ import annotations

import dataclasses

import pytest

from tke_provider.domain.operations import Operation

OPERATION = Operation("ci_cd", "manual__2026-03-02T10:00:00+00:00", "production.deploy_shop", generation=2)


def test_a_retry_is_the_same_operation():
    assert dataclasses.replace(OPERATION).id == OPERATION.id


@pytest.mark.parametrize(
    "other", [{"run_id": "other"}, {"task_id": "other"}, {"dag_id": "other"}, {"map_index": 3}, {"generation": 4}]
)
def test_anything_else_is_another(other):
    assert dataclasses.replace(OPERATION, **other).id != OPERATION.id


def test_a_person_can_read_which_task_it_was():
    assert OPERATION.id.startswith("ci_cd.production.deploy_shop.")


def test_what_a_killed_try_left_behind_is_known_after_a_clear_and_to_no_other_run():
    assert dataclasses.replace(OPERATION, generation=4).lasting_id == OPERATION.lasting_id
    assert dataclasses.replace(OPERATION, run_id="other").lasting_id != OPERATION.lasting_id
