from __future__ import annotations

import math

import pytest

from tke_provider.domain.metrics import Gate, Reading, fill, judge, tally, worst
from tke_provider.domain.verdicts import State, Verdict, failed, inconclusive, passed
from tke_provider.exceptions import InputError


def gate(**more: object) -> Gate:
    return Gate(**{"name": "error rate", "query": "errors", **more})


@pytest.mark.parametrize(
    ("bounds", "value", "state"),
    [
        ({"at_most": 0.05}, 0.05, State.PASSED),
        ({"at_most": 0.05}, 0.051, State.FAILED),
        ({"at_least": 2}, 2, State.PASSED),
        ({"at_least": 2}, 1.9, State.FAILED),
        ({"at_most": 0.05, "at_least": 0.01}, 0.001, State.FAILED),
    ],
)
def test_a_fixed_bound_belongs_to_the_good_values(bounds, value, state):
    assert judge(gate(**bounds), Reading(value)).state is state


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("bounds", [{"at_most": 1}, {"at_least": 1}, {"at_most_times_baseline": 1}])
def test_what_is_no_number_is_never_a_pass_nor_a_failure(bounds, value):
    verdict = judge(gate(**bounds), Reading(value), Reading(1.0))
    assert verdict.state is State.INCONCLUSIVE
    assert "error rate" in verdict.reason


@pytest.mark.parametrize("samples", [None, 0, 99.9, math.nan])
def test_too_few_samples_say_nothing(samples):
    verdict = judge(gate(at_most=0.05, samples="requests", min_samples=100), Reading(0.0, samples))
    assert verdict.state is State.INCONCLUSIVE
    assert verdict.reason.endswith("samples, and 100 are needed")


def test_too_few_samples_of_the_old_version_say_nothing_either():
    compared = gate(at_most_times_baseline=2, samples="requests", min_samples=100)
    assert judge(compared, Reading(0.1, 100), Reading(0.1, 99)).state is State.INCONCLUSIVE
    assert judge(compared, Reading(0.1, 100), Reading(0.1, 100)).state is State.PASSED


@pytest.mark.parametrize(
    ("bounds", "new", "old", "state"),
    [
        ({"at_most_times_baseline": 1.5}, 0.3, 0.2, State.PASSED),
        ({"at_most_times_baseline": 1.5}, 0.31, 0.2, State.FAILED),
        ({"at_least_times_baseline": 0.9}, 90, 100, State.PASSED),
        ({"at_least_times_baseline": 0.9}, 89, 100, State.FAILED),
        ({"at_most_times_baseline": 2}, 0.001, 0.0, State.FAILED),
        ({"at_most_times_baseline": 2, "slack": 0.001}, 0.001, 0.0, State.PASSED),
        ({"at_least_times_baseline": 1, "slack": 5}, 95, 100, State.PASSED),
        ({"at_most_times_baseline": 2, "at_most": 0.1}, 0.15, 0.1, State.FAILED),
    ],
)
def test_the_old_version_sets_the_bound(bounds, new, old, state):
    assert judge(gate(**bounds), Reading(new), Reading(old)).state is state


@pytest.mark.parametrize("old", [None, Reading(None), Reading(math.nan)])
def test_without_the_old_version_a_comparison_says_nothing(old):
    assert judge(gate(at_most_times_baseline=2, at_most=1), Reading(0.1), old).state is State.INCONCLUSIVE


def test_what_breaks_a_fixed_bound_fails_whatever_is_known_of_the_old_version():
    assert judge(gate(at_most_times_baseline=2, at_most=1), Reading(1.1), None).state is State.FAILED


def test_a_verdict_says_the_values():
    compared = gate(at_most=0.9, at_most_times_baseline=2, slack=0.01)
    assert judge(compared, Reading(0.31), Reading(0.1)) == failed(
        "error rate of the new version is 0.31, above the 0.21 that the old version's 0.1 allows"
    )
    assert judge(compared, Reading(1.0), Reading(0.1)).reason.endswith("is 1, above the 0.9 allowed")
    assert judge(compared, Reading(0.2), Reading(0.1)) == passed(
        "error rate of the new version is 0.2, beside 0.1 of the old one"
    )


def test_of_several_gates_the_worst_counts():
    good, silent, bad = passed("good"), inconclusive("silent"), failed("bad")
    assert worst([good, silent, bad, failed("worse")]) == failed("bad; worse")
    assert worst([good, silent]) == silent
    assert worst([good, good]) == passed("good; good")
    assert worst([]).state is State.INCONCLUSIVE


GOOD, SILENT, BAD = passed("it is 1"), inconclusive("there is none"), failed("it is 9")


