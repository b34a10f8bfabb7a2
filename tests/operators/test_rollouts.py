import asyncio
import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tests.live_cluster import account, connect, deploy, named, refused, released, run_of, until
from tke_provider.clients import leases, releases
from tke_provider.domain.assets import release_event
from tke_provider.domain.manifests import annotation, images_of
from tke_provider.domain.operations import COMMIT, OPERATION, SIZED_BY
from tke_provider.domain.releases import Stage
from tke_provider.exceptions import BusyError
from tke_provider.operators.base import operation_of
from tke_provider.operators.rollouts import TkeDeployServiceOperator
from tke_provider.plugin.board import _history

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]

SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}
CRASHED = {
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
    "lastState": {"terminated": {"reason": "Error", "exitCode": 3}},
    "restartCount": 1,
}


def job(place, **more) -> dict:
    """A Job, whose pods kwok lets succeed."""
    template = place.workload(**more)["spec"]["template"]
    template["spec"]["restartPolicy"] = "Never"
    spec = {"template": template, "backoffLimit": 0}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "web"}, "spec": spec}


async def record_of(place):
    return await releases.read(place.cluster, place.namespace, "web")


async def free(place) -> bool:
    """Whether somebody else could change the service now."""
    live = await place.cluster.get(leases.lease_of(place.namespace, "web"))
    return not live or not live["spec"].get("holderIdentity")


async def begun(place, digit: str, context: dict, *manifests: dict) -> TkeDeployServiceOperator:
    """Begin a release whose worker then dies."""
    operator = deploy(place, digit, *(manifests or [place.workload(kubelet=False)]))
    await asyncio.to_thread(lambda: asyncio.run(operator.change(context)))
    return operator


# --- it comes up ---------------------------------------------------------------------------------------------------


async def test_a_first_release_serves_the_digest_and_says_what_it_did(place):
    release = await released(deploy(place, "a", place.workload(replicas=2), SERVICE))
    operation = operation_of(run_of()).id
    assert release == {
        "service": "web",
        "namespace": place.namespace,
        "cluster": "",
        "images": {"web/web": named("a")},
        "commit": "a" * 40,
        "revision": "web=1",
        "previous": {},
        "op": operation,
        "record": 1,
    }
    live = await place.cluster.get(place.ref("Deployment"))
    assert live["status"]["availableReplicas"] == 2
    assert (annotation(live, OPERATION), annotation(live, COMMIT)) == (operation, "a" * 40)
    assert (await record_of(place)).stage is Stage.LIVE
    assert await free(place)


async def test_the_record_the_event_and_the_board_say_who_released_what_when_and_after_which_checks(place):
    await released(deploy(place, "b"), run_of("run-0"))
    given = {"checks": [{"verdict": "passed", "reason": "12 tests passed"}, "looked at by hand"], "approver": "bob"}
    context = run_of() | {"dag_run": SimpleNamespace(triggering_user_name="ann")}
    await released(deploy(place, "a", **given), context)
    record, _ = await releases.history(place.cluster, place.namespace, "web")
    assert (record.who, record.approver, record.revision, record.strategy) == ("ann", "bob", 2, "deploy")
    assert record.checks == ("passed: 12 tests passed", "looked at by hand")
    assert (record.commit, record.images) == ("a" * 40, {"web": named("a")})
    assert record.started < record.finished
    assert [each["kind"] for each in record.applied] == ["Deployment"]
    told, (drawn, _) = release_event(record, "cls-1"), _history([record, _])["records"]
    for shown in (told, drawn):
        assert (shown["who"], shown["approver"], shown["revision"]) == ("ann", "bob", 2)
        assert (shown["commit"], shown["images"]) == ("a" * 40, {"web": named("a")})
        assert (*shown["checks"],) == record.checks
        assert (shown["changes"], shown["way_back"]) == ("1 changed", {"web/web": named("b")})
        assert shown["duration"] == record.duration > 0


async def test_the_next_release_names_what_served_before(place):
    await released(deploy(place, "a"))
    release = await released(deploy(place, "b"), run_of("run-2"))
    assert (release["images"], release["previous"]) == ({"web/web": named("b")}, {"web/web": named("a")})
    assert release["revision"] == "web=2"


