from __future__ import annotations

import pytest

from tke_provider.domain.verdicts import State, Verdict, failed, passed, pending


@pytest.mark.parametrize("verdict", [passed("up"), failed("down"), pending("coming")])
def test_a_verdict_survives_the_database(verdict):
    assert Verdict.from_event(verdict.as_event()) == verdict


@pytest.mark.parametrize("event", [None, {}, {"state": "passed"}, {"state": "success", "reason": ""}, "passed", []])
def test_a_malformed_event_is_never_a_pass(event):
    assert Verdict.from_event(event).state is State.INCONCLUSIVE


def test_only_pending_may_change():
    assert [state for state in State if not Verdict(state, "").final] == [State.PENDING]
