"""Tests of an image in a pod of a real kubelet."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tests.live_cluster import account, connect, until
from tke_provider.clients.kubernetes_streams import execute
from tke_provider.clients.run_pods import ref_of
from tke_provider.domain.manifests import ObjectRef
from tke_provider.exceptions import InconclusiveError
from tke_provider.operators.base import operation_of
from tke_provider.operators.checks import TkeRunTestsOperator
from tke_provider.operators.smoke_tests import TkeSmokeTestOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]

GREEN = "<testsuite><testcase classname='web' name='answers'/></testsuite>"
RED = "<testsuite><testcase classname='web' name='answers'><failure message='no'/></testcase></testsuite>"


def context_of(run_id: str = "r", max_tries: int = 0) -> dict:
    numbers = {"map_index": -1, "max_tries": max_tries, "try_number": 1}
    return {"ti": SimpleNamespace(dag_id="shop", run_id=run_id, task_id="tests", **numbers)}


def make(image: dict, namespace: str, script: str = "", **more: object) -> TkeRunTestsOperator:
    """A task that runs a script in a pod of its own."""
    known = {
        "image": image,
        "command": ["sh", "-c", script],
        "runner": "pod",
        "namespace": namespace,
        "timeout": 120,
        "poll_interval": 0.3,
        "memory": "128m",
        "cpus": 0.05,
        "deferrable": False,
    }
    return TkeRunTestsOperator(task_id="tests", **{**known, **more})


@pytest.fixture
def task(place, python):
    """The same in the namespace of the test."""
    return functools.partial(make, python, place.namespace)


@pytest.fixture
def pods(place):
    """The pods of the namespace that are not on their way out."""
    return place.pods


@pytest.fixture
def log(capsys):
    """What the task has logged until now."""
    said: list[str] = []

    def read() -> str:
        said.append(capsys.readouterr().out)
        return "".join(said)

    return read


def role() -> dict:
    """The least rights, as the documentation has them."""
    page = (Path(__file__).parents[2] / "docs" / "checks.md").read_text(encoding="utf-8")
    return yaml.safe_load(re.search(r"```yaml\n(apiVersion.*?)```", page, re.DOTALL)[1])


async def ran(operator: TkeRunTestsOperator, context: dict | None = None) -> dict:
    return await asyncio.to_thread(operator.execute, context or context_of())


async def refused(operator, context: dict | None = None, error: type[Exception] = AirflowFailException) -> str:
    with pytest.raises(error) as caught:
        await ran(operator, context)
    return str(caught.value)


def report(text: str, path: str = "/tmp/junit.xml") -> str:
    return f'printf %s "{text}" > {path}'


async def test_passing_tests_make_a_check_of_exactly_this_image_and_leave_no_pod(task, python, pods, log):
    check = await ran(task(f"echo to be read; {report(GREEN)}"))
    assert check["verdict"] == "passed"
    assert check["counts"]["tests"] == 1
    assert check["image"] == f"{python['repository']}@{python['digest']}"
    assert "to be read" in log()
    assert await pods() == []


async def test_a_failing_test_ends_the_task_at_once_and_is_named(task, pods):
    said = await refused(task(f"{report(RED)}; exit 1"))
    assert "does not pass its tests: 1 of 1 tests failed: web::answers (no)" in said
    assert await pods() == []


@pytest.mark.parametrize("script", ["true", "mkdir /tmp/junit.xml", "echo rubbish > /tmp/junit.xml"])
async def test_no_report_and_rubbish_are_never_taken_for_a_pass(task, script):
    assert "say nothing" in await refused(task(script), error=InconclusiveError)


async def test_a_report_of_another_folder_and_a_coverage_report_come_back(task):
    cobertura = "<coverage lines-valid='10' lines-covered='9'/>"
    script = f"mkdir /out/sub; {report(GREEN, '/out/own.xml')}; {report(cobertura, '/out/sub/cov.xml')}"
    more = {"report_path": "/out/own.xml", "coverage_path": "/out/sub/cov.xml"}
    check = await ran(task(script, **more, min_coverage=90))
    assert check["reason"] == "1 tests passed; 90 % of the lines covered"
    said = await refused(task(script, **more, min_coverage=91), context_of("2"))
    assert "90 % of the lines covered, and 91 % are wanted" in said


async def test_a_report_that_is_too_large_is_not_read(task, pods):
    said = await refused(task("head -c 20000000 /dev/zero > /tmp/junit.xml"))
    assert "a report may have 16777216" in said
    assert await pods() == []


async def test_a_large_report_arrives_whole(task):
    script = "python3 -c \"print('<testsuite>' + '<testcase name=\\'t\\'/>' * 200000 + '</testsuite>')\""
    check = await ran(task(f"{script} > /tmp/junit.xml"))
    assert check["counts"]["tests"] == 200_000


async def test_tests_that_need_more_memory_than_they_may_say_so(task):
    script = "import sys; x = 'x' * 10**9"
    said = await refused(task(command=["python3", "-c", script], memory="32m"), error=InconclusiveError)
    assert "used more memory than the 32m that they may" in said


async def test_a_command_that_the_image_lacks_is_named_within_seconds(task, pods):
    said = await refused(task(command=["no-such-program"]))
    assert "cannot be run: the command cannot be started" in said
    assert "no-such-program" in said
    assert await pods() == []


async def test_an_image_that_cannot_be_pulled_is_told_long_before_the_time_is_over(place, python, pods):
    said = await refused(make({**python, "digest": "sha256:" + "0" * 64}, place.namespace))
    assert "container tests of pod tests-" in said or "container reader of pod tests-" in said
    assert "not found" in said
    assert await pods() == []


async def test_a_missing_secret_is_named(task):
    assert 'secret "database" not found' in await refused(task(secrets=["database"]))


async def test_secrets_become_variables_and_what_tests_print_of_them_is_masked(task, place, monkeypatch):
    masked: list[str] = []
    monkeypatch.setattr("tke_provider.hooks.connections.mask_secret", masked.append)
    data = {"PASSWORD": base64.b64encode(b"hunter2\nsecond-line").decode()}
    metadata = {"name": "database", "namespace": place.namespace}
    await place.cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
    await ran(task(f'test "$PASSWORD" = "hunter2\nsecond-line" && {report(GREEN)}', secrets=["database"]))
    assert {"hunter2\nsecond-line", "second-line"} <= set(masked)


async def begun(operator: TkeRunTestsOperator, context: dict) -> None:
    """Start the pod, whose time is counted anew by the next try: how long it takes to start says nothing of it."""
    operator.deferrable, operator.defer_after = True, 0
    with pytest.raises(TaskDeferred):
        await ran(operator, context)


async def test_what_finds_no_node_says_why_and_is_given_up_when_the_time_is_over(task, place, pods, log):
    lost = functools.partial(task, pod_spec={"nodeSelector": {"test": "nowhere"}}, timeout=2)
    await begun(lost(), context_of("lost"))
    await until(place.unschedulable)
    said = await refused(lost(), context_of("lost"))
    assert "were killed after 2 s: pod tests-" in said
    assert "has no node: 0/" in said
    assert "Waiting: pod tests-" in log()
    assert await pods() == []


async def test_tests_that_take_too_long_are_killed_and_their_words_kept(task, pods, log):
    endless = functools.partial(task, "echo begun; sleep 600", timeout=4)
    await begun(endless(), context_of("endless"))

    async def runs() -> bool:
        told = [each for pod in await pods() for each in pod["status"].get("containerStatuses") or ()]
        return bool(told) and all("running" in each["state"] for each in told)

    await until(runs)
    said = await refused(endless(), context_of("endless"))
    assert "were killed after 4 s" in said
    assert "begun" in log()
    assert await pods() == []


async def test_output_is_logged_line_by_line_while_the_tests_run(task, place, log):
    running = asyncio.ensure_future(
        ran(task(f"echo early; while ! test -e /tmp/go; do sleep 0.1; done; {report(GREEN)}"))
    )

    async def heard() -> bool:
        return "early" in log()

    await until(heard)
    assert not running.done()
    name = (await place.pods())[0]["metadata"]["name"]
    await execute(place.cluster, place.namespace, name, "tests", ["touch", "/tmp/go"])
    assert (await running)["verdict"] == "passed"
    assert log().count("early") == 1


async def test_a_retry_finds_the_pod_that_a_killed_worker_left_and_runs_nothing_twice(task, place):
    context = context_of("killed")
    script = f"echo ran; sleep 2; {report(GREEN)}"
    with pytest.raises(TaskDeferred):
        await ran(task(script, deferrable=True, defer_after=0), context)
    first = await place.pods()
    assert (await ran(task(script), context))["verdict"] == "passed"
    assert len(first) == 1
    assert await place.pods() == []


async def test_a_retry_after_the_worker_was_killed_reads_what_the_same_pod_says(task, place, python, log):
    context = context_of("killed hard")
    script = f"echo ran; while ! test -e /tmp/go; do sleep 0.1; done; {report(GREEN)}"
    program = (
        "import sys; sys.path.insert(0, '.'); from tests.operators.test_checks_in_a_pod import *;"
        f"make({python!r}, {place.namespace!r}, {script!r}).execute(context_of('killed hard'))"
    )
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=-3, stderr=-3)
    ref = ref_of(place.namespace, operation_of(context).id)

    async def runs() -> str:
        live = await place.cluster.get(ref)
        return live["metadata"]["uid"] if live and live.get("status", {}).get("phase") == "Running" else ""

    killed = await until(runs)
    worker.kill()
    await worker.wait()
    again = asyncio.ensure_future(ran(task(script), context))
    await until(lambda: asyncio.to_thread(lambda: "is there already" in log()))
    assert await runs() == killed
    await execute(place.cluster, ref.namespace, ref.name, "tests", ["touch", "/tmp/go"])
    assert (await again)["verdict"] == "passed"
    assert await place.pods() == []


async def test_a_pod_that_was_to_test_another_image_is_replaced(task, place):
    context = context_of("edited")
    with pytest.raises(TaskDeferred):
        await ran(task(report(RED), deferrable=True, defer_after=0), context)
    assert (await ran(task(report(GREEN)), context))["verdict"] == "passed"


async def test_two_tries_at_once_make_one_pod(task, place):
    context = context_of("twice")
    script = f"sleep 60; {report(GREEN)}"
    made = [ran(task(script, deferrable=True, defer_after=0), context) for _ in range(2)]
    assert all(isinstance(each, TaskDeferred) for each in await asyncio.gather(*made, return_exceptions=True))
    assert len(await place.pods()) == 1


async def test_it_waits_in_the_triggerer_by_ids_alone_and_concludes_in_another_process(task, place, log):
    context = context_of("deferred")
    script = f"echo words; {report(GREEN)}"
    with pytest.raises(TaskDeferred) as deferred:
        await ran(task(script, deferrable=True, defer_after=0, environment={"TOKEN": "visible"}), context)
    path, arguments = deferred.value.trigger.serialize()
    assert path == "tke_provider.triggers.checks.PodRunTrigger"
    assert set(arguments) - {"deadline", "poll_interval"} == {
        "namespace", "pod", "operation", "cluster_id", "region", "tke_conn_id",
    }  # fmt: skip
    verdict = await type(deferred.value.trigger)(**arguments).wait()
    again = task(script, deferrable=True)
    check = await asyncio.to_thread(again.execute_complete, context, verdict.as_event())
    assert check["verdict"] == "passed"
    assert log().count("words") == 1


async def test_a_deleted_pod_is_inconclusive(task, place):
    context = context_of("deleted")
    running = asyncio.ensure_future(refused(task("sleep 60"), context, InconclusiveError))
    ref = ref_of(place.namespace, operation_of(context).id)

    async def runs() -> bool:
        live = await place.cluster.get(ref)
        return bool(live) and live.get("status", {}).get("phase") == "Running"

    await until(runs)
    await place.cluster.delete(ref)
    assert "say nothing: pod tests-" in await running


async def test_a_killed_task_leaves_no_pod(task, place):
    operator = task("sleep 600")
    running = asyncio.ensure_future(asyncio.to_thread(operator.execute, context_of("killed by a person")))
    await until(place.pods)
    operator.on_kill()
    with contextlib.suppress(BaseException):
        await running
    assert await place.pods() == []


async def test_a_person_who_ends_the_wait_ends_the_pod(task, place):
    context = context_of("ended by a person")
    with pytest.raises(TaskDeferred) as deferred:
        await ran(task("sleep 600", deferrable=True, defer_after=0), context)
    await deferred.value.trigger.ended_by_person()
    assert await place.pods() == []


async def test_an_image_that_cannot_keep_reports_wants_another_that_can(task, engine, build, context):
    bare = f"{build.repository}@{await engine.build(context('COPY content /content', start='scratch'), build, print)}"
    said = await refused(task("sleep 60", reader_image=bare))
    assert "the container that keeps the reports does not stay up" in said
    assert "sleep" in said
    assert "pass reader_image" in said


async def test_a_reader_that_cannot_be_pulled_is_told_even_when_the_tests_have_ended(task, registry):
    reader = f"{registry.host}/base/nothing@sha256:{'0' * 64}"
    said = await refused(task(report(GREEN), reader_image=reader))
    assert "container reader of pod" in said


async def test_a_pod_of_somebody_else_is_left_alone(task, place, running_pod):
    name = ref_of(place.namespace, operation_of(context_of("foreign")).id).name
    await running_pod(name, ["sleep", "600"])
    assert "is not of this task" in await refused(task(report(GREEN)), context_of("foreign"))
    assert len(await place.pods()) == 1


async def test_tests_run_in_a_namespace_that_is_restricted(task, place):
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    await place.cluster.patch(ObjectRef("v1", "Namespace", "", place.namespace), {"metadata": {"labels": label}})
    said = await refused(task(report(GREEN)))
    assert 'violates PodSecurity "restricted:latest"' in said
    nobody = {"securityContext": {"runAsNonRoot": True, "runAsUser": 65534}}
    check = await ran(task(f"id; {report(GREEN)}", pod_spec=nobody), context_of("2"))
    assert check["verdict"] == "passed"


async def test_reports_are_kept_whatever_the_verdict(task, tmp_path):
    keeping = {"reports_path": f"file://{tmp_path}", "reports_url": "https://reports.example/ci/"}
    operator = task(f"{report(RED)}; exit 1", **keeping)
    await refused(operator, context_of("manual__2026-03-02T10:00:00+08:00"))
    kept = tmp_path / "shop" / "manual__2026-03-02T10_00_00_08_00" / "tests" / "1" / "junit.xml"
    assert kept.read_text() == RED
    link = operator.operator_extra_links[1].get_link(operator, ti_key=None)
    assert link == f"https://reports.example/ci/{kept.relative_to(tmp_path)}"


async def test_a_storage_that_does_not_work_changes_no_verdict(task, tmp_path):
    (tmp_path / "file").touch()
    check = await ran(task(report(GREEN), reports_path=f"file://{tmp_path}/file"))
    assert (check["verdict"], check["reports"]) == ("passed", "")


async def test_a_namespace_that_does_not_exist_ends_the_task_at_once(python):
    assert 'namespaces "nowhere-to-test" not found' in await refused(make(python, "nowhere-to-test"))


async def test_the_rights_that_the_documentation_names_are_enough(
    task, place, python, running_pod, kubeconfig, monkeypatch
):
    await running_pod("web", ["python3", "-m", "http.server", "8000"])
    metadata = {"name": "web", "namespace": place.namespace}
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]}
    await place.cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    connect(await account(place, kubeconfig, role()), monkeypatch)
    assert (await ran(task(report(GREEN))))["verdict"] == "passed"
    for probe in ({"probe": "http"}, {"probe": "tcp"}, {"probe": "exec", "command": ["true"]}):
        asked = {"service": "web", "namespace": place.namespace, "in_a_row": 1, "deferrable": False}
        smoke = TkeSmokeTestOperator(task_id="smoke", **asked, **probe)
        assert (await asyncio.to_thread(smoke.execute, context_of()))["verdict"] == "passed"


async def test_without_the_right_to_read_a_secret_the_tests_run_and_the_log_says_that_it_masks_nothing(
    task, place, kubeconfig, monkeypatch, log
):
    metadata = {"name": "database", "namespace": place.namespace}
    data = {"PASSWORD": base64.b64encode(b"hunter2").decode()}
    await place.cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
    connect(await account(place, kubeconfig, role()), monkeypatch)
    script = f'test "$PASSWORD" = hunter2 && {report(GREEN)}'
    assert (await ran(task(script, secrets=["database"])))["verdict"] == "passed"
    assert "Secret database cannot be read, so this log does not mask what it holds" in log()
