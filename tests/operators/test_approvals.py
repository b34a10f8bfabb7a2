from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import TaskAwaitingInput

from tests.domain.test_approvals import IMAGE, check
from tests.operators.test_freezes import freeze
from tke_provider.domain.approvals import OVERRIDE
from tke_provider.operators.approvals import TkeApprovalOperator

ANSWERED = datetime(2026, 1, 1, tzinfo=timezone.utc)


def approval(**more) -> TkeApprovalOperator:
    return TkeApprovalOperator(task_id="approval", subject="Release to production?", **more)


def event(choice: str = "Approve", user: dict | None = None, **params) -> dict:
    user = {"id": "7", "name": "bob"} if user is None else user
    return {
        "chosen_options": [choice], "params_input": params, "responded_at": ANSWERED, "responded_by_user": user or None,
    }  # fmt: skip


@pytest.fixture
def asked(monkeypatch) -> dict:
    """What a person is shown. The API server, to which Airflow hands it, runs in the end-to-end tests only."""
    shown = {}
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **detail: shown.update(detail))
    return shown


def ask(operator: TkeApprovalOperator) -> TaskAwaitingInput:
    with pytest.raises(TaskAwaitingInput) as waiting:
        operator.execute({"task_instance": SimpleNamespace(id="ti")})
    return waiting.value


def test_nobody_answering_in_four_hours_is_a_rejection(asked):
    waiting = ask(approval())
    assert asked["defaults"] == ["Reject"]
    assert waiting.timeout == timedelta(hours=4)


def test_a_person_sees_what_is_released(asked):
    ask(approval(commit="c" * 40, images={"web": IMAGE}, checks={"unit tests": check()}, note="Look twice."))
    assert IMAGE["digest"] in asked["body"]
    assert "12 tests passed" in asked["body"]
    assert asked["body"].endswith("Look twice.")


def test_a_body_of_ones_own_is_kept(asked):
    ask(approval(body="My words.", commit="c" * 40))
    assert "My words." in asked["body"]
    assert "c" * 40 in asked["body"]


def test_in_a_freeze_the_form_asks_for_a_reason(asked):
    ask(approval(freezes=[freeze(-1, 1)]))
    assert "releases are frozen (stocktaking)" in asked["body"]
    assert list(asked["params"]) == [OVERRIDE]


def test_without_freezes_the_form_has_no_field_for_one(asked):
    ask(approval())
    assert asked["params"] == {}


def test_the_answer_names_the_approver():
    assert approval().execute_complete({}, event()) == {
        "chosen_options": ["Approve"], "params_input": {}, "approver": "bob", "responded_at": ANSWERED.isoformat(),
    }  # fmt: skip


def test_each_part_of_the_answer_can_be_handed_on():
    assert approval().multiple_outputs


def test_an_answer_that_time_gave_has_no_approver():
    answered = approval().execute_complete({}, event("Reject", user={}))
    assert (answered["chosen_options"], answered["approver"]) == (["Reject"], "")


@pytest.mark.parametrize("reason", [None, " "])
def test_approving_in_a_freeze_without_a_reason_fails(reason):
    with pytest.raises(AirflowFailException, match=r"bob approved without a reason, but releases are frozen"):
        approval(freezes=[freeze(-1, 1)]).execute_complete({}, event(**{OVERRIDE: reason}))


def test_approving_in_a_freeze_with_a_reason_passes():
    answered = approval(freezes=[freeze(-1, 1)]).execute_complete({}, event(**{OVERRIDE: "it burns"}))
    assert answered["params_input"] == {OVERRIDE: "it burns"}


def test_rejecting_in_a_freeze_needs_no_reason():
    assert approval(freezes=[freeze(-1, 1)]).execute_complete({}, event("Reject"))["chosen_options"] == ["Reject"]
