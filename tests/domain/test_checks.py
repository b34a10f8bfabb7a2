from __future__ import annotations

import pytest

from tke_provider.domain.checks import Report, judge, read_junit
from tke_provider.domain.verdicts import State

PYTEST = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="5">
<testcase classname="tests.test_web" name="test_green" time="0.1"/>
<testcase classname="tests.test_web" name="test_printing"><system-out>hello</system-out></testcase>
<testcase classname="tests.test_web" name="test_red"><failure message="assert 1 == 2">long
trace</failure></testcase>
<testcase classname="tests.test_web" name="test_broken"><error message="fixture 'db'&#10; not found"/></testcase>
<testcase classname="tests.test_web" name="test_later"><skipped message="one day"/></testcase>
</testsuite></testsuites>"""
# One suite as root and suites in suites, as Maven, Gradle and Jest write them; the message is the element's text.
NESTED = b"""<testsuite name="all"><testsuite><testcase name="deep"><failure>boom</failure></testcase></testsuite>
<testcase classname="Top" name="level"/></testsuite>"""


def green(count: int, skipped: int = 0) -> Report:
    return Report({"tests": count, "failures": 0, "errors": 0, "skipped": skipped, "quarantined": 0})


def test_each_test_counts_once_under_its_worst_result():
    report = read_junit(PYTEST)
    assert report
    assert report.counts == {"tests": 5, "failures": 1, "errors": 1, "skipped": 1, "quarantined": 0}
    assert [name for name, _ in report.failing] == ["tests.test_web::test_red", "tests.test_web::test_broken"]


def test_a_case_that_failed_and_then_broke_in_its_teardown_counts_as_an_error():
    report = read_junit(
        b"<testsuite><testcase name='t'><failure message='a'/><error message='b'/></testcase></testsuite>"
    )
    assert report == Report({"tests": 1, "failures": 0, "errors": 1, "skipped": 0, "quarantined": 0}, (("t", "b"),))


def test_suites_are_read_however_deep():
    report = read_junit(NESTED)
    assert report == Report(
        {"tests": 2, "failures": 1, "errors": 0, "skipped": 0, "quarantined": 0}, (("deep", "boom"),)
    )


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"not xml",
        b"<html/>",
        PYTEST[:300],
        b"\xff\xfe<\0t\0",
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><testsuite><testcase name="&e;"/></testsuite>',
    ],
    ids=["empty", "text", "html", "cut off", "utf-16", "entities"],
)
def test_what_is_no_report_is_not_read(document):
    assert read_junit(document) is None


def test_a_web_page_in_a_tests_output_is_no_document_type():
    page = (
        b"<testsuite><testcase name='t'><system-out><![CDATA[<!DOCTYPE html><!ENTITY x 'y'>]]></system-out></testcase>"
    )
    report = read_junit(page + b"</testsuite>")
    assert report
    assert report.counts["tests"] == 1


def test_a_report_of_endless_depth_is_not_read():
    assert read_junit(b"<testsuite>" * 100_000 + b"</testsuite>" * 100_000) is None


def test_a_failing_test_fails_whatever_the_exit_code_and_is_named_with_its_message():
    for exit_code in (0, 1, 137):
        verdict = judge(read_junit(PYTEST), exit_code)
        assert verdict.state is State.FAILED
        assert verdict.reason == (
            "2 of 5 tests failed: tests.test_web::test_red (assert 1 == 2),"
            " tests.test_web::test_broken (fixture 'db' not found)"
        )


def test_of_many_failures_the_first_are_named_and_the_rest_counted():
    failing = tuple((f"test_{number}", "x" * 1000) for number in range(9))
    reason = judge(Report({"tests": 9, "failures": 9, "errors": 0, "skipped": 0, "quarantined": 0}, failing), 1).reason
    assert reason.endswith(" and 6 more")
    assert len(reason) < 1000


@pytest.mark.parametrize(
    ("report", "exit_code", "state", "reason"),
    [
        (green(3), 0, State.PASSED, "3 tests passed"),
        (green(3, skipped=1), 0, State.PASSED, "2 tests passed, 1 skipped"),
        (green(3), 1, State.FAILED, "all 3 tests passed, but the command ended with exit code 1"),
        (green(3), 137, State.INCONCLUSIVE, "killed by signal 9"),
        (green(0), 5, State.INCONCLUSIVE, "no test ran"),
        (green(2, skipped=2), 0, State.INCONCLUSIVE, "no test ran"),
        (None, 0, State.INCONCLUSIVE, "no readable JUnit report"),
        (None, 127, State.INCONCLUSIVE, "exit code 127"),
    ],
)
def test_only_tests_that_ran_and_a_command_that_ended_well_make_a_pass(report, exit_code, state, reason):
    verdict = judge(report, exit_code)
    assert verdict.state is state
    assert reason in verdict.reason
