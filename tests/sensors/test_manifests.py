"""What is live against what was applied, on the live cluster."""

from __future__ import annotations

import asyncio

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tests.live_cluster import deploy, released
from tke_provider.exceptions import InputError
from tke_provider.sensors.manifests import TkeDriftSensor

live = pytest.mark.stack
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"key": "hunter2"}}


def sensor(place=None, **more) -> TkeDriftSensor:
    namespace = place.namespace if place else "shop"
    return TkeDriftSensor(task_id="drift", namespace=namespace, timeout=120, poke_interval=0.5, **more)


async def looked(sensor: TkeDriftSensor) -> bool:
    """Whether one look ends it."""
    return await asyncio.to_thread(sensor.poke, {})


async def edit(place, ref, body: dict, manager: str = "kubectl-edit") -> None:
    """Change an object as a person does."""
    request = await place.cluster._on(ref, "patch", query={"fieldManager": manager})
    await place.cluster._json(request._replace(body=body, content="application/merge-patch+json"))


@pytest.fixture
async def shop(place, connected):
    """A service that was released."""
    await released(deploy(place, "a"))
    return place


@live
async def test_a_release_as_it_was_left_is_in_sync(shop):
    assert not await looked(sensor(shop, service="web"))
    assert await looked(sensor(shop, service="web", expect="in_sync"))


@live
async def test_an_edit_is_drift_and_says_who_wrote_what(shop, capsys):
    await edit(shop, shop.ref("Deployment"), {"metadata": {"annotations": {"tke.airflow/commit": None}}})
    template = {"spec": {"containers": [{"name": "web", "image": "somebody/else:latest"}]}}
    await edit(shop, shop.ref("Deployment"), {"spec": {"template": template}})
    assert await looked(sensor(shop, service="web"))
    said = capsys.readouterr().out
    assert f"Deployment {shop.namespace}/web differs" in said
    assert "kubectl-edit wrote" in said
    assert not await looked(sensor(shop, service="web", expect="in_sync"))


@live
async def test_what_was_deleted_is_drift(shop, capsys):
    await shop.cluster.delete(shop.ref("Deployment"))
    assert await looked(sensor(shop, service="web"))
    assert f"Deployment {shop.namespace}/web does not exist" in capsys.readouterr().out


@live
async def test_a_service_that_was_never_released_fails_at_once(shop):
    with pytest.raises(AirflowFailException, match=r"nowhere in namespace .* has no good release to compare with"):
        await looked(sensor(shop, service="nowhere"))


@live
async def test_manifests_that_are_not_applied_are_drift(shop):
    assert await looked(sensor(shop, manifests=[CONFIG]))
    await shop.cluster.apply({**CONFIG, "metadata": {"name": "settings", "namespace": shop.namespace}})
    assert not await looked(sensor(shop, manifests=[CONFIG]))
    assert await looked(sensor(shop, manifests=[CONFIG], expect="in_sync"))


@live
async def test_a_release_is_waited_for_in_the_triggerer(shop):
    with pytest.raises(TaskDeferred) as deferred:
        await asyncio.to_thread(sensor(shop, service="web", deferrable=True).execute, {})
    trigger = deferred.value.trigger
    assert trigger.serialize()[1]["service"] == "web"
    assert type(trigger)(**trigger.serialize()[1]).serialize() == trigger.serialize()


def test_manifests_never_become_arguments_of_a_trigger():
    trigger = sensor(manifests=[{**CONFIG, "kind": "Secret"}]).trigger(0)
    assert "hunter2" not in str(trigger.serialize())


@live
async def test_manifests_are_waited_for_in_the_worker_whatever_deferrable_says(place, connected):
    absent = sensor(place, manifests=[CONFIG], expect="in_sync", deferrable=True)
    running = asyncio.create_task(asyncio.to_thread(absent.execute, {}))
    await place.cluster.apply({**CONFIG, "metadata": {"name": "settings", "namespace": place.namespace}})
    await running


@pytest.mark.parametrize("given", [{}, {"service": "web", "manifests": []}], ids=["nothing", "two things"])
def test_what_to_compare_with_is_named_exactly_once(given):
    with pytest.raises(InputError, match="pass one of service, manifests and git_url"):
        sensor(**given)


def test_a_misspelt_expectation_is_refused_when_the_dag_is_parsed():
    with pytest.raises(InputError, match="'drift', 'in_sync'"):
        sensor(service="web", expect="synced")
