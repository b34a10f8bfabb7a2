"""A delivery starts what it should, once, and everything else starts nothing."""

from __future__ import annotations

import concurrent.futures
import copy
import hashlib
import hmac
import json
import logging

import pytest

from tests.plugin.conftest import CONNECTION
from tke_provider.plugin.webhooks import MAX_BODY, Rates

SECRET = CONNECTION["password"]
COMMIT, NEXT = "a" * 40, "b" * 40
PUSH = {
    "ref": "refs/heads/main",
    "before": "0" * 39 + "1",
    "after": COMMIT,
    "repository": {"clone_url": "https://git.example/team/shop.git", "full_name": "team/shop"},
    "commits": [{"id": COMMIT, "added": ["shop/app.py"], "modified": [], "removed": []}],
}


@pytest.fixture
def connect(monkeypatch):
    def connect(name: str = "shop", password: str = SECRET, **extra: object) -> None:
        fields = copy.deepcopy(CONNECTION) | {"password": password}
        fields["extra"] |= extra
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))

    connect()
    return connect


@pytest.fixture
def deliver(client, connect, runs):
    def deliver(push: object = PUSH, source: str = "shop", secret: str = SECRET, **headers: str):
        body = push if isinstance(push, bytes) else json.dumps(push).encode()
        signed = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        sent = {"X-GitHub-Event": "push", "X-Hub-Signature-256": signed, "X-GitHub-Delivery": "1"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return client.post(f"/webhooks/{source}", content=body, headers=sent)

    return deliver


def test_a_push_starts_the_dag_with_the_configured_repository_and_the_commit(deliver, runs):
    answer = deliver()
    assert answer.status_code == 202
    (run,) = runs()
    assert answer.json() == {"said": "started", "runs": [run.run_id]}
    assert run.conf == {"git_url": "https://git.example/team/shop.git", "commit": COMMIT}
    assert run.triggering_user_name == "webhook:shop"


def test_a_delivery_that_is_repeated_starts_nothing_even_under_another_id(deliver, runs):
    deliver()
    answer = deliver(X_GitHub_Delivery="2")
    assert (answer.status_code, answer.json()["said"]) == (200, "it was delivered before")
    assert len(runs()) == 1


def test_a_hundred_equal_deliveries_at_once_start_one_run(deliver, connect, runs):
    connect(per_minute=200)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = [each.status_code for each in pool.map(lambda _: deliver(), range(100))]
    assert sorted(set(answers)) == [200, 202]
    assert answers.count(202) == 1
    assert len(runs()) == 1


@pytest.mark.parametrize(
    ("headers", "secret", "status"),
    [
        ({}, "not the secret", 401),
        ({"X_Hub_Signature_256": ""}, SECRET, 401),
        ({"X_Hub_Signature_256": "sha256="}, SECRET, 401),
        ({"X_GitHub_Event": "ping"}, SECRET, 200),
    ],
)
def test_a_forged_delivery_and_a_ping_start_nothing(deliver, runs, headers, secret, status):
    assert deliver(secret=secret, **headers).status_code == status
    assert runs() == []


@pytest.mark.parametrize("body", [b"Hello, World!", b"[]", b"\xff", b"{" * 100_000, b'{"ref": 1}', b"null"])
def test_a_body_that_is_no_push_is_refused_in_words(deliver, runs, body):
    answer = deliver(body)
    assert answer.status_code in {200, 400}
    assert answer.json()["said"]
    assert runs() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ref": "refs/heads/feature/x"}, "branch is not wanted"),
        ({"ref": "refs/tags/v1"}, "tag is not wanted"),
        ({"after": "0" * 40}, "ref was deleted"),
        ({"repository": {"clone_url": "https://git.example/evil/shop.git"}}, "repository is not on the list"),
    ],
)
def test_a_push_that_nobody_wants_is_answered_with_the_reason(deliver, runs, change, said):
    answer = deliver(PUSH | change)
    assert (answer.status_code, answer.json()["said"]) == (200, f"nothing to build: {said}")
    assert runs() == []


def test_a_body_that_is_too_large_is_refused_before_it_is_read(deliver, runs):
    answer = deliver(b" " * (MAX_BODY + 1))
    assert answer.status_code == 413
    assert runs() == []


def test_an_unknown_source_and_another_kind_of_connection_are_the_same_to_a_stranger(deliver, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", '{"conn_type": "http", "password": "x"}')
    unknown, other = deliver(source="nobody"), deliver(source="other")
    assert unknown.status_code == other.status_code == 404
    assert unknown.json() == other.json()


@pytest.mark.parametrize(
    "wrong", [{"password": ""}, {"password": "  "}, {"sender": "svn"}, {"dag_id": ""}, {"dag_id": "missing"}]
)
def test_a_source_that_is_not_complete_takes_nothing_and_tells_strangers_nothing(deliver, connect, runs, wrong):
    connect(**wrong)
    answer = deliver(secret=wrong.get("password", SECRET))
    assert (answer.status_code, answer.json()) == (503, {"said": "the receiver is not set up for this"})
    assert runs() == []


def test_parameters_that_the_dag_refuses_are_named(deliver, connect, runs):
    connect(params={"commit": "branch", "git_url": "repository"})
    answer = deliver()
    assert answer.status_code == 400
    assert "DAG from_push refuses the parameters" in answer.json()["said"]
    assert runs() == []


def test_a_source_that_sends_too_much_is_asked_to_come_later_and_forgeries_do_not_count(deliver, connect):
    connect(per_minute=2)
    for _ in range(5):
        assert deliver(secret="wrong").status_code == 401
    assert [deliver().status_code for _ in range(3)] == [202, 200, 429]
    assert 1 <= int(deliver().headers["Retry-After"]) <= 30


def test_rates_recover_with_time():
    now = [0.0]
    rates = Rates(lambda: now[0])
    assert [rates.take("shop", 2) for _ in range(3)] == [0, 0, 30]
    now[0] = 30.0
    assert [rates.take("shop", 2), rates.take("shop", 2)] == [0, 30]


def test_every_delivery_leaves_one_line(deliver, caplog):
    with caplog.at_level(logging.INFO, "tke_provider.plugin.webhooks"):
        deliver()
        deliver(secret="wrong")
    lines = [record.getMessage() for record in caplog.records if record.name == "tke_provider.plugin.webhooks"]
    assert [line.partition(",")[0] for line in lines] == ["Delivery from 'shop': 202", "Delivery from 'shop': 401"]
    assert SECRET not in caplog.text


def test_latest_skips_what_still_waits_on_the_same_branch_alone(deliver, connect, runs):
    connect(build="latest", branches="main dev")
    deliver()
    deliver(PUSH | {"ref": "refs/heads/dev"})
    deliver(PUSH | {"after": NEXT})
    old, other, new = runs()
    states = {run.run_id: {task.state for task in _tasks(run)} for run in (old, other, new)}
    assert states == {old.run_id: {"skipped"}, other.run_id: {None}, new.run_id: {None}}


def test_every_builds_each_push(deliver, runs):
    deliver()
    deliver(PUSH | {"after": NEXT})
    assert {task.state for run in runs() for task in _tasks(run)} == {None}


def _tasks(run):
    from airflow.models import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return list(session.scalars(select(TaskInstance).where(TaskInstance.run_id == run.run_id)))


def test_the_answer_comes_before_any_host_loses_patience(deliver, runs):
    deliver()  # the first one imports
    answer = deliver(PUSH | {"after": NEXT})
    assert answer.status_code == 202
    assert answer.elapsed.total_seconds() < 1
