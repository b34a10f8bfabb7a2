from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tke_provider.exceptions import InputError
from tke_provider.operators.smoke_tests import TkeSmokeTestOperator

IMAGE = "registry.example/test/web@sha256:" + "5" * 64


def context_of(run_id: str = "r") -> dict:
    ti = SimpleNamespace(dag_id="d", run_id=run_id, task_id="t", map_index=-1, max_tries=0)
    return {"ti": ti}


def refused(task, error: type[Exception] = AirflowFailException) -> str:
    with pytest.raises(error) as caught:
        task.execute(context_of())
    return str(caught.value)


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
    known = {"timeout": 90, "poll_interval": 0.01, "deferrable": False}
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
    assert path == "tke_provider.triggers.smoke_tests.SmokeTestTrigger"
    again = type(deferred.value.trigger)(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)
    assert again.deadline == pytest.approx(time.time() + 90, abs=30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs either service or url"),
        ({"service": "web", "url": "http://web"}, "needs either service or url"),
        ({"url": "file:///etc/hostname"}, "is no http, https, tcp, grpc or grpcs URL"),
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


@pytest.mark.stack
@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"probe": "tcp", "port": 80}, "tcp://{}/web:80 took the connection as expected, 2 times in a row"),
        (
            {"probe": "exec", "command": ["echo", "{{ ready }}"], "contains": "ready"},
            "echo in {}/web ended with exit code 0 as expected, 2 times in a row",
        ),
    ],
    ids=["tcp", "exec"],
)
async def test_a_service_is_asked_in_its_pods_once_they_are_ready(place, running_pod, asked, reason):
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]}
    metadata = {"name": "web", "namespace": place.namespace}
    await place.cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    task = smoke(service="web", namespace=place.namespace, in_a_row=2, poll_interval=0.5, **asked)
    asking = asyncio.ensure_future(asyncio.to_thread(task.execute, context_of()))
    await running_pod("web", ["python3", "-m", "http.server", "8000"])
    assert (await asking)["reason"] == reason.format(place.namespace)


@pytest.mark.parametrize("command", ["true", "echo ready"])
def test_a_command_in_one_line_is_refused_for_no_shell_would_split_it(command):
    assert "command of task smoke is a text" in refused(smoke(service="web", probe="exec", command=command))


def test_a_misspelt_probe_is_refused_when_the_dag_is_parsed():
    with pytest.raises(InputError, match="probe is 'htttp'"):
        smoke(service="web", probe="htttp")
