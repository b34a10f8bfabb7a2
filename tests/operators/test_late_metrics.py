"""A metric that has no data yet, as of a version that nobody has asked for anything so far."""

from __future__ import annotations

import json

import pytest

from tests.live_cluster import run_of
from tests.operators.test_metrics import gate
from tests.servers import serving


@pytest.fixture
def late(monkeypatch) -> list[str]:
    """A Prometheus that has no data for the first three questions; and what it answered. No real one does so on demand.

    :return: the answers.
    """
    said: list[str] = []

    async def app(scope, receive, send) -> None:
        value = [{"metric": {}, "value": [0, "0.01"]}] if len(said) >= 3 else []
        said.append("data" if value else "nothing")
        body = {"status": "success", "data": {"resultType": "vector", "result": value}}
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    with serving(app) as url:
        connection = {"conn_type": "http", "host": url}
        monkeypatch.setenv("AIRFLOW_CONN_PROMETHEUS_DEFAULT", json.dumps(connection))
        yield said


def test_a_metric_that_comes_late_is_waited_for_and_then_counts(late):
    rate = {"name": "error rate", "query": "error_rate", "at_most": 0.05}
    check = gate("good", rate, inconclusive="wait", timeout=60).execute(run_of())
    assert (check["verdict"], check["reason"]) == ("passed", "3 of 3 looks were good, error rate is 0.01")
    assert late == ["nothing"] * 3 + ["data"] * 3
