"""Helm releases through the emulated cloud, which runs the real helm on the live cluster."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.live_cluster import until
from tke_provider.clients.helm import HelmReleases
from tke_provider.exceptions import UnavailableError
from tke_provider.operators.helm import TkeHelmReleaseOperator, TkeHelmRollbackOperator, TkeHelmUninstallOperator

ROOT = Path(__file__).parents[2]
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeSelector: {test: {{ .Values.node | quote }}}
      tolerations: [{operator: Exists}]
      containers: [{name: web, image: {{ .Values.image | quote }}}]
"""


def run_of(run_id: str = "r") -> dict[str, Any]:
    """The context of a task; its XCom outlives a try only as long as the context does."""
    kept: dict[str, Any] = {}
    ti = SimpleNamespace(dag_id="shop", run_id=run_id, task_id="web", map_index=-1, max_tries=0, try_number=1)
    ti.xcom_push = lambda key, value: kept.update({key: value})
    ti.xcom_pull = lambda key, map_indexes: kept[key]  # Airflow's signature
    return {"ti": ti}


def release(place, chart: str, **more: Any) -> TkeHelmReleaseOperator:
    given = {"timeout": 120, "poll_interval": 0.3, "wait_for_workloads": False, **more}
    return TkeHelmReleaseOperator(task_id="web", release="web", namespace=place.namespace, chart=chart, **given)


def task(kind, place, **more: Any):
    given = {"timeout": 120, "poll_interval": 0.3, "wait_for_workloads": False, **more}
    return kind(task_id="web", release="web", namespace=place.namespace, **given)


async def done(operator, context: dict | None = None) -> Any:
    return await asyncio.to_thread(operator.execute, context or run_of())


async def refused(operator, context: dict | None = None) -> str:
    with pytest.raises(AirflowFailException) as caught:
        await done(operator, context)
    return str(caught.value)


async def greeting(place) -> str | None:
    found = await place.cluster.get(place.ref("ConfigMap", api_version="v1"))
    return found["data"]["greeting"] if found else None


def changes(cloud) -> list[str]:
    """What was asked of helm, in order."""
    actions = ("CreateClusterRelease", "UpgradeClusterRelease", "RollbackClusterRelease", "UninstallClusterRelease")
    calls = [call for action in actions for call in cloud.calls(action)]
    return [call["action"].removesuffix("ClusterRelease") for call in sorted(calls, key=lambda call: call["time"])]


pytestmark = [pytest.mark.stack, pytest.mark.asyncio]


async def test_a_chart_is_installed_then_upgraded_and_the_same_again_is_left_alone(helm_cloud, place, charts):
    first, second = charts.add("web", "1.0.0", greeting="hello"), charts.add("web", "1.1.0", greeting="hello")
    made = await done(release(place, first))
    assert made == {
        "release": "web",
        "namespace": place.namespace,
        "cluster": "cls-local000",
        "chart": "web-1.0.0",
        "revision": 1,
        "previous": 0,
    }
    again = await done(release(place, first))
    assert (again["revision"], again["previous"]) == (1, 1)
    upgraded = await done(release(place, second, values={"greeting": "ni hao"}))
    assert (upgraded["revision"], upgraded["previous"], upgraded["chart"]) == (2, 1, "web-1.1.0")
    assert await greeting(place) == "ni hao"
    assert (await done(release(place, second, values="greeting: ni hao")))["revision"] == 2
    assert (await done(release(place, second)))["revision"] == 2
    assert (await done(release(place, second, values={"greeting": "hi"})))["revision"] == 3
    assert await greeting(place) == "hi"
    assert changes(helm_cloud) == ["Create", "Upgrade", "Upgrade"]