async def test_the_same_again_restarts_no_pod(place):
    first = await released(deploy(place, "a"))
    pods = {pod["metadata"]["uid"] for pod in await place.pods()}
    again = await released(deploy(place, "a"), run_of("run-2"))
    assert again["revision"] == first["revision"]
    assert {pod["metadata"]["uid"] for pod in await place.pods()} == pods
    assert annotation(await place.cluster.get(place.ref("Deployment")), OPERATION) == again["op"]


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
async def test_other_workloads_roll_out_too(place, kind):
    workload = place.workload(kind)
    first = await released(deploy(place, "a", workload))
    second = await released(deploy(place, "b", workload), run_of("run-2"))
    assert first["revision"] != second["revision"]
    assert {pod["spec"]["containers"][0]["image"] for pod in await place.pods()} == {named("b")}


async def test_a_missing_namespace_is_made_when_asked_for(place):
    missing = dataclasses.replace(place, namespace=f"{place.namespace}-new")
    assert "has no namespace" in await refused(deploy(missing))
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}}
    unwaited = dict(place.workload(replicas=0))
    try:
        assert (await released(deploy(missing, "a", unwaited, settings, create_namespace=True)))["op"]
    finally:
        await place.cluster.delete(missing.ref("Namespace", missing.namespace, "v1"))


async def test_the_documented_role_is_enough_to_release_and_to_roll_back(place, kubeconfig, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "rollouts.md").read_text(encoding="utf-8")
    role = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    connect(await account(place, kubeconfig, role), monkeypatch)
    await released(deploy(place, "a", place.workload(), SERVICE))
    failing = asyncio.create_task(refused(deploy(place, "b", place.workload(kubelet=False)), run_of("run-2")))
    await place.say(await place.pod(named("b")), **CRASHED)
    assert f"web/web {named('a')} serves again" in await failing


async def test_a_namespace_that_was_made_for_a_refused_release_goes_again(place):
    missing = dataclasses.replace(place, namespace=f"{place.namespace}-new")
    wrong = dict(SERVICE, spec={"ports": [{"port": 99999999}]})
    assert "refuses" in await refused(deploy(missing, "a", place.workload(), wrong, create_namespace=True))
    ref = missing.ref("Namespace", missing.namespace, "v1")

    async def gone():
        live = await place.cluster.get(ref)
        return live is None or live["metadata"].get("deletionTimestamp")

    assert await gone()


async def test_a_namespace_that_somebody_else_made_stays(place):
    wrong = dict(SERVICE, spec={"ports": [{"port": 99999999}]})
    await refused(deploy(place, "a", place.workload(), wrong, create_namespace=True))
    live = await place.cluster.get(place.ref("Namespace", place.namespace, "v1"))
    assert "deletionTimestamp" not in live["metadata"]


async def test_a_job_is_done_once_for_each_version(place):
    ref, jobs = place.ref("Job", api_version="batch/v1"), []
    for number, digit in enumerate("aab"):
        await released(deploy(place, digit, job(place)), run_of(f"run-{number}"))
        jobs.append(await place.cluster.get(ref))
    first, again, changed = (each["metadata"]["uid"] for each in jobs)
    assert first == again != changed
    assert images_of(jobs[2:]) == {"web/web": named("b")}
    assert jobs[2]["status"]["succeeded"] == 1


async def test_a_job_that_fails_is_told_and_what_it_did_before_is_not_done_again(place):
    await released(deploy(place, "a", job(place)))
    failing = asyncio.create_task(refused(deploy(place, "b", job(place, kubelet=False)), run_of("run-2")))
    pod = await place.pod(named("b"))
    await place.say(pod, phase="Failed", state={"terminated": {"reason": "Error", "exitCode": 3}})
    said = await failing
    assert "Job" in said
    assert "BackoffLimitExceeded" in said
    assert await place.cluster.get(place.ref("Job", api_version="batch/v1")) is None


# --- bad input changes nothing -------------------------------------------------------------------------------------


async def test_one_manifest_that_the_cluster_refuses_keeps_all_others_from_being_applied(place):
    wrong = dict(SERVICE, spec={"ports": [{"port": 99999999}]})
    said = await refused(deploy(place, "a", place.workload(), wrong))
    assert "refuses to patch services web" in said
    assert "spec.ports[0].port: Invalid value" in said
    assert await place.cluster.get(place.ref("Deployment")) is None
    assert await record_of(place) is None
    assert await free(place)


