from __future__ import annotations

import time
from typing import Any

import pytest

from tke_provider.domain.verdicts import State
from tke_provider.triggers.metrics import MetricGateTrigger, MetricTrigger

QUEUE = {"name": "queue", "query": 'sum(queue_length{queue="{queue}"})', "at_most": 150}
# The queue as it is asked of: 120 ever since an hour ago.
HISTORY = {**QUEUE, "query": "sum(queue_length) or vector(999)", "at_most": 150}

pytestmark = pytest.mark.stack


def common(**more: Any) -> dict[str, Any]:
    settings = {"tke_conn_id": "tke_default", "deadline": time.time() + 90, "poll_interval": 0.01}
    return {**settings, "gates": [QUEUE], "new": {"queue": "orders"}, "old": {}, **more}


def trigger(**more: Any) -> MetricTrigger:
    return MetricTrigger(**common(prometheus_conn_id="prometheus_default", **more))


def gate(**more: Any) -> MetricGateTrigger:
    looks = {"start": time.time(), "interval": 0.05, "looks": 2, "max_failed": 0, "wait_for_data": False}
    return MetricGateTrigger(**common(prometheus_conn_id="prometheus_default", **{**looks, **more}))


@pytest.mark.usefixtures("prometheus")
async def test_what_is_good_is_good_at_once():
    verdict = await trigger().wait()
    assert (verdict.state, verdict.reason) == (State.PASSED, "queue is 120")


@pytest.mark.usefixtures("prometheus")
@pytest.mark.parametrize("more", [{"gates": [{**QUEUE, "at_most": 100}]}, {"new": {"queue": "nobody's"}}])
async def test_what_is_not_good_or_not_known_may_become_so(more):
    verdict = await trigger(deadline=time.time() + 0.1, **more).wait()
    assert verdict.state is State.EXPIRED


@pytest.mark.usefixtures("prometheus")
async def test_a_query_that_is_not_understood_is_not_waited_for():
    verdict = await trigger(gates=[{**QUEUE, "query": "sum("}]).wait()
    assert verdict.state is State.FAILED
    assert "parse error" in verdict.reason


@pytest.mark.usefixtures("prometheus")
async def test_looks_come_one_interval_after_the_other():
    started = time.time()
    assert (await gate(interval=0.3).wait()).reason == "2 of 2 looks were good, queue is 120"
    assert time.time() - started >= 0.6


async def test_whoever_takes_over_asks_of_the_same_instants(prometheus):
    # An instant before the queue was known, then two after: 999, 120, 120.
    begin = prometheus.began - 5500
    looks = {"start": begin, "interval": 1800, "gates": [HISTORY], "looks": 3, "poll_interval": 60}
    verdict = await gate(**looks, max_failed=1).look()
    assert verdict.state is State.PASSED
    assert verdict.reason == "2 of 3 looks were good, queue is 120"
    assert (await gate(**looks).look()).reason.startswith("1 of 1 looks failed, the last because queue is 999")


@pytest.mark.usefixtures("prometheus")
async def test_looks_that_take_longer_than_their_interval_end_at_the_deadline():
    nothing = [{**QUEUE, "query": "nothing_of_that_name"}]
    hasty = gate(gates=nothing, interval=0.001, deadline=time.time() + 0.01, wait_for_data=True)
    assert (await hasty.wait()).state is State.EXPIRED


async def test_a_look_that_got_no_answer_is_repeated_for_its_own_instant(prometheus, monkeypatch):
    monkeypatch.setattr("tke_provider.clients.prometheus.PATIENCE", 0.0)
    monkeypatch.setenv("AIRFLOW_CONN_PROMETHEUS_DEFAULT", "prometheus://127.0.0.1:1")
    waiting = gate(start=time.time() - 4000, interval=3000, gates=[HISTORY], looks=1)
    verdict = await waiting.verdict()
    assert verdict.state is State.PENDING
    assert "does not answer" in verdict.reason
    prometheus.connect(monkeypatch)
    assert (await waiting.verdict()).state is State.PASSED


def test_an_equal_trigger_can_be_made_from_what_is_stored():
    path, arguments = gate().serialize()
    assert path == "tke_provider.triggers.metrics.MetricGateTrigger"
    assert MetricGateTrigger(**arguments).serialize() == (path, arguments)
