"""Services, resized on a real API server, with the real controllers of Deployments, StatefulSets and autoscalers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tests.waiting import until
from tke_provider.clients import leases
from tke_provider.clients.kubernetes import Cluster
from tke_provider.domain.manifests import ObjectRef, annotation
from tke_provider.domain.operations import OPERATION, SIZED_BY
from tke_provider.domain.verdicts import State
from tke_provider.exceptions import BusyError, NotFoundError
from tke_provider.operators.base import operation_of
from tke_provider.operators.scaling import TkeScaleServiceOperator
from tke_provider.triggers.scaling import SizeTrigger

pytestmark = pytest.mark.stack

# A simulated node of its own: nothing is pulled, and no test waits for another's pods.
NODE = f"scaling-{secrets.token_hex(3)}"
TAINT = {"key": "scaling-tests", "value": NODE, "effect": "NoSchedule"}
CONTEXT = {"ti": SimpleNamespace(dag_id="d", run_id="r", task_id="pods", map_index=-1, max_tries=0)}


def ask(work):
    """Run a coroutine with the cluster."""

    kubeconfig = Path(os.environ["TKE_TEST_KUBECONFIG"]).read_text(encoding="utf-8")

    async def talk():
        async with Cluster(kubeconfig) as cluster:
            return await work(cluster)

    return asyncio.run(talk())


@pytest.fixture(scope="module")
def node():
    ref = ObjectRef("v1", "Node", "", NODE)
    size = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    manifest = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": NODE,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"type": "kwok", "kubernetes.io/hostname": NODE},
        },
        "spec": {"taints": [TAINT]},
        "status": {"capacity": size, "allocatable": size},
    }
    ask(lambda cluster: cluster.create(manifest))
    yield NODE
    ask(lambda cluster: cluster.delete(ref))


@pytest.fixture
def cordoned(node):
    """Return what opens the node again, which takes no pod until then."""
    ref = ObjectRef("v1", "Node", "", node)

    def cordon(closed: bool) -> None:
        ask(lambda cluster: cluster.patch(ref, {"spec": {"unschedulable": closed}}))

    cordon(True)
    yield lambda: cordon(False)
    cordon(False)


@pytest.fixture
def namespace(node, monkeypatch):
    name = f"scaling-{secrets.token_hex(3)}"
    kubeconfig = Path(os.environ["TKE_TEST_KUBECONFIG"]).read_text(encoding="utf-8")
    extra = {"kubeconfig_secret": kubeconfig, "cluster_id": "cls-tests", "region": "ap-guangzhou"}
    monkeypatch.setenv("AIRFLOW_CONN_TKE_DEFAULT", json.dumps({"conn_type": "tke", "extra": extra}))
    ask(lambda cluster: cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
    yield name
    ask(lambda cluster: cluster.delete(ObjectRef("v1", "Namespace", "", name)))


def workload(namespace: str, replicas: int, kind: str = "Deployment", cpu: str = "10m") -> ObjectRef:
    """Apply a service of the given size."""
    container = {"name": "web", "image": "example.com/web", "resources": {"requests": {"cpu": cpu}}}
    pod = {
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "nodeSelector": {"kubernetes.io/hostname": NODE},
        "tolerations": [{"key": TAINT["key"], "operator": "Exists"}],
        "containers": [container],
    }
    manifest = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod},
            **({"serviceName": "web"} if kind == "StatefulSet" else {}),
        },
    }
    ask(lambda cluster: cluster.apply(manifest))
    return ObjectRef.of(manifest)


def autoscaler(namespace: str, minimum: int, maximum: int) -> ObjectRef:
    manifest = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web-by-load", "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": minimum,
            "maxReplicas": maximum,
        },
    }
    ask(lambda cluster: cluster.apply(manifest))
    return ObjectRef.of(manifest)


def live(ref: ObjectRef) -> dict[str, Any]:
    return ask(lambda cluster: cluster.get(ref))


def scale(namespace: str, replicas: int | str, **more: Any) -> TkeScaleServiceOperator:
    settings: dict[str, Any] = {"poll_interval": 0.2, "timeout": 120, "deferrable": False, **more}
    return TkeScaleServiceOperator(task_id="pods", namespace=namespace, name="web", replicas=replicas, **settings)


@contextlib.contextmanager
def served(group: str, version: str, kind: str):
    """Serve a kind of custom resource for a while, as its add-on would."""
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    manifest = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    if live(ObjectRef.of(manifest)):
        yield  # the add-on itself is there, and stays
        return
    ask(lambda cluster: cluster.create(manifest))
    try:
        yield
    finally:
        ask(lambda cluster: cluster.delete(ObjectRef.of(manifest)))


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_service_gets_its_size_and_every_pod_is_available(namespace, kind):
    ref = workload(namespace, 1, kind)
    decision = scale(namespace, "3", kind=kind).execute(CONTEXT)
    assert decision == {
        "target": f"{kind} {namespace}/web",
        "from": 1,
        "to": 3,
        "reason": f"{kind} {namespace}/web has 3 pods, all available",
        "owner": "",
    }
    assert live(ref)["status"]["availableReplicas"] == 3


def test_it_carries_the_operation_that_sized_it(namespace):
    ref = workload(namespace, 1)
    scale(namespace, 2).execute(CONTEXT)
    operation = operation_of(CONTEXT).id
    assert annotation(live(ref), OPERATION) == annotation(live(ref), SIZED_BY) == operation


def test_a_size_that_is_right_is_claimed_once_and_then_not_written(namespace):
    ref = workload(namespace, 2)
    scale(namespace, 2).execute(CONTEXT)
    claimed = live(ref)
    assert annotation(claimed, SIZED_BY) == operation_of(CONTEXT).id
    later = {"ti": SimpleNamespace(**{**vars(CONTEXT["ti"]), "run_id": "later"})}
    decision = scale(namespace, 2).execute(later)
    assert (decision["from"], decision["to"]) == (2, 2)
    assert live(ref)["metadata"]["annotations"] == claimed["metadata"]["annotations"]


def test_a_retry_still_knows_the_size_that_the_first_try_found(namespace):
    workload(namespace, 1)
    scale(namespace, 3).execute(CONTEXT)
    assert scale(namespace, 3).execute(CONTEXT)["from"] == 1


def test_a_service_shrinks_until_the_last_surplus_pod_has_ended(namespace):
    ref = workload(namespace, 4)
    assert scale(namespace, 1).execute(CONTEXT)["from"] == 4
    assert live(ref)["status"]["replicas"] == 1


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"replicas": 1, "minimum": 2}, "cannot get a size of 1, which is below its minimum of 2"),
        ({"replicas": 9, "maximum": "5"}, "cannot get a size of 9, which is above its maximum of 5"),
        ({"replicas": "many"}, "replicas is 'many'; give a whole number"),
        ({"replicas": 2, "kind": "DaemonSet"}, "DaemonSet web is no service; name a Deployment or a StatefulSet"),
        ({"replicas": 2, "kind": "StatefulSet"}, "There is no StatefulSet"),
    ],
)
def test_bad_input_ends_the_task_at_once_with_one_sentence(namespace, wrong, sentence):
    ref = workload(namespace, 1)
    before = live(ref)["metadata"]["generation"]
    with pytest.raises(AirflowFailException) as raised:
        scale(namespace, **wrong).execute(CONTEXT)
    assert sentence in str(raised.value)
    assert live(ref)["metadata"]["generation"] == before


def test_a_service_that_an_autoscaler_sizes_is_left_to_it_and_the_autoscaler_named(namespace):
    ref = workload(namespace, 2)
    autoscaler(namespace, 1, 5)
    with pytest.raises(AirflowFailException, match="web is written by HorizontalPodAutoscaler web-by-load"):
        scale(namespace, 3).execute(CONTEXT)
    assert live(ref)["spec"]["replicas"] == 2


def test_or_the_autoscaler_s_lower_bound_is_raised_and_the_real_one_follows(namespace):
    ref = workload(namespace, 1)
    owner = autoscaler(namespace, 1, 5)
    decision = scale(namespace, 3, on_owner="bounds").execute(CONTEXT)
    assert decision["owner"] == "HorizontalPodAutoscaler web-by-load"
    assert (decision["from"], decision["to"]) == (1, 3)
    assert (live(owner)["spec"]["minReplicas"], live(owner)["spec"]["maxReplicas"]) == (3, 5)
    assert live(ref)["status"]["availableReplicas"] == 3


@pytest.mark.parametrize(
    ("group", "version", "kind", "spec"),
    [
        ("keda.sh", "v1alpha1", "ScaledObject", {"scaleTargetRef": {"name": "web"}}),
        (
            "autoscaling.cloud.tencent.com",
            "v1",
            "HorizontalPodCronscaler",
            {"scaleTarget": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
        ),
    ],
)
def test_a_service_that_an_add_on_sizes_is_left_to_it_and_the_add_on_named(namespace, group, version, kind, spec):
    ref = workload(namespace, 1)
    metadata = {"name": "hours", "namespace": namespace}
    with served(group, version, kind):
        manifest = {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": metadata, "spec": spec}
        ask(lambda cluster: eventually(lambda: cluster.apply(manifest)))
        with pytest.raises(AirflowFailException, match=f"web is written by {kind} hours"):
            scale(namespace, 3).execute(CONTEXT)
    assert live(ref)["spec"]["replicas"] == 1


async def eventually(attempt):
    """A kind is served a moment after it was accepted."""
    async for each in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(NotFoundError),
        stop=tenacity.stop_after_delay(120),
        wait=tenacity.wait_fixed(0.1),
    ):
        with each:
            await attempt()


def test_the_upper_bound_of_an_autoscaler_is_never_raised(namespace):
    workload(namespace, 1)
    owner = autoscaler(namespace, 1, 5)
    with pytest.raises(AirflowFailException, match="above its maximum of 5"):
        scale(namespace, 6, on_owner="bounds").execute(CONTEXT)
    assert live(owner)["spec"]["minReplicas"] == 1


def test_a_resize_during_a_deployment_names_who_deploys_and_is_left_to_retries(namespace):
    ref = workload(namespace, 1)
    ask(lambda cluster: leases.acquire(cluster, namespace, "web", "ci_cd.deploy_web.0123"))
    with pytest.raises(BusyError, match=r"is being changed by ci_cd\.deploy_web\.0123"):
        scale(namespace, 3).execute(CONTEXT)
    assert live(ref)["spec"]["replicas"] == 1


@pytest.mark.parametrize("replicas", [2, 99])
def test_the_lease_is_given_back_however_the_task_ends(namespace, replicas):
    workload(namespace, 1)
    if replicas == 99:
        autoscaler(namespace, 1, 5)
        with pytest.raises(AirflowFailException):
            scale(namespace, replicas).execute(CONTEXT)
    else:
        scale(namespace, replicas).execute(CONTEXT)
    ask(lambda cluster: leases.acquire(cluster, namespace, "web", "somebody-else"))


async def refusals(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    return await cluster.list("v1", "Event", namespace, field_selector="reason=FailedScheduling")


def test_pods_that_no_node_takes_end_the_wait_with_the_scheduler_s_words(namespace):
    workload(namespace, 1, cpu="3")
    deferred(namespace, 2)
    until(lambda: ask(lambda cluster: refusals(cluster, namespace)), 60, "the scheduler has refused a pod")
    with pytest.raises(AirflowFailException, match=r"has no node: .*[Ii]nsufficient cpu"):
        scale(namespace, 2, timeout=2).execute(CONTEXT)


def deferred(namespace: str, replicas: int) -> SizeTrigger:
    with pytest.raises(TaskDeferred) as raised:
        scale(namespace, replicas, deferrable=True, defer_after=0).execute(CONTEXT)
    return raised.value.trigger


def test_it_waits_in_the_triggerer_and_keeps_the_lease_meanwhile(namespace, cordoned):
    workload(namespace, 0)
    trigger = deferred(namespace, 3)
    assert "server:" not in str(trigger.serialize())
    with pytest.raises(BusyError):
        ask(lambda cluster: leases.acquire(cluster, namespace, "web", "somebody-else"))
    cordoned()
    verdict = asyncio.run(trigger.wait())
    assert verdict.state is State.PASSED
    # Another process resumes the task.
    decision = scale(namespace, 3, deferrable=True, defer_after=0).execute_complete(CONTEXT, event=verdict.as_event())
    assert (decision["from"], decision["to"]) == (0, 3)
    ask(lambda cluster: leases.acquire(cluster, namespace, "web", "somebody-else"))


def test_a_person_who_ends_the_wait_gets_the_lease_back(namespace, cordoned):
    workload(namespace, 0)
    asyncio.run(deferred(namespace, 3).on_kill())
    ask(lambda cluster: leases.acquire(cluster, namespace, "web", "somebody-else"))


def test_somebody_who_scales_by_hand_meanwhile_is_noticed(namespace, cordoned):
    ref = workload(namespace, 0)
    trigger = deferred(namespace, 3)
    ask(lambda cluster: cluster.scale(ref, 4))
    verdict = asyncio.run(trigger.wait())
    assert verdict.state is State.FAILED
    assert "was 3 and something else made it 4" in verdict.reason


def test_a_service_that_is_deleted_meanwhile_ends_the_wait(namespace, cordoned):
    ref = workload(namespace, 0)
    trigger = deferred(namespace, 3)
    ask(lambda cluster: cluster.delete(ref))
    verdict = asyncio.run(trigger.wait())
    assert verdict.state is State.FAILED
    assert verdict.reason == f"{ref} was deleted meanwhile"


def test_an_equal_trigger_can_be_made_from_what_is_stored(namespace, cordoned):
    workload(namespace, 0)
    trigger = deferred(namespace, 3)
    _, arguments = trigger.serialize()
    assert SizeTrigger(**arguments).serialize() == trigger.serialize()
