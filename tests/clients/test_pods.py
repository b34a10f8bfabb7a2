from __future__ import annotations

import asyncio
from contextlib import aclosing

import httpx
import pytest

from tests.live_cluster import until
from tke_provider.clients import pods
from tke_provider.clients.kubernetes import Cluster
from tke_provider.clients.pods import ended, follow, started, terminated
from tke_provider.domain.manifests import ObjectRef
from tke_provider.exceptions import InputError, UnavailableError

pytestmark = pytest.mark.stack


@pytest.fixture
def pod(build_pods):
    """Create a pod that runs a script, and return its name."""
    from local.endpoints import BUILDKIT_IMAGE

    cluster, namespace = build_pods

    async def create(script: str, **spec: object) -> ObjectRef:
        container = {"name": "main", "image": BUILDKIT_IMAGE, "command": ["sh", "-c", script]}
        metadata = {"name": "once", "namespace": namespace, "labels": {"app": "once"}}
        whole = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container], **spec}
        made = await cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole})
        return ObjectRef.of(made)

    return create


async def run(cluster: Cluster, ref: ObjectRef, said: list[str]) -> dict:
    assert await started(cluster, ref.namespace, "app=once", "main", said.append)
    await follow(cluster, ref, "main", said.append)
    return await ended(cluster, ref, "main")


async def test_a_pod_is_followed_from_its_first_line_to_its_exit_code(build_pods, pod):
    said: list[str] = []
    how = await run(build_pods[0], await pod("echo one; echo; echo two >&2; exit 3"), said)
    assert how["exitCode"] == 3
    assert sorted(line for line in said if not line.startswith("Waiting")) == ["", "one", "two"]


async def test_a_stream_that_breaks_is_taken_up_where_it_broke_and_nothing_is_said_twice(build_pods, pod, monkeypatch):
    cluster, _ = build_pods
    opened, whole = [], Cluster.open

    async def breaking(self, *arguments):
        response = await whole(self, *arguments)
        opened.append(arguments)
        if len(opened) > 2:
            return response
        lines = response.aiter_lines

        async def some():
            async with aclosing(lines()) as iterator:
                yield await anext(iterator)
            raise httpx.ReadError("broken")

        response.aiter_lines = some
        return response

    # Real connections break when they like: here twice, each time after a line.
    monkeypatch.setattr(Cluster, "open", breaking)
    said: list[str] = []
    await run(cluster, await pod("for each in 1 2 3 4 5; do echo line $each; cat /dev/null; done"), said)
    assert len(opened) > 2
    assert [line for line in said if line.startswith("line")] == [f"line {number}" for number in range(1, 6)]


async def test_a_stream_that_stays_silent_is_asked_for_anew_and_nothing_is_lost_or_said_twice(
    build_pods, pod, monkeypatch
):
    opened, whole = [], Cluster.open

    async def counting(self, *arguments):
        opened.append(arguments)
        return await whole(self, *arguments)

    monkeypatch.setattr(Cluster, "open", counting)
    monkeypatch.setattr(pods, "_QUIET_SECONDS", 0.5)
    monkeypatch.setattr(pods, "_BREAKS", 1)
    said: list[str] = []
    how = await run(build_pods[0], await pod("sleep 1; echo one; sleep 2; echo two"), said)
    assert how["exitCode"] == 0
    assert [line for line in said if not line.startswith("Waiting")] == ["one", "two"]
    assert len(opened) > 2


async def test_what_a_pod_waits_for_is_said_once(build_pods, pod):
    ref = await pod("true", nodeSelector={"no": "such-node"})
    said: list[str] = []
    waiting = asyncio.ensure_future(started(build_pods[0], ref.namespace, "app=once", "main", said.append))

    async def heard() -> bool:
        return bool(said)

    await until(heard)
    waiting.cancel()
    assert len(said) == 1
    assert "has no node" in said[0]


async def test_a_pod_that_never_can_run_is_an_error_at_once(build_pods, pod):
    ref = await pod("true", volumes=[], containers=[{"name": "main", "image": "Not An Image"}])
    with pytest.raises(InputError, match="InvalidImageName"):
        await started(build_pods[0], ref.namespace, "app=once", "main", lambda _: None)


async def test_a_pod_that_is_gone_is_worth_a_retry(build_pods, pod):
    cluster, _ = build_pods
    ref = await pod("sleep 600")
    assert await started(cluster, ref.namespace, "app=once", "main", lambda _: None)
    await cluster.delete(ref)

    async def gone() -> bool:
        return await cluster.get(ref) is None

    await until(gone)
    with pytest.raises(UnavailableError, match="is gone before it said how it ended"):
        await ended(cluster, ref, "main")


async def test_nobody_runs_where_there_is_no_pod(build_pods):
    assert await started(build_pods[0], build_pods[1], "app=nobody", "main", lambda _: None) is None


def test_an_evicted_pod_has_ended_although_its_container_says_nothing():
    status = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory"}
    assert terminated({"status": status}, "main")["message"] == "The node was low on memory"
