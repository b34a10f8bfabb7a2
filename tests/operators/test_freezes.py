from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tke_provider.domain.approvals import OVERRIDE
from tke_provider.domain.freezes import Freeze
from tke_provider.exceptions import InputError
from tke_provider.operators.freezes import TkeFreezeWindowOperator

NOW = datetime.now(timezone.utc).replace(tzinfo=None)


def freeze(start: float, end: float) -> Freeze:
    """A freeze in so many hours from now."""
    begins, ends = ((NOW + timedelta(hours=hours)).isoformat() for hours in (start, end))
    return Freeze(name="stocktaking", zone="UTC", start=begins, end=ends)


def answer(reason: str | None = None, choice: str = "Approve", approver: str = "bob") -> dict:
    return {
        "chosen_options": [choice], "params_input": {OVERRIDE: reason}, "approver": approver, "responded_at": "",
    }  # fmt: skip


def gate(*freezes: Freeze, **more) -> TkeFreezeWindowOperator:
    return TkeFreezeWindowOperator(task_id="not_frozen", freezes=freezes, **more)


def test_a_release_passes_outside_of_freezes():
    assert gate(freeze(-2, -1), freeze(1, 2)).execute({}) == {"freeze": "", "approver": "", "reason": ""}


@pytest.mark.parametrize(
    "approval",
    [None, answer(), answer("  "), answer("it burns", "Reject"), answer("it burns", approver="")],
    ids=["nobody asked", "no reason", "a blank reason", "a rejection", "nobody answered"],
)
def test_a_release_in_a_freeze_is_refused_with_its_name_and_end(approval):
    with pytest.raises(
        AirflowFailException, match=r"releases are frozen \(stocktaking\) until \d{4}-.* UTC; release then"
    ):
        gate(freeze(-1, 1), approval=approval).execute({})


def test_an_approver_with_a_reason_releases_all_the_same():
    assert gate(freeze(-1, 1), approval=answer("it burns")).execute({}) == {
        "freeze": "stocktaking", "approver": "bob", "reason": "it burns",
    }  # fmt: skip


def test_a_release_that_waits_is_resumed_at_the_end_and_looks_again():
    frozen = freeze(-1, 1)
    with pytest.raises(TaskDeferred) as deferred:
        gate(frozen, on_freeze="wait").execute({})
    assert deferred.value.trigger.moment.replace(tzinfo=None) == frozen.span().end
    assert deferred.value.method_name == "execute"
    assert gate(freeze(-2, -1), on_freeze="wait").execute({}, event=frozen.span().end)["freeze"] == ""


def test_a_misspelt_choice_is_refused_when_the_dag_is_parsed():
    with pytest.raises(InputError, match="'refuse', 'wait'"):
        gate(on_freeze="skip")
