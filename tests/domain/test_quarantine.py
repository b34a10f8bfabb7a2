from __future__ import annotations

import datetime as dt

import pytest

from tke_provider.domain.checks import Report, judge
from tke_provider.domain.quarantine import apply, read
from tke_provider.domain.verdicts import State
from tke_provider.exceptions import InputError

TODAY = dt.date(2026, 3, 2)


def entry(test: str = "web::slow", until: object = "2026-03-02", reason: str = "TICKET-7") -> dict:
    return {"test": test, "reason": reason, "until": until}


def red(*names: str, tests: int = 9) -> Report:
    counts = {"tests": tests, "failures": len(names), "errors": 0, "skipped": 0, "quarantined": 0}
    return Report(counts, tuple((name, "no") for name in names))


def applied(report: Report, *entries: dict) -> Report:
    return apply(report, read(list(entries)), TODAY)


def test_a_test_in_quarantine_fails_without_failing_the_gate_and_is_named():
    report = applied(red("web::slow"), entry())
    assert report.quarantined == (("web::slow", "TICKET-7, until 2026-03-02"),)
    assert report.counts["quarantined"] == 1
    verdict = judge(report, 1)
    assert verdict.state is State.PASSED
    assert verdict.reason == "8 tests passed, 1 failed in quarantine (web::slow)"


def test_any_other_failure_beside_it_counts():
    verdict = judge(applied(red("web::slow", "web::quick"), entry()), 1)
    assert verdict.state is State.FAILED
    assert "1 of 9 tests failed: web::quick" in verdict.reason


def test_after_its_last_day_it_counts_again_and_says_so():
    verdict = judge(applied(red("web::slow"), entry(until="2026-03-01")), 1)
    assert verdict.state is State.FAILED
    assert "web::slow (its quarantine ended on 2026-03-01; no)" in verdict.reason


def test_a_renewed_quarantine_beats_the_one_that_ended():
    report = applied(red("web::slow"), entry(until="2026-03-01"), entry(until="2026-04-01"))
    assert report.failing == ()


@pytest.mark.parametrize(
    ("pattern", "name", "held"),
    [
        ("web::slow", "web::slow", True),
        ("web::slow", "web::slow_too", False),
        ("web::*", "web::slow", True),
        ("*::slow[*]", "web::slow[a-1]", True),
        ("web::slow[a-1]", "web::slow[a-1]", True),
        ("web::slow[a-1]", "web::slowa", False),
        ("web.slow", "web:slow", False),
    ],
)
def test_a_star_is_any_text_and_everything_else_itself(pattern, name, held):
    assert (applied(red(name), entry(pattern)).failing == ()) is held


def test_a_quarantine_excuses_no_crash_and_no_other_exit_code():
    report = applied(red("web::slow"), entry())
    assert judge(report, 137).state is State.INCONCLUSIVE
    verdict = judge(report, 2)
    assert verdict.state is State.FAILED
    assert "all 8 tests that count passed, but the command ended with exit code 2" in verdict.reason


def test_where_nothing_but_the_quarantine_ran_nothing_was_tested():
    verdict = judge(applied(red("web::slow", tests=1), entry()), 1)
    assert verdict.state is State.INCONCLUSIVE
    assert "no test passed" in verdict.reason


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("web::slow", "quarantine is a str"),
        ([{"test": "web::slow"}], "is not whole"),
        ([{**entry(), "owner": "me"}], "is not whole"),
        ([entry(reason="")], "is not whole"),
        ([entry(until="soon")], "The quarantine of web::slow has no date"),
        ([entry("*")], "means every test"),
        ([entry("*::*")], "means every test"),
        ([7], "is not whole"),
    ],
)
def test_an_entry_has_a_name_a_reason_and_an_end(given, message):
    with pytest.raises(InputError, match=message):
        read(given)


def test_no_list_is_an_empty_one_and_a_date_may_be_one():
    assert read(None) == read([]) == ()
    assert read([entry(until=TODAY)])[0].until == TODAY
