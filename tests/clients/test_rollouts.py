"""What a look at releases and workloads costs, counted on the live cluster."""

from __future__ import annotations

import dataclasses

import pytest

from tests.live_cluster import until
from tke_provider.clients import releases
from tke_provider.clients.kubernetes import Cluster
from tke_provider.clients.observations import observe
from tke_provider.clients.rollouts import RolloutLook
from tke_provider.domain.releases import Record, Stage
from tke_provider.domain.verdicts import State

pytestmark = pytest.mark.stack


@pytest.fixture
def asked(monkeypatch):
    """What the cluster was asked, and how many bytes each answer had; which kinds it serves is not counted."""
    seen: list[tuple[str, int]] = []
    read = Cluster._text

    async def counting(self, request):
        answer = ""
        try:
            answer = await read(self, request)
        finally:
            if request.resource != "the API group":
                seen.append((f"{request.verb} {request.resource}", len(answer)))
        return answer

    monkeypatch.setattr(Cluster, "_text", counting)
    return seen


def calls(asked: list[tuple[str, int]]) -> list[str]:
    return sorted(call for call, _ in asked)


async def released(place, many: int) -> None:
    workload = place.workload(kubelet=False)
    workload["metadata"] |= {"namespace": place.namespace, "annotations": {"note": "x" * 50_000}}
    record = Record(service="web", namespace=place.namespace, op="op", stage=Stage.LIVE, applied=(workload,))
    for revision in range(1, many + 1):
        await releases.write(place.cluster, dataclasses.replace(record, revision=revision, op=f"op-{revision}"))


async def test_the_newest_record_is_read_without_the_others(place, asked):
    await released(place, 9)
    asked.clear()
    record = await releases.read(place.cluster, place.namespace, "web")
    assert (record.revision, record.op) == (9, "op-9")
    assert calls(asked) == ["get secrets", "list secrets"]
    assert await releases.read(place.cluster, place.namespace, "another") is None


async def test_records_are_numbered_not_sorted_as_words(place):
    await released(place, 10)
    assert (await releases.read(place.cluster, place.namespace, "web")).revision == 10


async def test_the_list_of_names_holds_no_record(place, asked):
    await released(place, 3)
    asked.clear()
    names = await place.cluster.names("v1", "Secret", place.namespace, "tke.airflow/service=web")
    assert len(names) == 3
    metadata = asked[-1][1]
    await releases.history(place.cluster, place.namespace, "web")
    assert metadata < asked[-1][1]


async def test_many_workloads_share_the_list_of_warnings_and_what_is_up_asks_for_nothing(place, asked):
    names = ("one", "two", "three")
    for name in names:
        workload = place.workload(name=name, kubelet=False)
        workload["metadata"]["namespace"] = place.namespace
        await place.cluster.apply(workload)
    up = place.workload(name="up")
    up["metadata"]["namespace"] = place.namespace
    await place.cluster.apply(up)

    async def is_up():
        if not all([(await live(name))["status"].get("unavailableReplicas") for name in names]):
            return False  # nobody has looked at it yet
        return (await RolloutLook(place.cluster, place.namespace).assess(await live("up"))).state is State.PASSED

    async def live(name):
        return await place.cluster.get(place.ref("Deployment", name))

    await until(is_up)
    workloads = [await live(name) for name in (*names, "up")]
    asked.clear()
    look = RolloutLook(place.cluster, place.namespace)
    verdicts = [(await look.assess(each)).state for each in workloads]
    assert verdicts == [State.PENDING] * 3 + [State.PASSED]
    assert calls(asked) == ["list events", *["list pods"] * 3, *["list replicasets"] * 3]


async def test_the_board_asks_for_no_pod_of_a_service_that_is_up(place, asked):
    workload = place.workload()
    workload["metadata"]["namespace"] = place.namespace
    await place.cluster.apply(workload)
    record = Record(
        service="web", namespace=place.namespace, op="op", stage=Stage.LIVE, applied=(workload,), revision=1
    )
    record = dataclasses.replace(record, before={place.ref("Deployment"): None})
    await releases.write(place.cluster, record)

    async def healthy():
        asked.clear()
        return (await observe(place.cluster, place.namespace, "web"))[0].health == "healthy"

    await until(healthy)
    assert calls(asked) == ["get deployments", "get leases", "list secrets"]