async def test_a_field_with_a_typing_error_is_refused_not_dropped(place):
    said = await refused(deploy(place, "a", place.workload(replica=3)))
    assert ".spec.replica: field not declared in schema" in said


async def test_a_kind_that_the_cluster_does_not_serve_is_refused(place):
    unknown = {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "web"}}
    assert "serves no kind Gadget of example.com/v1" in await refused(deploy(place, "a", place.workload(), unknown))


async def test_a_manifest_for_another_namespace_is_refused(place):
    elsewhere = dict(SERVICE, metadata={"name": "web", "namespace": "default"})
    assert "names another namespace" in await refused(deploy(place, "a", place.workload(), elsewhere))


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"manifests": None}, "does not say where its manifests are"),
        ({"manifests": "a: [", "git_url": None}, "is not YAML"),
        ({"manifests": None, "git_url": "https://example.com/a.git"}, "does not say where its manifests are"),
    ],
)
async def test_manifests_that_cannot_be_read_are_refused(place, more, problem):
    assert problem in await refused(deploy(place, "a", **more))


# --- it does not come up -------------------------------------------------------------------------------------------


async def test_a_crashing_release_is_rolled_back_to_what_served(place):
    await released(deploy(place, "a"))
    bad = asyncio.create_task(refused(deploy(place, "b", place.workload(kubelet=False)), run_of("run-2")))
    await place.say(pod := await place.pod(named("b")), **CRASHED)
    said = await bad
    assert said.startswith(
        f"web in namespace {place.namespace} did not come up and was rolled back: web/web {named('a')} serves again"
    )
    assert f"container web of pod {pod['metadata']['name']} crashed 2 times: Error, exit code 3" in said
    live = await place.cluster.get(place.ref("Deployment"))
    assert images_of([live]) == {"web/web": named("a")}
    assert live["spec"]["template"]["spec"]["nodeSelector"] == {"test": place.namespace}
    assert live["status"]["availableReplicas"] == 1
    assert (await record_of(place)).stage is Stage.ROLLED_BACK
    assert await free(place)


async def test_a_rollback_takes_back_every_object_that_the_release_touched(place):
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"a": "1"}}
    await released(deploy(place, "a", place.workload(), settings))
    changed = dict(settings, metadata={"name": "web"}, data={"b": "2"})
    bad = deploy(place, "b", place.workload(kubelet=False), changed, SERVICE)
    failing = asyncio.create_task(refused(bad, run_of("run-2")))
    await place.say(await place.pod(named("b")), **CRASHED)
    await failing
    assert (await place.cluster.get(place.ref("ConfigMap", api_version="v1")))["data"] == {"a": "1"}
    assert await place.cluster.get(place.ref("Service", api_version="v1")) is None


async def test_a_failed_first_release_leaves_nothing_behind(place):
    failing = asyncio.create_task(refused(deploy(place, "a", place.workload(kubelet=False), SERVICE)))
    await place.say(await place.pod(named("a")), **CRASHED)
    assert "nothing served before, so what it created was deleted" in await failing
    assert await place.cluster.get(place.ref("Deployment")) is None
    assert await place.cluster.get(place.ref("Service", api_version="v1")) is None


async def test_a_stateful_set_does_not_wait_for_its_broken_pod_when_rolled_back(place):
    await released(deploy(place, "a", place.workload("StatefulSet")))
    bad = deploy(place, "b", place.workload("StatefulSet", kubelet=False))
    failing = asyncio.create_task(refused(bad, run_of("run-2")))
    await place.say(await place.pod(named("b")), **CRASHED)
    assert f"rolled back: web/web {named('a')} serves again" in await failing


async def test_a_release_that_is_not_up_in_time_says_what_was_missing(place):
    workload = place.workload()
    workload["spec"]["template"]["spec"]["nodeSelector"] = {"test": "nowhere"}
    await begun(place, "a", run_of(), workload)
    await until(place.unschedulable)
    said = await refused(deploy(place, "a", workload, timeout=2))
    assert "not up within 2 seconds" in said
    assert "has no node: 0/" in said


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Job"])
async def test_a_quota_that_is_used_up_is_named(place, kind):
    await place.without_quota()
    manifest = job(place) if kind == "Job" else place.workload(kind)
    await begun(place, "a", run_of(), manifest)

    async def refused_a_pod():
        events = await place.cluster.list("v1", "Event", place.namespace, field_selector="reason=FailedCreate")
        return any("exceeded quota" in each["message"] for each in events)

    await until(refused_a_pod)
    said = await refused(deploy(place, "a", manifest, timeout=2))
    assert "exceeded quota: few" in said


