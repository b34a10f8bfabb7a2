from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tke_provider.clients.engine import OPERATION_LABEL
from tke_provider.exceptions import InconclusiveError
from tke_provider.operators.base import operation_of
from tke_provider.operators.checks import TkeRunTestsOperator, TkeSmokeTestOperator

GREEN = "<testsuite><testcase classname='web' name='answers'/></testsuite>"
RED = "<testsuite><testcase classname='web' name='answers'><failure message='no'/></testcase></testsuite>"
IMAGE = "registry.example/test/web@sha256:" + "5" * 64


def context_of(run_id: str = "r") -> dict:
    ti = SimpleNamespace(dag_id="d", run_id=run_id, task_id="t", map_index=-1, max_tries=0)
    return {"ti": ti}


def refused(task, error: type[Exception] = AirflowFailException) -> str:
    with pytest.raises(error) as caught:
        task.execute(context_of())
    return str(caught.value)


# --- unit tests ---------------------------------------------------------------------------------------------------


@pytest.fixture
def tests(image, registry, monkeypatch):
    """A task that runs a script in the image, with more arguments."""
    conn_id = registry.connect(monkeypatch, "registry")

    def task(text: str, **more: object) -> TkeRunTestsOperator:
        known = {"image": image.as_dict(), "command": ["sh", "-c", text], "docker_conn_id": conn_id}
        return TkeRunTestsOperator(task_id="tests", **{**known, **more})

    return task


@pytest.mark.stack
def test_passing_tests_make_a_check_of_exactly_this_image(tests, image):
    check = tests(f'echo "{GREEN}" > /tmp/junit.xml').execute(context_of())
    counts = {"tests": 1, "failures": 0, "errors": 0, "skipped": 0}
    assert check == {"verdict": "passed", "counts": counts, "reason": "1 tests passed", "image": str(image)}


@pytest.mark.stack
@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_failing_test_ends_the_task_at_once_and_is_named(tests, exit_code):
    message = refused(tests(f'echo "{RED}" > /tmp/junit.xml; exit {exit_code}'))
    assert "does not pass its tests: 1 of 1 tests failed: web::answers (no)" in message


@pytest.mark.stack
@pytest.mark.parametrize("text", ["true", "echo rubbish > /tmp/junit.xml", "echo '<testsuite/>' > /tmp/junit.xml"])
def test_no_report_no_tests_and_rubbish_are_never_taken_for_a_pass(tests, text):
    assert "say nothing" in refused(tests(text), InconclusiveError)


@pytest.mark.stack
def test_tests_that_need_more_memory_than_they_may_say_so(tests):
    message = refused(tests("tail /dev/zero", memory="16m"), InconclusiveError)
    assert "used more memory than the 16m that they may" in message


@pytest.mark.stack
def test_tests_that_take_too_long_are_killed(tests):
    assert "was killed after 0.2 s" in refused(tests("sleep 600", timeout=0.2))


@pytest.mark.stack
def test_a_command_is_one_line_too_and_variables_and_another_report_are_given(tests):
    line = """sh -c 'echo "$REPORT" > /tmp/own.xml'"""
    task = tests("", command=line, environment={"REPORT": GREEN}, report_path="/tmp/own.xml")
    assert task.execute(context_of())["verdict"] == "passed"


@pytest.mark.stack
def test_a_killed_task_leaves_no_container(tests, docker_api):
    context = context_of(uuid.uuid4().hex)
    task = tests("sleep 600")
    label = f"{OPERATION_LABEL}={operation_of(context).id}"

    def kill_once_it_runs() -> None:
        while not docker_api.containers(filters={"label": label}):
            threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    # As Airflow's task runner has it: the signal calls on_kill, and nothing else.
    before = signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
    killer = threading.Thread(target=kill_once_it_runs)
    killer.start()
    try:
        # Not an Exception: nothing between here and the task runner takes it for a failed check.
        with pytest.raises(BaseException, match=r"^$") as caught:
            task.execute(context)
    finally:
        killer.join()
        signal.signal(signal.SIGTERM, before)
    assert type(caught.value).__name__ == "CancelledError"
    assert docker_api.containers(all=True, filters={"label": label}) == []


@pytest.mark.parametrize("command", ["", []])
def test_no_command_is_refused(command):
    assert "has no command" in refused(TkeRunTestsOperator(task_id="tests", image=IMAGE, command=command))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"command": "sh -c 'a"}, "The command of task tests cannot be split: No closing quotation"),
        ({"environment": "A=1"}, "environment of task tests is a str"),
        ({"memory": "2 gigs"}, "memory is '2 gigs'"),
        ({"docker_url": "tcp://h:abc"}, "docker_url 'tcp://h:abc' cannot be used"),
        ({"docker_url": "magic://h"}, "docker_url 'magic://h' cannot be used"),
        ({"docker_url": "tcp://u:hunter2@h:1"}, "docker_url cannot be used; write it as"),
    ],
)
def test_wrong_input_ends_the_tests_before_the_engine_is_asked(arguments, message):
    task = TkeRunTestsOperator(task_id="tests", image=IMAGE, **{"command": "true", **arguments})
    said = refused(task)
    assert message in said
    assert "hunter2" not in said


