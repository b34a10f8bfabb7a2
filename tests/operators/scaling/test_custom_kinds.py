"""Whatever has a scale subresource: a custom resource on a real API server, whose controller the test plays."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tests.live_cluster import run_of
from tests.operators.scaling.test_services import eventually
from tke_provider.clients import leases
from tke_provider.domain.manifests import ObjectRef, annotation
from tke_provider.domain.operations import SIZED_BY
from tke_provider.domain.verdicts import State
from tke_provider.operators.scaling import TkeScaleServiceOperator
from tke_provider.triggers.scaling import ScaleTrigger

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]

GROUP = f"scaling-{secrets.token_hex(3)}.example.com"
VERSION = f"{GROUP}/v1"


@pytest.fixture
async def crew(place):
    """A resource of a kind that keeps its size where no other kind does."""
    scale = {"specReplicasPath": ".spec.crew", "statusReplicasPath": ".status.aboard"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"ships.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": "Ship", "plural": "ships"},
            "versions": [{**version, "subresources": {"scale": scale, "status": {}}}],
        },
    }
    await place.cluster.create(definition)
    metadata = {"name": "web", "namespace": place.namespace}
    ship = {"apiVersion": VERSION, "kind": "Ship", "metadata": metadata, "spec": {"crew": 1}}
    await eventually(lambda: place.cluster.create(ship))
    yield ObjectRef(VERSION, "Ship", place.namespace, "web")
    await place.cluster.delete(ObjectRef.of(definition))


def scale(ref: ObjectRef, replicas: int, **more: Any) -> TkeScaleServiceOperator:
    settings = {"poll_interval": 0.2, "timeout": 120, "deferrable": False, **more}
    where = {"namespace": ref.namespace, "name": ref.name, "kind": ref.kind, "api_version": ref.api_version}
    return TkeScaleServiceOperator(task_id="crew", replicas=replicas, **where, **settings)


async def aboard(place, ref: ObjectRef, number: int) -> None:
    """What the kind's controller would say."""
    request = await place.cluster._on(ref, "patch", subresource="status")
    body = {"status": {"aboard": number}}
    await place.cluster._json(request._replace(body=body, content="application/merge-patch+json"))


async def test_it_gets_its_size_through_the_subresource_and_is_waited_for(place, crew):
    with pytest.raises(TaskDeferred) as deferred:
        await asyncio.to_thread(scale(crew, 3, deferrable=True, defer_after=0).execute, run_of())
    trigger = deferred.value.trigger
    assert ScaleTrigger(**trigger.serialize()[1]).serialize() == trigger.serialize()
    live = await place.cluster.get(crew)
    assert live["spec"]["crew"] == 3
    assert annotation(live, SIZED_BY)
    assert "0 of 3" in (await trigger.look()).reason
    await aboard(place, crew, 3)
    verdict = await trigger.wait()
    assert verdict.state is State.PASSED
    resumed = scale(crew, 3)
    decision = await asyncio.to_thread(resumed.execute_complete, run_of(), verdict.as_event())
    assert (decision["from"], decision["to"], decision["owner"]) == (1, 3, "")
    await leases.acquire(place.cluster, place.namespace, "web", "somebody-else")


async def test_somebody_else_who_changes_it_meanwhile_is_noticed(place, crew):
    with pytest.raises(TaskDeferred) as deferred:
        await asyncio.to_thread(scale(crew, 3, deferrable=True, defer_after=0).execute, run_of())
    await place.cluster.scale(crew, 5)
    verdict = await deferred.value.trigger.wait()
    assert verdict.state is State.FAILED
    assert "was 3 and something else made it 5" in verdict.reason


async def test_a_kind_that_cannot_be_scaled_is_refused(place, crew):
    ref = ObjectRef("v1", "ConfigMap", place.namespace, "kube-root-ca.crt")
    with pytest.raises(AirflowFailException, match=r"get configmaps/scale kube-root-ca\.crt"):
        await asyncio.to_thread(scale(ref, 3).execute, run_of())