async def test_a_failed_release_may_be_left_to_be_looked_at(place):
    await released(deploy(place, "a"))
    bad = deploy(place, "b", place.workload(kubelet=False), on_failure="keep")
    failing = asyncio.create_task(refused(bad, run_of("run-2")))
    await place.say(await place.pod(named("b")), **CRASHED)
    assert "was left as it is" in await failing
    assert images_of([await place.cluster.get(place.ref("Deployment"))]) == {"web/web": named("b")}
    assert await free(place)


# --- others --------------------------------------------------------------------------------------------------------


async def test_a_second_release_at_the_same_time_is_told_whom_to_wait_for(place):
    first = run_of("run-1")
    await begun(place, "a", first)
    with pytest.raises(BusyError, match=operation_of(first).id):
        await released(deploy(place, "b"), run_of("run-2"))


async def test_the_work_of_somebody_who_came_in_between_is_left_alone(place):
    await released(deploy(place, "a"))
    failing = asyncio.create_task(refused(deploy(place, "b", place.workload(kubelet=False)), run_of("run-2")))
    await place.pod(named("b"))
    other = {"metadata": {"annotations": {OPERATION: "somebody"}}, "spec": {"revisionHistoryLimit": 7}}
    await place.cluster.patch(place.ref("Deployment"), other)
    said = await failing
    assert said.startswith(f"Somebody else changed Deployment {place.namespace}/web while it was released")
    assert "was changed meanwhile by somebody" in said
    assert images_of([await place.cluster.get(place.ref("Deployment"))]) == {"web/web": named("b")}


async def test_an_autoscaled_workload_keeps_its_size(place):
    await released(deploy(place, "a", place.workload(replicas=1)))
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 9}
    metadata = {"name": "web", "namespace": place.namespace}
    await place.cluster.create(
        {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}
    )
    await place.cluster.scale(place.ref("Deployment"), 3)
    await released(deploy(place, "b", place.workload(replicas=1)), run_of("run-2"))
    assert (await place.cluster.get(place.ref("Deployment")))["spec"]["replicas"] == 3


async def test_a_size_that_a_scaling_task_wrote_is_kept(place):
    await released(deploy(place, "a", place.workload(replicas=1)))
    sized = {"metadata": {"annotations": {SIZED_BY: "scaler"}}, "spec": {"replicas": 2}}
    await place.cluster.patch(place.ref("Deployment"), sized)
    await released(deploy(place, "b", place.workload(replicas=1)), run_of("run-2"))
    live = await place.cluster.get(place.ref("Deployment"))
    assert (live["spec"]["replicas"], annotation(live, SIZED_BY)) == (2, "scaler")


async def test_a_size_that_nobody_owns_is_the_manifests(place):
    await released(deploy(place, "a", place.workload(replicas=1)))
    await place.cluster.scale(place.ref("Deployment"), 3)
    await released(deploy(place, "b", place.workload(replicas=1)), run_of("run-2"))
    assert (await place.cluster.get(place.ref("Deployment")))["spec"]["replicas"] == 1


# --- deferral ------------------------------------------------------------------------------------------------------


async def test_a_deferred_release_ends_in_the_triggers_event(place):
    await place.without_room()  # or it may be up before anybody would wait
    operator = deploy(place, "a", deferrable=True, defer_after=0)
    with pytest.raises(TaskDeferred) as deferred:
        await released(operator)
    await place.without_room(room=True)
    path, arguments = deferred.value.trigger.serialize()
    trigger = type(deferred.value.trigger)(**arguments)
    assert path.endswith(".rollouts.RolloutTrigger")
    assert not await free(place)
    events = [event.payload async for event in trigger.run()]
    release = await asyncio.to_thread(
        deploy(place, "a", deferrable=True, defer_after=0).execute_complete, run_of(), events[0]
    )
    assert release["images"] == {"web/web": named("a")}
    assert await free(place)


async def test_an_event_that_says_nothing_is_no_pass(place):
    await begun(place, "a", run_of())
    with pytest.raises(AirflowFailException, match="which is no verdict"):
        await asyncio.to_thread(deploy(place, "a").execute_complete, run_of(), None)
    assert await until(lambda: free(place))