# --- smoke test ---------------------------------------------------------------------------------------------------


@pytest.fixture
def service():
    """A service that gives the answers it is told, the last one for ever; its URL, and how often it was asked."""
    told: list[tuple[int, str]] = []
    asked = itertools.count()
    seen = SimpleNamespace(url="", told=told, times=0)

    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.times = next(asked) + 1
            status, body = told[min(seen.times, len(told)) - 1]
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        seen.url = f"http://127.0.0.1:{server.server_port}/"
        yield seen
        server.shutdown()
        thread.join()


def smoke(**arguments: object) -> TkeSmokeTestOperator:
    known = {"timeout": 30, "poll_interval": 0.01, "deferrable": False}
    return TkeSmokeTestOperator(task_id="smoke", **{**known, **arguments})


def test_good_answers_in_a_row_make_a_pass(service):
    service.told += [(200, json.dumps({"commit": "abc", "more": 1}))]
    check = smoke(url=service.url, contains="abc", expect_json={"commit": "abc"}, image=IMAGE).execute(context_of())
    assert check["verdict"] == "passed"
    assert check["image"] == IMAGE
    assert check["reason"] == f"{service.url} answered 200 as expected, 3 times in a row"
    assert service.times == 3


def test_a_wrong_answer_starts_the_count_again(service):
    service.told += [(200, "a"), (200, "a"), (503, "b"), (200, "a")]
    assert smoke(url=service.url).execute(context_of())["verdict"] == "passed"
    assert service.times == 6


def test_what_was_answered_last_is_said_when_the_time_is_over(service):
    service.told += [(503, "no backend")]
    message = refused(smoke(url=service.url, timeout=0.1))
    assert f"The smoke test of {service.url} did not pass within 0.1 s" in message
    assert "answered 503: no backend, and not with 200" in message


def test_a_redirect_is_the_answer(service):
    service.told += [(302, "")]
    assert smoke(url=service.url, expected_status=302, in_a_row=1).execute(context_of())["verdict"] == "passed"
    assert service.times == 1


def test_a_service_that_does_not_answer_fails_when_the_time_is_over():
    assert "http://127.0.0.1:1/ does not answer" in refused(smoke(url="http://127.0.0.1:1/", timeout=0.1))


def test_it_waits_in_the_triggerer_and_what_is_stored_is_the_whole_question(service):
    service.told += [(200, "a")]
    with pytest.raises(TaskDeferred) as deferred:
        smoke(url=service.url, deferrable=True, defer_after=0).execute(context_of())
    path, arguments = deferred.value.trigger.serialize()
    assert path == "tke_provider.triggers.checks.SmokeTestTrigger"
    again = type(deferred.value.trigger)(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)
    assert again.deadline == pytest.approx(time.time() + 30, abs=10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs either service or url"),
        ({"service": "web", "url": "http://web"}, "needs either service or url"),
        ({"url": "file:///etc/hostname"}, "is no http or https URL"),
        ({"service": "web", "image": "registry.example/web:1"}, "without a digest"),
        ({"url": "http://h:abc"}, "url 'http://h:abc' is no URL"),
        ({"url": "http://u:hunter2@h"}, "url carries a login"),
        ({"url": "http://127.0.0.1:1/", "in_a_row": 0}, "in_a_row is 0"),
        ({"url": "http://127.0.0.1:1/", "in_a_row": "thrice"}, "in_a_row is 'thrice'"),
    ],
)
def test_wrong_input_ends_the_task_at_once(arguments, message):
    said = refused(smoke(**arguments))
    assert message in said
    assert "hunter2" not in said


@pytest.mark.stack
@pytest.mark.usefixtures("connected")
async def test_a_service_without_pods_is_waited_for_because_the_proxy_does_not_tell_it_from_none(place):
    metadata = {"name": "web", "namespace": place.namespace}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}]}}
    await place.cluster.create(service)
    message = await asyncio.to_thread(refused, smoke(service="web", namespace=place.namespace, timeout=0.1))
    assert f"did not pass within 0.1 s: {place.namespace}/web:80/ has no endpoints" in message


@pytest.mark.stack
@pytest.mark.usefixtures("connected")
def test_a_service_that_does_not_exist_ends_the_task_at_once():
    message = refused(smoke(service="nothing", namespace="default"))
    assert "The smoke test of default/nothing did not pass:" in message
    assert 'services "nothing" not found' in message


def test_a_count_may_be_text_as_a_template_makes_it(service):
    service.told[:] = [(200, "ok")]
    smoke(url=service.url, in_a_row="2").execute(context_of())
    assert service.times == 2
