from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tke_provider.domain.scans import NONE_SEVERE, Scan, check_limits, judge
from tke_provider.domain.verdicts import State
from tke_provider.exceptions import InputError

CLEAN = {"critical": 0, "high": 0, "medium": 3, "low": 9, "virus": 0}


def scan(state: str = "SCANNED", *, viruses: str | None = None, at: str = "today", why: str = "", **found: int) -> Scan:
    return Scan(1, at, state, state if viruses is None else viruses, {**CLEAN, **found}, why)


@pytest.mark.parametrize(
    ("result", "state", "reason"),
    [
        (scan(), State.PASSED, "found 0 critical, 0 high, 0 virus"),
        (scan(high=2), State.FAILED, "2 high where 0 are allowed"),
        (scan(virus=1), State.FAILED, "1 virus where 0"),
        (None, State.INCONCLUSIVE, "does not know"),
        (scan("NOT_SCAN"), State.INCONCLUSIVE, "NOT_SCAN"),
        (scan("SCAN_ERR", why="no licence"), State.INCONCLUSIVE, "no licence"),
        (scan(""), State.INCONCLUSIVE, "says nothing"),
        (scan(viruses="SCAN_ERR"), State.INCONCLUSIVE, "SCAN_ERR"),
        (scan("SCANNING"), State.PENDING, "at work"),
        (
            Scan(1, "today", "SCANNED", "SCANNED", {"critical": 0, "virus": 0}, ""),
            State.INCONCLUSIVE,
            "how many are high",
        ),
    ],
)
def test_only_a_scan_that_ended_and_found_little_passes(result, state, reason):
    verdict = judge(result, NONE_SEVERE)
    assert verdict.state is state
    assert reason in verdict.reason


@given(st.text(), st.text())
def test_no_unknown_word_of_the_scanner_is_a_pass(vulnerabilities, viruses):
    verdict = judge(Scan(1, "", vulnerabilities, viruses, CLEAN, ""), NONE_SEVERE)
    assert (verdict.state is State.PASSED) == (vulnerabilities == viruses == "SCANNED")


def test_what_is_not_limited_is_not_looked_at():
    assert judge(scan(viruses="SCAN_ERR", critical=9), {"high": 0}).state is State.PASSED


def test_what_was_found_before_the_scan_that_was_started_does_not_count():
    assert judge(scan("SCAN_ERR", at="monday"), NONE_SEVERE, scanned_before="monday").state is State.PENDING
    assert judge(scan(at="tuesday"), NONE_SEVERE, scanned_before="monday").state is State.PASSED


@pytest.mark.parametrize("limits", [{}, {"severe": 0}])
def test_limits_that_say_nothing_are_refused(limits):
    with pytest.raises(InputError):
        check_limits(limits)


def test_a_row_that_leaves_counts_out_is_read_without_them():
    row = {"Id": 7, "ScanStatus": "SCANNED", "VirusCnt": 0, "HighLevelVulCnt": None}
    assert Scan.parse(row) == Scan(7, "", "SCANNED", "SCANNED", {"virus": 0}, "")
