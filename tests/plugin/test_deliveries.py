"""What was accepted is started, once, whatever dies in between."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import hmac
import json
import logging
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import httpx
import pytest

from tests.plugin.conftest import CONNECTION, REPOSITORY
from tests.servers import free_port
from tests.waiting import until
from tke_provider.exceptions import InputError
from tke_provider.plugin import deliveries
from tke_provider.plugin import runs as runs_of_airflow
from tke_provider.plugin.deliveries import AGAIN, GIVEN_UP, STARTED, Intent, Starter, accept, accepted, start

BODY = json.dumps({"ref": "refs/heads/main", "after": "c" * 40, "repository": {"clone_url": REPOSITORY}}).encode()
SIGNATURE = hmac.new(CONNECTION["password"].encode(), BODY, hashlib.sha256).hexdigest()
HEADERS = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={SIGNATURE}"}


@pytest.fixture
def serve(monkeypatch, database):
    """Start an API server with the plugin in a process of its own."""
    program = """
import sys, uvicorn
from tke_provider.plugin.app import app
uvicorn.run(app(), port=int(sys.argv[1]), lifespan=sys.argv[2])
"""
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(CONNECTION))
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    processes = []

    def serve(lifespan: str) -> tuple[subprocess.Popen[bytes], str]:
        port = free_port()
        process = subprocess.Popen([sys.executable, "-c", program, str(port), lifespan], stdout=subprocess.DEVNULL)
        processes.append(process)
        until(lambda: process.poll() is not None or _listens(port), 180, "the server listens")
        return process, f"http://127.0.0.1:{port}/webhooks/shop"

    yield serve
    for process in processes:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/").status_code == 404
    except httpx.TransportError:
        return False


def test_what_was_accepted_is_started_though_the_server_was_killed_after_its_answer(serve, runs):
    # Without its start-up it answers as ever, and starts nothing: killed in the very moment between the two.
    process, url = serve("off")
    assert httpx.post(url, content=BODY, headers=HEADERS, timeout=60).status_code == 202
    os.kill(process.pid, signal.SIGKILL)
    assert len(accepted()) == 1
    _, url = serve("on")
    (run,) = runs()
    assert run.conf["commit"] == "c" * 40
    assert httpx.post(url, content=BODY, headers=HEADERS, timeout=60).json()["said"] == "it was delivered before"
    assert len(runs()) == 1


@pytest.fixture
def intent(runs):
    return Intent("from_push", "push__shop__1", {"git_url": REPOSITORY, "commit": "d" * 40}, "webhook:shop")


def test_a_run_that_several_servers_start_at_once_is_one_run(intent, runs):
    accept([[intent]])
    (number,) = accepted()
    with concurrent.futures.ThreadPoolExecutor(4) as servers:
        list(servers.map(start, [number] * 4))
        until(lambda: start(number) or not accepted(), 90, "it is started")  # SQLite turns all writers but one away
    assert [run.run_id for run in runs()] == [intent.run_id]


def test_an_entry_whose_run_is_there_is_done(intent, runs):
    # Two servers that were told the same in the same moment have an entry each.
    accept([[intent]])
    _add_entry(intent)
    for number in accepted():
        start(number)
    assert [run.run_id for run in runs()] == [intent.run_id]
    assert _events() == [STARTED, STARTED]


def test_the_run_and_the_mark_are_one_transaction_though_the_dag_has_to_be_read_for_it(intent, runs):
    # As after a restart: nothing is remembered of the DAG.
    accept([[intent]])
    (number,) = accepted()
    runs_of_airflow._read.cache_clear()
    start(number)
    assert _events() == [STARTED]
    assert len(runs()) == 1


def test_what_is_accepted_is_found_by_an_index_however_long_the_audit_log_is(database):
    from airflow.models import Log
    from airflow.utils.session import create_session
    from sqlalchemy import text

    assert "idx_log_event" in {index.name for index in Log.__table__.indexes}
    with create_session() as session:
        asked = text("EXPLAIN QUERY PLAN SELECT id FROM log WHERE event = :event ORDER BY id")
        plan = session.execute(asked, {"event": deliveries.ACCEPTED}).all()
    assert "USING COVERING INDEX idx_log_event" in str(plan)


def test_what_was_given_up_is_accepted_when_it_is_delivered_again(intent, runs):
    accept([[intent]])
    _set_entry(accepted()[0], event=GIVEN_UP)
    ((new, _),) = accept([[intent]])
    assert [each.run_id for each in new] == [intent.run_id]
    assert len(accepted()) == 1
    start(accepted()[0])
    assert len(runs()) == 1


@pytest.mark.parametrize(("flag", "why"), [("has_import_errors", "The file of"), ("is_stale", "There is no DAG")])
def test_a_dag_that_broke_or_went_after_the_answer_is_started_when_it_is_back(intent, runs, dag_is, caplog, flag, why):
    accept([[intent]])
    dag_is(flag)
    (number,) = accepted()
    with caplog.at_level(logging.WARNING, deliveries.__name__):
        start(number)
    said = f"Run push__shop__1 of from_push, for webhook:shop, is not started, and tried again in 30 seconds: {why}"
    assert said in caplog.text
    dag_is(flag, 0)
    start(number)
    assert len(runs()) == 1


def test_a_run_that_cannot_be_started_for_a_day_is_given_up_and_said_so(intent, runs, dag_is, caplog):
    accept([[intent]])
    dag_is("is_stale")
    (number,) = accepted()
    _set_entry(number, dttm=datetime.now(timezone.utc) - timedelta(hours=25))
    start(number)
    assert _events() == [GIVEN_UP]
    assert "given up: There is no DAG from_push" in caplog.text
    dag_is("is_stale", 0)
    assert runs() == []


def test_one_that_cannot_be_read_is_given_up_and_does_not_keep_the_others(intent, runs, caplog):
    accept([[intent]])
    (broken,) = accepted()
    _set_entry(broken, extra="no JSON")
    other = Intent("from_push", "push__shop__2", intent.conf, intent.by)
    accept([[other]])
    for number in accepted():
        assert start(number)
    assert "Run push__shop__1 of from_push, for webhook:shop, is not started, and given up: Its entry" in caplog.text
    assert sorted(_events()) == [GIVEN_UP, STARTED]
    assert [run.run_id for run in runs()] == [other.run_id]


def test_what_the_dag_refuses_since_it_was_accepted_is_given_up_at_once_in_one_line(intent, runs, caplog):
    _add_entry(refused := dataclasses.replace(intent, conf={"commit": "short"}))
    assert start(accepted()[0])
    (line,) = [record for record in caplog.records if record.name == deliveries.__name__]
    said = line.getMessage()
    assert line.levelno == logging.ERROR
    assert f"Run {refused.run_id} of from_push, for webhook:shop, is not started, and given up: " in said
    assert "DAG from_push refuses the parameters: Invalid input for param " in said
    assert said.endswith("correct params in the connection. Then let the sender deliver it again.")
    assert _events() == [GIVEN_UP]


async def test_what_could_not_be_started_waits_for_its_time_however_often_others_arrive(monkeypatch):
    # The clock is set, and starting is counted: half a minute is too long for a test.
    tried, now = [], [1000.0]
    monkeypatch.setattr(deliveries, "accepted", lambda: [1, 2])
    monkeypatch.setattr(deliveries, "start", lambda number: tried.append(number) or number == 2)
    monkeypatch.setattr(deliveries.time, "monotonic", lambda: now[0])
    starter = Starter()
    await starter._pass()
    await starter._pass()
    assert tried == [1, 2, 2]
    now[0] += AGAIN
    await starter._pass()
    assert tried == [1, 2, 2, 1, 2]


def test_of_deliveries_that_are_kept_together_each_has_its_own_answer(intent, runs):
    refused = dataclasses.replace(intent, run_id="push__shop__2", conf={"commit": "short"})
    other = dataclasses.replace(intent, run_id="push__shop__3")
    first, error, third, again = accept([[intent], [refused], [other], [intent]])
    assert isinstance(error, InputError)
    assert "refuses the parameters" in str(error)
    assert (first.new, third.new, again.new) == ([intent], [other], [])
    assert len(accepted()) == 2
    for number in accepted():
        start(number)
    assert [run.run_id for run in runs()] == [intent.run_id, other.run_id]


def _add_entry(intent: Intent) -> None:
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(intent.entry())


def _set_entry(number: int, **values: object) -> None:
    from airflow.models import Log
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        session.execute(update(Log).where(Log.id == number).values(**values))


def _events() -> list[str]:
    from airflow.models import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return list(session.scalars(select(Log.event).where(Log.dag_id == "from_push")))
