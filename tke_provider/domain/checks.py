"""Checks: what a test report, or the answer of a service, says about an image."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, TypedDict

from tke_provider.domain.verdicts import Verdict, failed, inconclusive, passed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from junitparser import TestCase

_SHOWN_FAILURES = 3
_SHOWN_CHARACTERS = 200
# 128 and the signal's number is how a shell, and the engine, say that a process was killed.
_KILLED = 128
_ABSENT = object()


class Counts(TypedDict):
    """How many tests ended how. A test counts once, under the worst of its results."""

    tests: int
    failures: int
    errors: int
    skipped: int


class Check(TypedDict):
    """A check as it lies in XCom.

    ``verdict`` is a :class:`~tke_provider.domain.verdicts.State`, ``reason`` one sentence, ``image`` the image that
    was checked as ``repository@digest``, empty where the check was of a running service that named none.
    """

    verdict: str
    counts: Counts
    reason: str
    image: str


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """A test report, read.

    :param counts: how many tests ended how.
    :param failing: name and message of each test that failed or broke, in the report's order.
    """

    counts: Counts
    failing: tuple[tuple[str, str], ...] = ()


def no_tests() -> Counts:
    """Return the counts of a check that ran none."""
    return {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}


def read_junit(document: bytes) -> Report | None:
    """Read a JUnit report of any dialect; None when it is none.

    A report is written by the code under test. A document type is not part of any JUnit dialect and is what XML
    attacks are made of, so a report that has one is not read.
    """
    from junitparser import JUnitXml

    if b"<!DOCTYPE" in document or b"\0" in document:
        return None
    try:
        document.decode()
        cases = list(_cases(JUnitXml.fromstring(document)))
    except Exception:  # noqa: BLE001  # the library lets each XML parser's own errors through, and its own
        return None
    results = [(case, _result(case)) for case in cases]
    kinds = [kind for _, (kind, _) in results]
    counts: Counts = {
        "tests": len(cases),
        "failures": kinds.count("failure"),
        "errors": kinds.count("error"),
        "skipped": kinds.count("skipped"),
    }
    failing = [(_name(case), message) for case, (kind, message) in results if kind in {"failure", "error"}]
    return Report(counts, tuple(failing))


def judge(report: Report | None, exit_code: int) -> Verdict:
    """Decide what a report and its command's exit code say together; only both together can say *passed*.

    * A failing test is a *failed*, whatever the exit code.
    * No report, or none of its tests ran: *inconclusive*; nothing was tested.
    * All green, and the command was killed (128 and over): *inconclusive*; the rest of the tests may be missing.
    * All green, and the command ended with another code than 0: *failed*; something beside the tests says no,
      such as a threshold for coverage.
    """
    if report is None:
        return inconclusive(f"the command left no readable JUnit report and ended with exit code {exit_code}")
    counts = report.counts
    if report.failing:
        return failed(f"{len(report.failing)} of {counts['tests']} tests failed: {_digest(report)}")
    if counts["tests"] <= counts["skipped"]:
        return inconclusive(
            f"no test ran: the report has {counts['tests']} tests, {counts['skipped']} of them skipped"
            f" (exit code {exit_code})"
        )
    if exit_code >= _KILLED:
        return inconclusive(f"the command was killed by signal {exit_code - _KILLED} after {counts['tests']} tests")
    if exit_code:
        return failed(f"all {counts['tests']} tests passed, but the command ended with exit code {exit_code}")
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    return passed(f"{counts['tests'] - counts['skipped']} tests passed{skipped}")


def _cases(report: Iterable[Any]) -> Iterator[TestCase]:
    """Yield the cases of a report; its suites yield those of the suites in them."""
    from junitparser import TestCase

    for child in report:
        if isinstance(child, TestCase):
            yield child
        else:
            yield from _cases(child)


def _result(case: TestCase) -> tuple[str, str]:
    """Return the worst result of a case, and its message."""
    found = {type(result).__name__.lower(): result for result in case.result}
    for kind in ("error", "failure", "skipped"):
        if kind in found:
            return kind, found[kind].message or found[kind].text or ""
    return "passed", ""


def _name(case: TestCase) -> str:
    return "::".join(part for part in (case.classname, case.name) if part) or "a test without a name"


def _digest(report: Report) -> str:
    shown = [f"{name} ({_short(message)})" if message else name for name, message in report.failing[:_SHOWN_FAILURES]]
    more = len(report.failing) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def compare(
    status: int, body: str, expected_status: int, contains: str | None, expect_json: Mapping[str, Any] | None
) -> str:
    """Return what is wrong with a service's answer, empty when nothing is.

    :param contains: text that the body has to have.
    :param expect_json: what the body's JSON object has to have at its top level; it may have more.
    """
    seen = f"{status}: {_short(body)}" if body.strip() else f"{status} with an empty body"
    if status != expected_status:
        return f"{seen}, and not with {expected_status}"
    if contains is not None and contains not in body:
        return f"{seen}, without {contains!r}"
    for name, value in (expect_json or {}).items():
        found = _member(body, name)
        if found != value:
            return f"{seen}, where {name} is not {value!r}"
    return ""


def _member(body: str, name: str) -> object:
    try:
        return json.loads(body)[name]
    except (ValueError, KeyError, TypeError, IndexError):
        return _ABSENT


def _short(text: str) -> str:
    return " ".join(text.split())[:_SHOWN_CHARACTERS]
