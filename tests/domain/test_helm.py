from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tke_provider.domain.helm import (
    Chart,
    HelmChange,
    HelmRelease,
    HelmRevision,
    assess,
    assess_absence,
    is_rollback,
    read_values,
    revision_before,
    same_values,
)
from tke_provider.domain.verdicts import State
from tke_provider.exceptions import InputError


def release(revision: int, status: str = "deployed", chart: str = "web-1.0.0", description: str = "") -> HelmRelease:
    return HelmRelease(revision, status, chart, description)


def change(status: str, condition: str = "") -> HelmChange:
    return HelmChange("id", status, condition)


@pytest.mark.parametrize(
    ("found", "under_way", "state", "reason"),
    [
        (release(3), None, State.PASSED, "revision 3 (web-1.0.0) is deployed"),
        (release(2), None, State.PENDING, "not there yet"),
        (None, change("pending-install"), State.PENDING, "pending-install"),
        (release(3, "pending-upgrade"), change("pending-upgrade"), State.PENDING, "pending-upgrade"),
        (release(3, "failed", description="no such field"), None, State.FAILED, "no such field"),
        (release(3, "failed"), None, State.FAILED, "no reason"),
        (release(2), change("failed", "upgrade release error: no"), State.FAILED, "upgrade release error: no"),
        (None, change("failed"), State.FAILED, "no reason"),
        (release(3, "some new word"), None, State.PENDING, "some new word"),
    ],
)
def test_a_release_is_there_when_its_newer_revision_is_deployed(found, under_way, state, reason):
    verdict = assess(found, under_way, after=2)
    assert verdict.state is state
    assert reason in verdict.reason


@given(st.integers(0, 9), st.text(), st.integers(0, 9))
def test_nothing_but_a_deployed_newer_revision_passes(revision, status, after):
    passed = assess(release(revision, status), None, after).state is State.PASSED
    assert passed == (status == "deployed" and revision > after)


@pytest.mark.parametrize(
    ("found", "under_way", "state"),
    [
        (None, None, State.PASSED),
        (release(1), None, State.PENDING),
        (None, change("pending-uninstall"), State.PENDING),
        (release(1), change("failed", "no"), State.FAILED),
    ],
)
def test_a_release_is_gone_when_nothing_tells_of_it(found, under_way, state):
    assert assess_absence(found, under_way).state is state


def history(*statuses: str) -> list[HelmRevision]:
    return [HelmRevision(number, status, "") for number, status in enumerate(statuses, 1)]


def test_the_way_back_leads_to_what_once_was_deployed():
    assert revision_before(history("superseded", "failed", "deployed"), 3) == 1
    assert revision_before(history("failed", "failed"), 2) is None
    assert revision_before(history("deployed", "failed"), 2) == 1


def test_a_rollback_is_known_by_helms_words():
    back = [*history("superseded", "superseded"), HelmRevision(3, "deployed", "Rollback to 1")]
    assert is_rollback(back, 3)
    assert is_rollback(back, 3, 1)
    assert not is_rollback(back, 3, 2)
    assert not is_rollback(back, 2)


@pytest.mark.parametrize(
    ("chart", "is_it"),
    [
        (Chart("https://charts.example/web-1.0.0.tgz"), True),
        (Chart("https://charts.example/web-1.0.1.tgz"), False),
        (Chart("https://charts.example/newest.tgz"), False),
        (Chart("web", "https://charts.example", "1.0.0"), True),
        (Chart("web", "https://charts.example"), False),
        (Chart("web", "https://charts.example", "1.0"), False),
    ],
)
def test_a_release_is_of_a_chart_only_for_certain(chart, is_it):
    chart.check()
    assert chart.is_in(release(1)) is is_it


@pytest.mark.parametrize(
    ("chart", "problem"),
    [
        (Chart("https://charts.example/web"), "no URL of a .tgz"),
        (Chart("web"), "in no repository"),
        (Chart("web", "https://charts.example", market_namespace="helm-public"), "in two"),
    ],
)
def test_a_chart_that_nobody_could_find_is_refused(chart, problem):
    with pytest.raises(InputError, match=problem):
        chart.check()


def test_the_market_is_asked_only_for_its_own():
    assert Chart("redis", market_namespace="helm-public", version="10.5.3").parameters == {
        "Chart": "redis",
        "ChartFrom": "tke-market",
        "ChartNamespace": "helm-public",
        "ChartVersion": "10.5.3",
    }


def test_values_are_a_mapping_or_yaml():
    assert read_values("replicas: 2") == read_values({"replicas": 2}) == {"replicas": 2}
    assert read_values(None) == read_values("") == {}
    for wrong in ("- 1", "a: [", [1]):
        with pytest.raises(InputError):
            read_values(wrong)


def test_values_are_the_same_in_any_form_that_is_yaml():
    assert same_values({"a": {"b": 1}, "c": 2}, '{"c": 2, "a": {"b": 1}}')
    assert same_values({"a": 1}, "a: 1")
    assert not same_values({"a": 1}, "a=1")
    assert not same_values({"a": 1}, "")
    assert same_values({}, "a: 1")
