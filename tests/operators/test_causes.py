"""How long it takes from when the cluster knows why a release does not come up until the task says so.

Nothing but what the cluster tells of itself can be so quick: the task polls once in ten minutes.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from tests.live_cluster import deploy, named, released, until
from tests.operators.test_rollouts import CRASHED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]

SECONDS = 15.0
"""On a machine that has nothing else to do it takes one or two."""
NOT_FOUND = {"state": {"waiting": {"reason": "ErrImagePull", "message": "demo.example/shop/web: not found"}}}
UNREADY = {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, "ready": False}


async def say(place, told: Told, container: dict[str, Any]) -> None:
    """What the kubelet says of a container once the task has looked and found nothing."""
    pod = await place.pod(named("a"))
    await told("Waiting: ")
    await place.say(pod, **container)


async def few_pods(place, kind: str) -> None:
    """Wait until the cluster has refused a pod for the quota, and said so where this kind has it said."""
    workload = place.ref(kind)

    async def refused() -> bool:
        events = await place.cluster.list("v1", "Event", place.namespace, field_selector="reason=FailedCreate")
        conditions = ((await place.cluster.get(workload)) or {}).get("status", {}).get("conditions") or ()
        failure = [each for each in conditions if each["type"] == "ReplicaFailure"]
        return bool(events and (failure or kind != "Deployment"))

    await until(refused)


async def not_ready(place, told: Told) -> None:
    """A pod that runs, and whose probe fails later; the kubelet says that by an event alone, and nothing changes."""
    pod = await place.pod(named("a"))
    await place.say(pod, "Running", **UNREADY)
    await told("runs and is not ready")
    about = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
    event = {"reason": "Unhealthy", "message": "Readiness probe failed: not yet", "type": "Warning"}
    event |= {"apiVersion": "v1", "kind": "Event", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1}
    metadata = {"name": f"{about['name']}.1", "namespace": place.namespace}
    await place.cluster.create({**event, "metadata": metadata, "involvedObject": {"kind": "Pod", **about}})


Told: TypeAlias = "Callable[[str], Awaitable[None]]"
"""Waits until the task says something."""

CAUSES: dict[str, tuple[dict[str, Any], Any, str]] = {
    "image": (
        {"kubelet": False},
        lambda place, told: say(place, told, NOT_FOUND),
        "has no image: ErrImagePull: demo.example/shop/web: not found",
    ),
    "crash": ({"kubelet": False}, lambda place, told: say(place, told, CRASHED), "crashed 2 times: Error, exit code 3"),
    "node": ({}, lambda place, _: until(place.unschedulable), "has no node: 0/"),
    "quota": ({}, lambda place, _: few_pods(place, "Deployment"), "exceeded quota: few"),
    "quota of a StatefulSet": (
        {"kind": "StatefulSet"},
        lambda place, _: few_pods(place, "StatefulSet"),
        "exceeded quota: few",
    ),
    "probe": ({"kubelet": False}, not_ready, "is not ready: Readiness probe failed: not yet"),
}


@pytest.mark.parametrize("cause", CAUSES)
async def test_a_cause_is_told_within_seconds_of_when_the_cluster_knows_it(place, capsys, cause):
    given, happens, words = CAUSES[cause]
    if cause == "node":
        await place.without_room()
    if words.startswith("exceeded quota"):
        await place.without_quota()
    operator = deploy(place, "a", place.workload(**given), poll_interval=600, timeout=120)
    going = asyncio.create_task(released(operator))
    said: list[str] = []

    async def told(words: str) -> None:
        async def heard() -> bool:
            said.append(capsys.readouterr().out)
            return words in "".join(said)

        await until(heard)

    await happens(place, told)
    known = time.monotonic()
    await told(words)
    assert time.monotonic() - known < SECONDS
    operator.on_kill()
    await asyncio.gather(going, return_exceptions=True)