@pytest.mark.parametrize(
    ("verdicts", "looks", "max_failed", "wait", "state", "reason"),
    [
        ([], 2, 0, False, State.PENDING, "0 of 2 looks are done"),
        ([GOOD], 2, 0, False, State.PENDING, "1 of 2 looks are done, it is 1"),
        ([GOOD, GOOD], 2, 0, False, State.PASSED, "2 of 2 looks were good, it is 1"),
        ([GOOD, BAD], 3, 0, False, State.FAILED, "1 of 2 looks failed, the last because it is 9"),
        ([BAD], 3, 1, False, State.PENDING, "1 of 3 looks are done, it is 9"),
        ([BAD, GOOD, GOOD], 3, 1, False, State.PASSED, "2 of 3 looks were good, it is 1"),
        ([BAD, GOOD, BAD], 3, 1, False, State.FAILED, "2 of 3 looks failed, the last because it is 9"),
        ([GOOD, SILENT], 3, 0, False, State.INCONCLUSIVE, "look 2 of 3 says nothing: there is none"),
        ([GOOD, SILENT], 2, 0, True, State.PENDING, "1 of 2 looks are done, there is none"),
        ([GOOD, SILENT, GOOD], 2, 0, True, State.PASSED, "2 of 2 looks were good, it is 1"),
        ([SILENT] * 9, 1, 0, True, State.PENDING, "0 of 1 looks are done, there is none"),
        ([SILENT, BAD], 2, 0, True, State.FAILED, "1 of 1 looks failed, the last because it is 9"),
    ],
)
def test_looks_are_counted(verdicts, looks, max_failed, wait, state, reason):
    assert tally(verdicts, looks, max_failed, wait=wait) == Verdict(state, reason)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "give at least one of at_most, at_least"),
        ({"name": " ", "at_most": 1}, "name it as in a sentence"),
        ({"at_most": math.nan}, "at_most of gate error rate is nan"),
        ({"at_most": "little"}, "at_most of gate error rate is 'little'"),
        ({"at_most": True}, "is True"),
        ({"at_most": 1, "baseline": "b"}, "or give a bound that refers to it"),
        ({"at_most": 1, "min_samples": 5}, "give min_samples a query for samples"),
        (
            {"at_most": 1, "samples": {"namespace": "n", "metric": "m", "dimensions": {}}},
            "either Prometheus or Tencent",
        ),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(given, words):
    with pytest.raises(InputError, match=words):
        gate(**given)


CLOUD = {"namespace": "QCE/TKE2", "metric": "K8sWorkloadCpuCoreUsed", "dimensions": {"workload_name": "web"}}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (" ", "asks nothing"),
        (7, "asks nothing"),
        ({**CLOUD, "statistics": "avg"}, "does not know, statistics"),
        ({"metric": "m"}, "lacks, or does not know, dimensions, namespace"),
        ({**CLOUD, "dimensions": "web"}, "lacks, or does not know, dimensions"),
        ({**CLOUD, "statistic": "p99"}, "statistic is 'p99'; write one of avg"),
    ],
)
def test_a_query_that_nobody_could_answer_is_refused(query, words):
    with pytest.raises(InputError, match=words):
        gate(query=query, at_most=1)


def test_the_cloud_is_asked_in_a_plain_form_too():
    assert gate(query={**CLOUD, "window": 600, "statistic": "max"}, at_most=1).as_dict()["query"]["window"] == 600


def test_the_plain_form_makes_an_equal_gate():
    original = gate(at_most="0.05", at_most_times_baseline=1.5, samples="requests", min_samples=10)
    assert Gate.parse(original.as_dict()) == original
    assert original.as_dict()["at_most"] == 0.05
    assert "slack" not in original.as_dict()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "a", "query": "q", "at_mots": 1}, "A gate has no at_mots"),
        ({"name": "a", "at_most": 1}, "lacks query"),
        ({"at_most": 1}, "lacks name and query"),
    ],
)
def test_a_misspelt_gate_is_refused(given, words):
    with pytest.raises(InputError, match=words):
        Gate.parse(given)


def test_words_are_filled_in_and_selectors_are_left_alone():
    query = 'sum(rate(requests_total{app="{service}",code=~"5.{2}",pod=~"{pods}"}[1m])) / on() group(up{})'
    filled = fill(query, {"service": "web", "pods": "web-[a-z0-9]{5}"})
    assert filled == (
        'sum(rate(requests_total{app="web",code=~"5.{2}",pod=~"web-[a-z0-9]{5}"}[1m])) / on() group(up{})'
    )


def test_words_are_filled_into_dimensions():
    query = {"namespace": "QCE/TKE2", "metric": "m", "dimensions": {"workload_name": "{service}"}, "window": 60}
    assert fill(query, {"service": "web"}) == {**query, "dimensions": {"workload_name": "web"}}


def test_a_word_that_nobody_fills_in_is_named():
    with pytest.raises(InputError, match=r"\{servce\} of a query; the words that are filled in: \{service\}"):
        fill('up{app="{servce}"}', {"service": "web"})


@pytest.mark.parametrize("value", ['web"} or up{a="', "web\\", "web\n"])
def test_a_value_cannot_leave_its_quotes(value):
    with pytest.raises(InputError, match="quote, a backslash or a line break"):
        fill('up{app="{service}"}', {"service": value})
