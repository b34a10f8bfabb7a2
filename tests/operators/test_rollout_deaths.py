"""A release that loses its worker or its cluster half-way leaves a way back to what served before."""

import asyncio
import dataclasses

import pytest

from tests.live_cluster import deploy, named, refused, released, run_of
from tests.operators.test_rollouts import CRASHED, begun, free, record_of
from tke_provider.clients import leases, releases
from tke_provider.clients.kubernetes import Cluster
from tke_provider.domain.manifests import images_of
from tke_provider.domain.releases import Stage
from tke_provider.exceptions import UnavailableError
from tke_provider.operators.base import operation_of
from tke_provider.operators.rollouts import TkeDeployServiceOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]


async def test_a_retry_keeps_the_way_back_that_its_first_try_wrote_down(place):
    await released(deploy(place, "a"))
    await begun(place, "b", run_of("run-2"))
    failing = asyncio.create_task(refused(deploy(place, "b", place.workload(kubelet=False)), run_of("run-2")))
    await place.say(await place.pod(named("b")), **CRASHED)
    assert f"web/web {named('a')} serves again" in await failing


async def test_a_new_release_takes_over_the_way_back_of_one_that_died(place):
    await released(deploy(place, "a"))
    dead = run_of("run-2")
    await begun(place, "b", dead)
    await leases.release(place.cluster, place.namespace, "web", operation_of(dead).id)  # as if it had expired
    failing = asyncio.create_task(refused(deploy(place, "c", place.workload(kubelet=False)), run_of("run-3")))
    await place.say(await place.pod(named("c")), **CRASHED)
    assert f"web/web {named('a')} serves again" in await failing


async def test_a_retry_finishes_a_rollback_that_died(place):
    await released(deploy(place, "a"))
    context = run_of("run-2")
    await begun(place, "b", context)
    record = dataclasses.replace(await record_of(place), stage=Stage.UNDOING, reason="it crashed")
    await releases.write(place.cluster, record)
    said = await refused(deploy(place, "b", place.workload(kubelet=False)), context)
    assert "it crashed" in said
    assert images_of([await place.cluster.get(place.ref("Deployment"))]) == {"web/web": named("a")}


async def test_a_killed_task_puts_back_what_was_there(place):
    await released(deploy(place, "a"))
    operator = deploy(place, "b", place.workload(kubelet=False))
    running = asyncio.create_task(released(operator, run_of("run-2")))
    await place.pod(named("b"))
    operator.on_kill()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert images_of([await place.cluster.get(place.ref("Deployment"))]) == {"web/web": named("a")}
    assert await free(place)


@pytest.fixture
def cluster_fails(monkeypatch):
    """Let the cluster be out of reach when something is applied: no live cluster can be told to."""

    def at(*kinds: str) -> None:
        apply, left = Cluster.apply, list(kinds)

        async def failing(self, manifest, dry_run=False):
            way_back = manifest.get("data") == {"a": "1"}
            if not dry_run and left and left[0] == ("way back" if way_back else manifest["kind"]):
                left.pop(0)
                raise UnavailableError("The cluster is out of reach", way_out="wait")
            return await apply(self, manifest, dry_run=dry_run)

        monkeypatch.setattr(Cluster, "apply", failing)

    return at


async def changed_settings(place) -> TkeDeployServiceOperator:
    """A release of new settings and a new image, of which the image comes last."""
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"a": "1"}}
    await released(deploy(place, "a", place.workload(), settings))
    return deploy(place, "b", place.workload(), dict(settings, metadata={"name": "web"}, data={"b": "2"}))


async def test_a_cluster_that_fails_on_the_last_try_leaves_nothing_half_applied(place, cluster_fails):
    operator = await changed_settings(place)
    cluster_fails("Deployment")
    said = await refused(operator, run_of("run-2"))
    assert "was rolled back" in said
    assert "The cluster is out of reach" in said
    assert (await place.cluster.get(place.ref("ConfigMap", api_version="v1")))["data"] == {"a": "1"}
    assert (await record_of(place)).stage is Stage.ROLLED_BACK
    assert await free(place)


async def test_a_cluster_that_fails_is_tried_again_where_there_is_another_try(place, cluster_fails):
    operator = await changed_settings(place)
    cluster_fails("Deployment")
    with pytest.raises(UnavailableError):
        await released(operator, run_of("run-2", max_tries=1))
    assert (await record_of(place)).stage is Stage.APPLYING
    release = await released(operator, run_of("run-2", max_tries=1, try_number=2))
    assert release["previous"] == {"web/web": named("a")}


async def test_a_way_back_that_fails_too_is_said_and_kept(place, cluster_fails):
    operator = await changed_settings(place)
    cluster_fails("Deployment", "way back")
    said = await refused(operator, run_of("run-2"))
    assert "putting back what was there before failed too" in said
    assert (await record_of(place)).stage is Stage.UNDOING
    assert "was rolled back: web/web" in await refused(operator, run_of("run-2"))
    assert (await record_of(place)).stage is Stage.ROLLED_BACK