async def test_a_chart_is_named_in_a_repository_that_wants_a_login(helm_cloud, place, charts, monkeypatch):
    charts.add("web", "1.0.0", greeting="hello")
    charts.login = ("user", "chart-password")
    monkeypatch.setenv("AIRFLOW_CONN_CHARTS", "http://user:chart-password@charts")
    named = {"repository": charts.url, "chart_version": "1.0.0", "chart_conn_id": "charts"}
    assert (await done(release(place, "web", **named)))["revision"] == 1
    assert (await done(release(place, "web", **named)))["revision"] == 1


async def test_a_failed_upgrade_ends_with_helms_words_and_what_served_before(helm_cloud, place, charts):
    good = charts.add("web", "1.0.0", greeting="hello")
    bad = charts.add("web", "2.0.0", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, labels: [no]}\n")
    await done(release(place, good))
    said = await refused(release(place, bad))
    assert "Helm release" in said
    assert "upgrade release error: " in said
    assert "labels" in said
    assert "revision 1 serves" in said
    assert await greeting(place) == "hello"


async def test_a_workload_that_does_not_come_up_takes_the_release_back(helm_cloud, place, charts):
    good = charts.add("web", "1.0.0", DEPLOYMENT, image="web:1", node=place.namespace)
    bad = charts.add("web", "2.0.0", DEPLOYMENT, image="web:2", node=f"{place.namespace}-idle")
    assert (await done(release(place, good, wait_for_workloads=True)))["revision"] == 1
    context = run_of()
    failing = asyncio.create_task(refused(release(place, bad, wait_for_workloads=True), context))
    pod = await place.pod("web:2")
    await place.say(pod, state={"waiting": {"reason": "ErrImageNeverPull", "message": "no web:2 here"}})
    said = await failing
    assert "no web:2 here" in said
    assert "revision 1 serves again" in said
    live = await place.cluster.get(place.ref("Deployment"))
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1"


async def test_what_is_to_be_kept_is_kept(helm_cloud, place, charts):
    bad = charts.add("web", "1.0.0", DEPLOYMENT, image="web:1", node=f"{place.namespace}-idle")
    operator, context = release(place, bad, wait_for_workloads=True, timeout=2, on_failure="keep"), run_of()
    await asyncio.to_thread(lambda: asyncio.run(operator.change(context)))
    await place.pod("web:1")
    said = await refused(operator, context)
    assert "left as it is" in said
    assert await place.cluster.get(place.ref("Deployment")) is not None


async def test_nothing_is_left_of_an_installation_that_failed_and_it_can_be_tried_again(helm_cloud, place, charts):
    url = charts.add("web", "1.0.0")
    said = await refused(release(place, url))
    assert "a greeting is needed" in said
    assert "nothing of it is left" in said
    assert (await done(release(place, url, values={"greeting": "hello"})))["revision"] == 1


@pytest.mark.parametrize("action", ["CreateClusterRelease", "UpgradeClusterRelease"])
async def test_a_change_whose_answer_is_lost_is_found_and_made_once(helm_cloud, place, charts, action):
    first, second = charts.add("web", "1.0.0", greeting="hello"), charts.add("web", "1.1.0", greeting="hi")
    if action == "UpgradeClusterRelease":
        await done(release(place, first))
    helm_cloud.trouble("lost_answer", action)
    made = await done(release(place, second))
    assert (made["chart"], len(helm_cloud.calls(action))) == ("web-1.1.0", 1)


async def test_a_change_that_never_arrived_is_not_taken_for_made(helm_cloud, place, charts):
    helm_cloud.trouble("server_error", "CreateClusterRelease")
    with pytest.raises(UnavailableError, match="gave no answer"):
        await done(release(place, charts.add("web", "1.0.0", greeting="hello")))
    assert await greeting(place) is None


WORKER = """
import sys
from tests.operators.test_helm import TkeHelmReleaseOperator, run_of
namespace, chart = sys.argv[1:]
print("begins", flush=True)
TkeHelmReleaseOperator(task_id="web", release="web", namespace=namespace, chart=chart, timeout=60).execute(run_of())
"""


