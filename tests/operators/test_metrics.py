from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tests.live_cluster import run_of
from tke_provider.exceptions import InconclusiveError, InputError, UnavailableError
from tke_provider.operators.metrics import TkeMetricGateOperator

OF = 'service="{service}",version="{version}"'
ERROR_RATE = (
    f'(sum(rate(requests_total{{{OF},status=~"5.."}}[5m])) or vector(0)) / sum(rate(requests_total{{{OF}}}[5m]))'
)
REQUESTS = f"sum(increase(requests_total{{{OF}}}[5m]))"
FIXED = {"name": "error rate", "query": ERROR_RATE, "at_most": 0.05, "samples": REQUESTS, "min_samples": 100}
COMPARED = {"name": "error rate", "query": ERROR_RATE, "at_most_times_baseline": 1.5, "slack": 0.001}
IMAGE = f"demo.example/shop/web@sha256:{'a' * 64}"


def gate(version: str = "good", *gates: dict, **more: Any) -> TkeMetricGateOperator:
    settings = {"looks": 3, "interval": 0.05, "poll_interval": 0.05, "deferrable": False, **more}
    new = {"service": "shop", "version": version}
    return TkeMetricGateOperator(task_id="gate", gates=list(gates) or [FIXED], new=new, **settings)


def refused(operator: TkeMetricGateOperator) -> str:
    with pytest.raises(AirflowFailException) as caught:
        operator.execute(run_of())
    return str(caught.value)


@pytest.mark.stack
@pytest.mark.usefixtures("prometheus")
def test_good_metrics_let_a_version_go_on():
    assert gate(image=IMAGE).execute(run_of()) == {
        "verdict": "passed",
        "counts": {"tests": 0, "failures": 0, "errors": 0, "skipped": 0, "quarantined": 0},
        "reason": "3 of 3 looks were good, error rate is 0.01",
        "image": IMAGE,
        "reports": "",
    }


@pytest.mark.stack
@pytest.mark.usefixtures("prometheus")
def test_bad_metrics_end_the_task_at_the_first_look_that_is_one_too_many():
    assert refused(gate("bad")) == (
        "The metrics (error rate) are not good: 1 of 1 looks failed, the last because error rate is 0.25, above the"
        " 0.05 allowed; look at what the new version does differently, or at the bound."
    )
    assert "2 of 2 looks failed" in refused(gate("bad", max_failed="1"))


@pytest.mark.stack
@pytest.mark.usefixtures("prometheus")
def test_the_old_version_is_the_measure():
    assert gate("good", COMPARED, old={"version": "bad"}).execute(run_of())["verdict"] == "passed"
    said = refused(gate("bad", COMPARED, old={"version": "good"}))
    assert "error rate of the new version is 0.25, above the 0.016 that the old version's 0.01 allows" in said


@pytest.mark.stack
@pytest.mark.usefixtures("prometheus")
@pytest.mark.parametrize("version", ["quiet", "unknown"])
def test_a_version_that_nobody_asked_for_anything_is_not_taken_for_good(version):
    with pytest.raises(InconclusiveError, match=r"look 1 of 3 says nothing: error rate rests on .* samples"):
        gate(version).execute(run_of())


@pytest.mark.stack
@pytest.mark.usefixtures("prometheus")
def test_data_may_be_waited_for():
    with pytest.raises(InconclusiveError, match="0 of 3 looks are done, there is no error rate"):
        gate("unknown", {**FIXED, "min_samples": 0}, inconclusive="wait", timeout=2).execute(run_of())


@pytest.mark.stack
@pytest.mark.usefixtures("prometheus")
def test_of_several_gates_the_worst_decides():
    queue = {"name": "queue", "query": "sum(queue_length)", "at_most": 100}
    assert "queue is 120, above the 100 allowed" in refused(gate("good", FIXED, queue))


