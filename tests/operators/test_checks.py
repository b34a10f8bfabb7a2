from __future__ import annotations

import os
import signal
import threading
import uuid
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tke_provider.clients.engine import OPERATION_LABEL
from tke_provider.exceptions import InconclusiveError, InputError
from tke_provider.operators.base import operation_of
from tke_provider.operators.checks import TkeRunTestsOperator

GREEN = "<testsuite><testcase classname='web' name='answers'/></testsuite>"
RED = "<testsuite><testcase classname='web' name='answers'><failure message='no'/></testcase></testsuite>"
IMAGE = "registry.example/test/web@sha256:" + "5" * 64


def context_of(run_id: str = "r") -> dict:
    ti = SimpleNamespace(dag_id="d", run_id=run_id, task_id="t", map_index=-1, max_tries=0, try_number=1)
    return {"ti": ti}


def refused(task, error: type[Exception] = AirflowFailException) -> str:
    with pytest.raises(error) as caught:
        task.execute(context_of())
    return str(caught.value)


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
    counts = {"tests": 1, "failures": 0, "errors": 0, "skipped": 0, "quarantined": 0}
    assert check == {
        "verdict": "passed",
        "counts": counts,
        "reason": "1 tests passed",
        "image": str(image),
        "reports": "",
    }


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


def test_a_misspelt_runner_is_refused_when_the_dag_is_parsed():
    with pytest.raises(InputError, match="runner is 'pods'"):
        TkeRunTestsOperator(task_id="tests", image=IMAGE, command="true", runner="pods")


@pytest.mark.stack
def test_coverage_and_quarantine_hold_on_an_engine_too(tests):
    covered = "<coverage lines-valid='10' lines-covered='9'/>"
    mixed = RED.replace("</testsuite>", "<testcase name='t'/></testsuite>")
    both = f'echo "{mixed}" > /tmp/junit.xml; echo "{covered}" > /tmp/c.xml; exit 1'
    known = [{"test": "web::answers", "reason": "TICKET-7", "until": "2999-12-31"}]
    more = {"coverage_path": "/tmp/c.xml", "quarantine": known}
    check = tests(both, **more, min_coverage=90).execute(context_of("1"))
    assert check["reason"] == "1 tests passed, 1 failed in quarantine (web::answers); 90 % of the lines covered"
    assert "and 95 % are wanted" in refused(tests(both, **more, min_coverage=95))


@pytest.mark.parametrize("command", ["", []])
def test_no_command_is_refused(command):
    assert "has no command" in refused(TkeRunTestsOperator(task_id="tests", image=IMAGE, command=command))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"command": "sh -c 'a"}, "The command of task tests cannot be split: No closing quotation"),
        ({"environment": "A=1"}, "environment of task tests is a str"),
        ({"secrets": "database"}, "secrets of task tests is a text"),
        ({"secrets": ["database"]}, "has secrets, which runner 'engine' does not know"),
        ({"runner": "pod", "network": "bridge"}, "has network, which runner 'pod' does not know"),
        ({"runner": "pod", "pod_spec": "nodeSelector"}, "pod_spec is no pod's specification"),
        ({"min_coverage": 80}, "has min_coverage and no coverage_path"),
        ({"min_coverage": 0.8, "coverage_path": "/tmp/c.xml"}, "min_coverage is 0.8; write the percentage"),
        ({"quarantine": [{"test": "a"}]}, "is not whole"),
        ({"report_path": "junit.xml"}, "The report 'junit.xml' is no file's path"),
        ({"reports_path": "nosuch://bucket"}, "reports_path 'nosuch://bucket' cannot be used"),
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
