"""A delivery starts what it should, once, and everything else starts nothing."""

from __future__ import annotations

import concurrent.futures
import contextlib
import copy
import hashlib
import hmac
import itertools
import json
import logging
import statistics
import threading
import time
from http import HTTPStatus

import pytest
from sqlalchemy.exc import OperationalError

from tests.plugin.conftest import CONNECTION
from tke_provider.plugin import webhooks
from tke_provider.plugin.webhooks import MAX_BODY, Answer, Rates

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
    assert answer.json() == {"said": "accepted", "runs": [run.run_id]}
    assert run.conf == {"git_url": "https://git.example/team/shop.git", "commit": COMMIT}
    assert run.triggering_user_name == "webhook:shop"


def test_a_delivery_that_is_repeated_starts_nothing_even_under_another_id(deliver, runs):
    deliver()
    answer = deliver(X_GitHub_Delivery="2")
    assert (answer.status_code, answer.json()["said"]) == (200, "it was delivered before")
    assert len(runs()) == 1


def test_a_delivery_that_is_repeated_to_the_same_source_in_another_case_starts_nothing(deliver, connect, runs):
    connect(per_minute=2)
    deliver()
    answer = deliver(source="SHOP")
    assert (answer.status_code, answer.json()["said"]) == (200, "it was delivered before")
    assert deliver(source="Shop").status_code == 429
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


