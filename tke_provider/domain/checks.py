"""Checks: what a test report says about an image."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypedDict

from tke_provider.domain.phrases import some
from tke_provider.domain.reports import root_of
from tke_provider.domain.verdicts import Verdict, failed, inconclusive, passed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from junitparser import TestCase

_SHOWN_FAILURES = 3
_SHOWN_CHARACTERS = 200
# 128 and the signal's number is how a shell, and the engine, say that a process was killed.
_KILLED = 128
# What pytest, Maven, Gradle, Jest and go test say when tests failed, and when nothing else is wrong.
_TESTS_FAILED = 1


class Counts(TypedDict):
    """How many tests ended how. A test counts once, under the worst of its results.

    ``quarantined`` are those of ``failures`` and ``errors`` that do not count against the image.
    """

    tests: int
    failures: int
    errors: int
    skipped: int
    quarantined: int


class Check(TypedDict):
    """A check as it lies in XCom.

    :param verdict: a :class:`~tke_provider.domain.verdicts.State`.
    :param reason: one sentence.
    :param image: what was checked, as ``repository@digest``; empty where a running service was asked that named none.
    :param reports: the folder that keeps the whole reports; empty where none does.
    """

    verdict: str
    counts: Counts
    reason: str
    image: str
    reports: str


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """A test report, read.

    :param counts: how many tests ended how.
    :param failing: name and message of each test that failed or broke, in the report's order.
    :param quarantined: those that failed too and do not count: their names, and why they are in quarantine.
    """

    counts: Counts
    failing: tuple[tuple[str, str], ...] = ()
    quarantined: tuple[tuple[str, str], ...] = ()


def no_tests() -> Counts:
    """Return the counts of a check that ran none."""
    return {"tests": 0, "failures": 0, "errors": 0, "skipped": 0, "quarantined": 0}


def without_tests(verdict: Verdict, image: str) -> Check:
    """Return the check of something that runs no tests of its own."""
    return {
        "verdict": verdict.state.value,
        "counts": no_tests(),
        "reason": verdict.reason,
        "image": image,
        "reports": "",
    }


def read_junit(document: bytes) -> Report | None:
    """Read a JUnit report of any dialect; None when it is none."""
    from junitparser import JUnitXml

    if b"\0" in document or root_of(document) is None:
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
        "quarantined": 0,
    }
    failing = [(_name(case), message) for case, (kind, message) in results if kind in {"failure", "error"}]
    return Report(counts, tuple(failing))


def judge(report: Report | None, exit_code: int) -> Verdict:
    """Decide what a report and its command's exit code say together; only both together can say *passed*.

    * A failing test is a *failed*, whatever the exit code, unless it is in quarantine.
    * No report, or none of its tests passed or failed: *inconclusive*; nothing was tested.
    * All green, and the command was killed (128 and over): *inconclusive*; the rest of the tests may be missing.
    * All green, and the command ended with another code than 0: *failed*; something beside the tests says no,
      such as a threshold for coverage. Where tests in quarantine failed, 1 is what they make of the exit code.
    """
    if report is None:
        return inconclusive(f"the command left no readable JUnit report and ended with exit code {exit_code}")
    counts = report.counts
    if report.failing:
        return failed(f"{len(report.failing)} of {counts['tests']} tests failed: {_digest(report)}")
    good = counts["tests"] - counts["skipped"] - counts["quarantined"]
    if good <= 0:
        return inconclusive(f"no test {'ran' if not counts['quarantined'] else 'passed'}: {_said(counts, exit_code)}")
    if exit_code >= _KILLED:
        return inconclusive(f"the command was killed by signal {exit_code - _KILLED} after {counts['tests']} tests")
    if exit_code and not (report.quarantined and exit_code == _TESTS_FAILED):
        tests = f"all {good} tests{' that count' if report.quarantined else ''}"
        return failed(f"{tests} passed, but the command ended with exit code {exit_code}")
    return passed(f"{good} tests passed{_aside(report)}")


def _said(counts: Counts, exit_code: int) -> str:
    aside = f", {counts['quarantined']} of them failed in quarantine" if counts["quarantined"] else ""
    return f"the report has {counts['tests']} tests, {counts['skipped']} of them skipped{aside} (exit code {exit_code})"


def _aside(report: Report) -> str:
    """Say what a pass leaves out: a pass that hides something is none."""
    skipped = f", {report.counts['skipped']} skipped" if report.counts["skipped"] else ""
    if not report.quarantined:
        return skipped
    names = [_short(name) for name, _ in report.quarantined]
    return f"{skipped}, {len(names)} failed in quarantine ({some(names, _SHOWN_FAILURES)})"


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
    failing = ((_short(name), _short(message)) for name, message in report.failing)
    return some([f"{name} ({message})" if message else name for name, message in failing], _SHOWN_FAILURES)


def _short(text: str) -> str:
    return " ".join(text.split())[:_SHOWN_CHARACTERS]