@pytest.mark.stack
@pytest.mark.usefixtures("prometheus")
def test_it_waits_in_the_triggerer_and_what_is_stored_is_the_whole_question():
    operator = gate(deferrable=True, defer_after=0, interval=60)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(run_of())
    path, arguments = deferred.value.trigger.serialize()
    assert path == "tke_provider.triggers.metrics.MetricGateTrigger"
    again = type(deferred.value.trigger)(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)
    assert again.deadline == pytest.approx(again.start + 3 * 60 + 600, abs=5)
    assert "token-of-the-instance" not in json.dumps(arguments)


@pytest.mark.stack
@pytest.mark.usefixtures("prometheus")
@pytest.mark.parametrize(
    ("gates", "words"),
    [
        ([{**FIXED, "query": "sum(rate("}], "bad_data: .*unclosed left parenthesis.*; correct the query"),
        ([{**FIXED, "query": 'up{v="{verson}"}'}], r"Nobody fills in \{verson\}"),
        ([{**FIXED, "at_mots": 1}], "A gate has no at_mots"),
        ([COMPARED], "compares the new version with itself"),
        ([{**FIXED, "query": "requests_total"}], "makes 7 numbers"),
    ],
)
def test_a_gate_that_makes_no_sense_ends_the_task_before_the_first_look(gates, words):
    with pytest.raises(AirflowFailException, match=words):
        gate("good", *gates, interval=3600).execute(run_of())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"looks": 0}, "without looks"),
        ({"looks": "many"}, "looks is 'many'"),
        ({"interval": 0}, "without looks"),
        ({"image": "shop:latest"}, "without a digest"),
        ({"prometheus_conn_id": "nowhere"}, "There is no connection nowhere"),
    ],
)
def test_wrong_input_ends_the_task_at_once(arguments, words):
    assert words in refused(gate(**arguments))


def test_a_gate_needs_a_gate():
    with pytest.raises(AirflowFailException, match="has no gate"):
        TkeMetricGateOperator(task_id="gate", gates=[]).execute(run_of())


def test_a_misspelt_choice_is_refused_when_the_dag_is_parsed():
    with pytest.raises(InputError, match="inconclusive is 'pass'"):
        gate(inconclusive="pass")


def test_a_server_that_does_not_answer_is_left_to_airflows_retries(monkeypatch):
    monkeypatch.setattr("tke_provider.clients.prometheus.PATIENCE", 0.0)
    monkeypatch.setenv("AIRFLOW_CONN_PROMETHEUS_DEFAULT", "prometheus://127.0.0.1:1")
    with pytest.raises(UnavailableError, match=r"http://127\.0\.0\.1:1 does not answer"):
        gate().execute(run_of())


def test_the_cloud_s_own_monitoring_may_be_asked_instead(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    dimensions = {"tke_cluster_instance_id": "cls-local000", "workload_name": "{service}"}
    query = {"namespace": "QCE/TKE2", "metric": "K8sWorkloadCpuCoreUsed", "dimensions": dimensions}
    told = {**query, "dimensions": {**dimensions, "workload_name": "shop"}, "value": 1.5}
    cloud._ask("POST", "metrics", told)
    cpu = {"name": "CPU", "query": query, "at_most": 2}
    assert gate("good", cpu, looks=1).execute(run_of())["reason"] == "1 of 1 looks were good, CPU is 1.5"
    assert "CPU is 1.5, above the 1 allowed" in refused(gate("good", {**cpu, "at_most": 1}))


def test_a_cloud_that_stumbles_is_asked_again(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    query = {"namespace": "QCE/CVM", "metric": "CPUUsage", "dimensions": {"InstanceId": "ins-1"}}
    cloud._ask("POST", "metrics", {**query, "value": 70})
    cloud.trouble("server_error", "GetMonitorData", count=1)
    assert (
        gate("good", {"name": "CPU", "query": query, "at_most": 80}, looks=1).execute(run_of())["verdict"] == "passed"
    )
