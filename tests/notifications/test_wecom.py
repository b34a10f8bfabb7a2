"""One message a release, and errors of the robot that are named without its key."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.execution_time.context import OutletEventAccessors

from tke_provider.domain.releases import Record
from tke_provider.exceptions import CredentialError, InputError, NotFoundError, ThrottledError, UnavailableError
from tke_provider.hooks.wecom import WeComHook
from tke_provider.notifications.wecom import WeComNotifier
from tke_provider.operators.assets import emit_release

KEY = "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa"
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.timezone.utc)
RELEASE = Record(
    service="shop",
    namespace="production",
    op="x",
    commit="c" * 40,
    images={"web": "demo.example/web@sha256:a"},
    who="ann",
    approver="bob",
    started=NOON,
    finished=NOON + dt.timedelta(seconds=42),
)


class Robot(ThreadingHTTPServer):
    """A robot that takes every message, or answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: tuple[int, str] = (200, json.dumps({"errcode": 0, "errmsg": "ok"}))
        self.heard: list[tuple[str, dict]] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heard.append((self.path, body))
        status, text = self.server.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def robot(monkeypatch):
    with Robot() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        connect(monkeypatch, f"http://127.0.0.1:{server.server_port}")
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def connect(monkeypatch, host: str, password: str = KEY) -> None:
    connection = {"conn_type": "wecom", "host": host, "password": password}
    monkeypatch.setenv("AIRFLOW_CONN_WECOM_DEFAULT", json.dumps(connection))


def context(release: Record | None = None, **more) -> dict:
    """The context of a callback: of a task that released this."""
    ti = SimpleNamespace(dag_id="ci_cd", task_id="deploy", map_index=-1, log_url="http://airflow/log")
    whole = {"ti": ti, "task": SimpleNamespace(outlets=[]), "outlet_events": OutletEventAccessors(), **more}
    if release:
        emit_release(whole, release, "cls-1")
    return whole


def text(robot: Robot) -> str:
    ((path, body),) = robot.heard
    assert path == f"/cgi-bin/webhook/send?key={KEY}"
    assert body["msgtype"] == "markdown"
    return body["markdown"]["content"]


def test_a_release_is_one_message_that_says_what_is_live(robot):
    WeComNotifier()(context(RELEASE))
    assert text(robot) == (
        "**shop** is live in **production** (cls-1)\n"
        f"> commit: `{'c' * 40}`\n"
        "> web: `demo.example/web@sha256:a`\n"
        "> started by: ann\n"
        "> approved by: bob\n"
        "> took: 42 s\n"
        "[ci_cd.deploy](http://airflow/log)"
    )


def test_a_failure_is_told_in_the_words_of_the_error(robot):
    WeComNotifier()(context(exception=ValueError("shop did not come up\nand was rolled back")))
    assert text(robot) == (
        "**ci_cd.deploy** failed\n> shop did not come up and was rolled back\n[log](http://airflow/log)"
    )


def test_a_task_that_tells_nothing_is_not_said_to_have_succeeded(robot):
    WeComNotifier()(context())
    assert text(robot) == "**ci_cd.deploy** ended\n[log](http://airflow/log)"


def test_a_whole_run_is_said_to_have_ended_as_it_did_and_not_as_its_last_task(robot):
    WeComNotifier()(context(RELEASE, dag=DAG("ci_cd", schedule=None), reason="task_failure"))
    assert text(robot) == "**ci_cd** ended: task_failure"


def test_words_of_ones_own_are_rendered_and_people_are_called(robot):
    WeComNotifier(message="Done: {{ ti.task_id }}", mention=["ann", "bob"])(context())
    assert text(robot) == "Done: deploy\n<@ann> <@bob>"


def test_a_message_that_is_too_long_is_cut_between_characters(robot):
    WeComNotifier(message="服" * 3000)(context())
    assert len(text(robot).encode()) <= 4096
    assert text(robot).endswith("服…")


def test_the_whole_webhook_url_will_do_as_the_key(robot, monkeypatch):
    url = f"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={KEY}"
    connect(monkeypatch, f"http://127.0.0.1:{robot.server_port}", url)
    WeComNotifier(message="x")(context())
    assert text(robot) == "x"


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (
            (200, '{"errcode": 93000, "errmsg": "invalid webhook url"}'),
            CredentialError,
            "errcode 93000: invalid webhook",
        ),
        ((200, '{"errcode": 45009, "errmsg": "api freq out of limit"}'), ThrottledError, "20 messages a minute"),
        ((200, '{"errcode": 40058, "errmsg": "markdown.content missing"}'), InputError, "markdown.content missing"),
        ((200, "<html>"), UnavailableError, "without an errcode"),
        ((502, "bad gateway"), UnavailableError, "HTTP 502"),
    ],
)
def test_what_the_robot_refuses_is_an_error_in_its_words_and_without_the_key(robot, answer, error, said):
    robot.answer = answer
    with pytest.raises(error, match=said) as caught:
        WeComNotifier(message="x")(context())
    assert KEY not in str(caught.value)


def test_a_robot_out_of_reach_is_named_without_the_key(monkeypatch):
    connect(monkeypatch, "http://127.0.0.1:1")
    with pytest.raises(UnavailableError, match=r"WeCom at http://127\.0\.0\.1:1 is out of reach") as caught:
        WeComNotifier(message="x")(context())
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_connection_without_a_key_is_refused(monkeypatch):
    connect(monkeypatch, "http://127.0.0.1:1", "")
    with pytest.raises(CredentialError, match="put the robot's key into its password"):
        asyncio.run(WeComHook().send("x"))


def test_a_connection_that_does_not_exist_is_named():
    with pytest.raises(NotFoundError, match="no connection nowhere"):
        asyncio.run(WeComHook("nowhere").send("x"))


def test_the_key_shows_in_no_log(robot, capsys):
    WeComNotifier(message="x")(context())
    assert KEY not in capsys.readouterr().out