@pytest.mark.parametrize("call", ["DescribeClusterReleases", "CreateClusterRelease"])
async def test_a_retry_goes_on_where_a_killed_worker_was(helm_cloud, place, charts, call):
    url = charts.add("web", "1.0.0", greeting="hello")
    argv = [sys.executable, "-c", WORKER, place.namespace, url]
    worker = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.DEVNULL, cwd=ROOT)

    async def called() -> bool:
        return bool(helm_cloud.calls(call)) or worker.returncode is not None

    await until(called)
    with contextlib.suppress(ProcessLookupError):  # a quick one has ended by now, which the retry must not mind either
        worker.kill()
    await worker.wait()
    assert (await done(release(place, url)))["revision"] == 1
    assert changes(helm_cloud) == ["Create"]


async def test_a_release_goes_back_once_however_often_the_task_runs(helm_cloud, place, charts):
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        await done(release(place, charts.add("web", version, greeting=version)))
    back = await done(task(TkeHelmRollbackOperator, place))
    assert (back["revision"], back["previous"], back["chart"]) == (4, 3, "web-1.1.0")
    assert (await done(task(TkeHelmRollbackOperator, place)))["revision"] == 4
    first = await done(task(TkeHelmRollbackOperator, place, revision="1"))
    assert (first["revision"], first["chart"]) == (5, "web-1.0.0")
    assert (await done(task(TkeHelmRollbackOperator, place, revision=1)))["revision"] == 5
    assert "no revision 9" in await refused(task(TkeHelmRollbackOperator, place, revision=9))
    assert changes(helm_cloud).count("Rollback") == 2


async def test_a_release_is_removed_once_and_one_that_is_not_there_is_no_error(helm_cloud, place, charts):
    await done(release(place, charts.add("web", "1.0.0", greeting="hello")))
    for _ in range(2):
        assert await done(task(TkeHelmUninstallOperator, place)) is None
    assert await greeting(place) is None
    assert changes(helm_cloud) == ["Create", "Uninstall"]
    assert "There is no Helm release" in await refused(task(TkeHelmRollbackOperator, place))


async def test_a_release_of_which_only_the_history_is_left_is_made_anew(helm_cloud, place, charts):
    from local.helm.program import program

    url = charts.add("web", "1.0.0", greeting="hello")
    await done(release(place, url))
    kubeconfig = {"KUBECONFIG": os.environ["TKE_TEST_KUBECONFIG"]}
    argv = [str(program()), "uninstall", "web", "--keep-history", "--namespace", place.namespace]
    by_hand = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.DEVNULL, env=kubeconfig)
    assert await by_hand.wait() == 0
    made = await done(release(place, url))
    assert (made["revision"], made["previous"], await greeting(place)) == (1, 0, "hello")


async def test_waiting_is_handed_to_the_triggerer_by_ids_alone(helm_cloud, place, charts):
    from airflow.providers.common.compat.sdk import TaskDeferred

    operator = release(place, charts.add("web", "1.0.0", greeting="hello"), deferrable=True, defer_after=0)
    context = run_of()
    with pytest.raises(TaskDeferred) as deferred:
        await done(operator, context)
    _, arguments = deferred.value.trigger.serialize()
    assert arguments["release"] == "web"
    assert not any("secret-key" in str(value) for value in arguments.values())
    verdict = await deferred.value.trigger.wait()
    made = await asyncio.to_thread(operator.execute_complete, context, verdict.as_event())
    assert made["revision"] == 1


async def test_a_release_that_somebody_is_changing_is_waited_for(helm_cloud, place, charts, monkeypatch):
    url = charts.add("web", "1.0.0", greeting="hello")
    seen = HelmReleases.changes
    busy = [[SimpleNamespace(id="x", status="pending-upgrade", failed=False)]]

    async def once(self):
        return busy.pop() if busy else await seen(self)

    # Helm is too quick to be met at work.
    monkeypatch.setattr(HelmReleases, "changes", once)
    assert (await done(release(place, url)))["revision"] == 1
    assert not busy
