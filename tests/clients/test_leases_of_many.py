"""Leases of several services at once, of a cluster that fails when it is told to, which a real one does not."""

from __future__ import annotations

import asyncio

import pytest

from tke_provider.clients import leases
from tke_provider.domain.manifests import ObjectRef
from tke_provider.exceptions import BusyError, ConflictError, UnavailableError

WEB, API, JOBS = ("shop", "web"), ("shop", "api"), ("shop", "jobs")


class Cluster:
    """Objects in memory, and the names of those that cannot be written."""

    def __init__(self) -> None:
        self.live: dict[str, dict] = {}
        self.broken: set[str] = set()
        self.writes = 0

    async def get(self, ref):
        return self.live.get(ref.name)

    async def create(self, manifest):
        self.live[manifest["metadata"]["name"]] = {
            **manifest,
            "metadata": {**manifest["metadata"], "resourceVersion": "1"},
        }

    async def patch(self, ref, body):
        self.writes += 1
        if ref.name in self.broken:
            raise UnavailableError("The cluster is out of reach", way_out="wait")
        self.live[ref.name] = {**self.live[ref.name], "spec": body["spec"]}

    def holders(self) -> dict[str, str]:
        return {name: leases.holder_of(each) for name, each in self.live.items()}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


async def test_a_lease_that_cannot_be_given_back_keeps_none_of_the_others(cluster, caplog):
    async with leases.held(cluster, [WEB, API, JOBS], "me"):
        cluster.broken.add("tke-jobs")
    assert cluster.holders() == {"tke-api": "", "tke-jobs": "me", "tke-web": ""}
    assert "jobs in namespace shop stays taken for 180 s at most. The cluster is out of reach" in caplog.text


async def test_an_error_within_the_block_is_the_one_that_is_told(cluster):
    async def change() -> None:
        async with leases.held(cluster, [WEB, API], "me", and_beyond=True):
            cluster.broken.add("tke-api")
            raise ConflictError("It was changed in between", way_out="look")

    with pytest.raises(ConflictError, match="changed in between"):
        await change()
    assert cluster.holders()["tke-web"] == ""


async def test_leases_are_held_beyond_the_block_only_where_that_is_asked_for(cluster):
    async with leases.held(cluster, [WEB], "me"):
        assert cluster.holders() == {"tke-web": "me"}
    assert cluster.holders() == {"tke-web": ""}
    async with leases.held(cluster, [WEB], "me", and_beyond=True):
        pass
    assert cluster.holders() == {"tke-web": "me"}


async def test_where_one_is_held_by_another_all_are_given_back(cluster):
    await leases.acquire(cluster, *WEB, "other")
    with pytest.raises(BusyError, match="web in namespace shop is being changed by other"):
        async with leases.held(cluster, [API, WEB], "me", and_beyond=True):
            raise AssertionError("nothing may be done")
    assert cluster.holders() == {"tke-api": "", "tke-web": "other"}


async def test_a_lease_is_renewed_at_a_fraction_of_its_time_however_often_one_looks(cluster, monkeypatch):
    await leases.acquire(cluster, *WEB, "me")
    renewal = leases.Renewal()
    for _ in range(5):
        await renewal.renew(cluster, [WEB], "me")
    assert cluster.writes == 1
    assert leases.RENEW_SECONDS * 3 < leases.SECONDS
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.0)
    renewal = leases.Renewal()
    for _ in range(3):
        await renewal.renew(cluster, [WEB], "me")
    assert cluster.writes == 4


WEB_REF = ObjectRef("apps/v1", "Deployment", *WEB)


@pytest.fixture
def quick(monkeypatch):
    """Leases of half a second, renewed a few times within."""
    monkeypatch.setattr(leases, "SECONDS", 0.5)
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.02)


async def out_of_reach(cluster, seconds: float) -> None:
    """A change that takes longer than its cluster is out of reach."""
    async with leases.kept(cluster, WEB_REF, "me"):
        cluster.broken.add("tke-web")
        await asyncio.sleep(seconds)
        cluster.broken.clear()
        await asyncio.sleep(0.05)


@pytest.mark.usefixtures("quick")
async def test_a_lease_that_cannot_be_renewed_for_a_while_is_kept(cluster):
    await out_of_reach(cluster, 0.1)


@pytest.mark.usefixtures("quick")
async def test_whoever_cannot_renew_a_lease_until_it_expires_stops(cluster):
    with pytest.raises(UnavailableError, match="out of reach"):
        await out_of_reach(cluster, 5)


@pytest.mark.usefixtures("quick")
async def test_whoever_lost_a_lease_to_another_stops(cluster):
    async def change() -> None:
        async with leases.kept(cluster, WEB_REF, "me"):
            spec = {**cluster.live["tke-web"]["spec"], "holderIdentity": "other", "leaseDurationSeconds": 60}
            cluster.live["tke-web"]["spec"] = spec
            await asyncio.sleep(5)

    with pytest.raises(BusyError, match="is being changed by other"):
        await change()
    assert cluster.holders() == {"tke-web": "other"}


async def test_a_lease_whose_taking_was_stopped_half_way_is_given_back(cluster):
    create, written = cluster.create, asyncio.Event()

    async def without_an_answer(manifest):
        await create(manifest)
        written.set()
        await asyncio.Event().wait()

    async def change() -> None:
        async with leases.held(cluster, [WEB], "me"):
            raise AssertionError("nothing may be done")

    cluster.create = without_an_answer
    stopped = asyncio.create_task(change())
    await written.wait()
    stopped.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopped
    assert cluster.holders() == {"tke-web": ""}
