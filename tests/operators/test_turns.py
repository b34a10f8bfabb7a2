"""Releases that come at the same time take turns, and what happens to pods between them is no release."""

from __future__ import annotations

import asyncio

import pytest

from tests.live_cluster import deploy, named, released, run_of, until
from tests.operators.test_canaries import serving
from tests.operators.test_rollouts import free, record_of
from tke_provider.clients import releases
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.releases import Stage
from tke_provider.exceptions import BusyError

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]


async def test_of_two_releases_at_once_one_waits_for_its_retry_and_both_are_whole(place):
    await place.without_room()
    first = asyncio.create_task(released(deploy(place, "a"), run_of("run-1")))
    await until(lambda: record_of(place))
    retries = {"max_tries": 1}
    with pytest.raises(BusyError):
        await released(deploy(place, "b"), run_of("run-2", **retries))
    await place.without_room(room=True)
    await first
    second = await released(deploy(place, "b"), run_of("run-2", **retries, try_number=2))
    assert (second["images"], second["previous"]) == ({"web/web": named("b")}, {"web/web": named("a")})
    history = await releases.history(place.cluster, place.namespace, "web")
    assert [(each.revision, each.stage) for each in history] == [(2, Stage.LIVE), (1, Stage.LIVE)]
    assert await serving(place) == named("b")
    assert await free(place)


async def test_a_pod_that_is_replaced_is_no_release_that_anybody_is_told_of(place):
    await released(deploy(place, "a"))
    before = await releases.history(place.cluster, place.namespace, "web")
    (gone,) = await place.pods()
    await place.cluster.delete(ObjectRef.of(gone))

    async def replaced() -> bool:
        live = await place.cluster.get(place.ref("Deployment"))
        others = [pod for pod in await place.pods() if pod["metadata"]["uid"] != gone["metadata"]["uid"]]
        return bool(others) and live["status"].get("availableReplicas") == 1

    await until(replaced)
    assert await releases.history(place.cluster, place.namespace, "web") == before, "without a record nobody is told"