@pytest.mark.parametrize(("late", "status"), [(0, 202), (400, 401), (-400, 401)])
def test_a_signature_is_good_for_minutes(deliver, connect, runs, late, status):
    connect(sender="generic")
    at = f"{time.time() - late:.0f}"
    body = json.dumps({"repository": PUSH["repository"]["clone_url"], "branch": "main", "commit": COMMIT}).encode()
    signed = hmac.new(SECRET.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert deliver(body, X_Timestamp=at, X_Signature=f"sha256={signed}").status_code == status
    assert len(runs()) == (status == 202)


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


def test_whoever_is_refused_gets_no_places_of_his_own(deliver, monkeypatch):
    proved: list[str] = []
    monkeypatch.setattr(webhooks.Places, "proved", lambda _, source: proved.append(source))
    statuses = [each.status_code for each in (deliver(secret="wrong"), deliver(source="nobody"), deliver(b"no JSON"))]
    assert (statuses, proved) == ([401, 404, 400], [])
    assert (deliver().status_code, proved) == (202, ["shop"])


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


def test_a_line_is_one_line_of_bounded_length_whatever_is_said(caplog):
    with caplog.at_level(logging.INFO, "tke_provider.plugin.webhooks"):
        Answer(HTTPStatus.BAD_REQUEST, "a\nb\x1b[2J\u202e\u00e9" + "x" * 1000).log("shop")
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(r"Delivery from 'shop': 400, a b\x1b[2J\u202e\xe9x")
    assert len(line) < 600


FOLLOWING = PUSH | {"before": COMMIT, "after": NEXT}


def test_latest_skips_what_still_waits_on_the_same_branch_alone(deliver, connect, runs):
    connect(build="latest", branches="main dev")
    deliver()
    deliver(PUSH | {"ref": "refs/heads/dev"})
    deliver(FOLLOWING)
    old, other, new = runs()
    states = {run.run_id: {task.state for task in _tasks(run)} for run in (old, other, new)}
    assert states == {old.run_id: {"skipped"}, other.run_id: {None}, new.run_id: {None}}


def test_latest_builds_the_last_head_though_its_delivery_came_first(deliver, connect, runs):
    connect(build="latest")
    deliver(FOLLOWING)
    deliver()
    last, late = runs()
    assert last.conf["commit"] == NEXT
    assert [{task.state for task in _tasks(run)} for run in (last, late)] == [{None}, {"skipped"}]


def test_latest_leaves_a_run_alone_that_has_begun(deliver, connect, runs):
    connect(build="latest")
    deliver()
    runs()
    _begin()
    deliver(FOLLOWING)
    assert {task.state for run in runs() for task in _tasks(run)} == {None}


def test_every_builds_each_push(deliver, runs):
    deliver()
    deliver(FOLLOWING)
    assert {task.state for run in runs() for task in _tasks(run)} == {None}


@pytest.mark.parametrize(("build", "left"), [("latest", 1), ("every", 6)])
def test_of_six_quick_pushes_each_or_the_last_alone_is_built(deliver, connect, runs, build, left):
    connect(build=build)
    commits = [f"{number}" * 40 for number in range(1, 8)]
    for before, after in itertools.pairwise(commits):
        assert deliver(PUSH | {"before": before, "after": after}).status_code == 202
    assert [run.conf["commit"] for run in runs()] == commits[1:]
    assert [run.conf["commit"] for run in runs() if not _ends_at_once(run)] == commits[1:][-left:]


def _ends_at_once(run) -> bool:
    """Let Airflow's scheduler look at a run that has just begun: whether it has ended without a task of it run."""
    from airflow.models import DagRun
    from airflow.models.dagbag import DBDagBag
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        begun = session.scalars(select(DagRun).where(DagRun.id == run.id)).one()
        begun.dag = DBDagBag().get_latest_version_of_dag(run.dag_id, session=session)
        begun.set_state("running")
        schedulable, _ = begun.update_state(session=session)
        return begun.state == "success" and not schedulable


def _tasks(run):
    from airflow.models import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return list(session.scalars(select(TaskInstance).where(TaskInstance.run_id == run.run_id)))


def _begin() -> None:
    """Let every run begin, as the scheduler does."""
    from airflow.models import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        session.execute(update(DagRun).values(_state="running"))


@pytest.mark.parametrize("flag", ["is_stale", "has_import_errors"])
def test_a_dag_that_is_gone_or_broken_is_started_when_the_delivery_is_repeated(deliver, runs, dag_is, flag):
    dag_is(flag)
    assert deliver().status_code == 503
    assert runs() == []
    dag_is(flag, 0)
    assert deliver().status_code == 202


def test_who_pushes_to_a_paused_dag_is_told_that_the_run_waits(deliver, dag_is):
    dag_is("is_paused")
    answer = deliver()
    assert (answer.status_code, answer.json()["said"]) == (202, "accepted; the run waits, for the DAG is paused")


@pytest.mark.parametrize("name", ["%00", "a%00b", "%C3%A4", "..%2f", "x" * 151, "%0aDelivery", "shop%20", "$(x)"])
def test_a_name_that_no_source_can_have_is_unknown_and_leaves_one_line(deliver, caplog, name):
    with caplog.at_level(logging.INFO, "tke_provider.plugin.webhooks"):
        assert deliver(source=name).status_code == 404
    lines = [record.getMessage() for record in caplog.records if record.name == "tke_provider.plugin.webhooks"]
    assert all(line.isprintable() and len(line) < 200 for line in lines)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_but_post_is_answered(client, connect, method):
    assert client.request(method, "/webhooks/shop").status_code == 405


@pytest.mark.parametrize(
    "extra",
    [
        {"per_minute": "many"},
        {"per_minute": -1},
        {"repositories": 7},
        {"repositories": "https://token@git.example/team/shop.git"},  # would stand in the run, for all to read
        {"params": "[1]"},
    ],
)
def test_a_setting_that_makes_no_sense_is_no_crash(deliver, connect, extra):
    connect(**extra)
    assert deliver().status_code == 503


@pytest.mark.parametrize("text", ['{"conn_type": "tke_webhook", "password": "hidden', "tke_webhook://:hidden@[x"])
def test_a_connection_that_cannot_be_read_shows_its_secret_to_nobody(deliver, monkeypatch, caplog, capsys, text):
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", text)
    answer = deliver()
    assert answer.status_code == 404  # to Airflow, it is not there
    printed = capsys.readouterr()
    assert "hidden" not in answer.text + caplog.text + printed.out + printed.err


def test_a_text_that_is_no_unicode_is_no_crash(deliver, connect):
    connect(sender="coding")
    body = b'{"token": "\\ud800", "ref": "refs/heads/main"}'
    assert deliver(body, X_Coding_Event="push").status_code == 401


def test_a_branch_with_line_breaks_leaves_one_line(deliver, connect, caplog):
    connect(params={"commit": "branch", "git_url": "repository"}, branches="*")
    with caplog.at_level(logging.INFO, "tke_provider.plugin.webhooks"):
        assert deliver(PUSH | {"ref": "refs/heads/a\nDelivery from 'x': 202\x1b[2J"}).status_code == 400
    (line,) = [record.getMessage() for record in caplog.records if record.name == "tke_provider.plugin.webhooks"]
    assert line.isprintable()


def test_a_body_that_drips_is_given_up(client, connect, monkeypatch):
    monkeypatch.setattr(webhooks, "PATIENCE", 0.1)
    never = threading.Event()

    def drip():
        yield b"{"
        never.wait(60)
        yield b"}"

    answers = []
    sending = threading.Thread(target=lambda: answers.append(client.post("/webhooks/shop", content=drip())))
    sending.start()
    try:
        with _logged("408"):
            pass
    finally:
        never.set()
        sending.join()
    assert [answer.status_code for answer in answers] == [408]


@contextlib.contextmanager
def _logged(text: str):
    """Wait for a line of the receiver's log."""
    seen = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: seen.set() if text in record.getMessage() else None
    webhooks.log.addHandler(handler)
    try:
        assert seen.wait(60)
        yield
    finally:
        webhooks.log.removeHandler(handler)


def test_a_database_that_is_away_is_said_in_the_log_alone(deliver, monkeypatch):
    # The tests' database cannot be taken away: it is a file.
    def away(*_: object) -> None:
        raise OperationalError("SELECT secret", {}, Exception("no route to db.internal"))

    monkeypatch.setattr("tke_provider.plugin.runs.ready", away)
    answer = deliver()
    assert (answer.status_code, answer.json()) == (503, {"said": "the receiver is not set up for this"})


def test_the_answer_comes_within_a_tenth_of_a_second(deliver, connect):
    connect(per_minute=1000)
    worked, took = [], []
    for number in range(1, 31):
        began = time.process_time()
        answer = deliver(PUSH | {"after": f"{number:040x}"})
        worked.append(time.process_time() - began)
        took.append(answer.elapsed.total_seconds())
        assert answer.status_code == 202
    # What this process does for it, and that it waits for nothing: how long it takes, others on this machine decide.
    assert statistics.median(worked) < 0.1
    assert min(took) < 0.5
