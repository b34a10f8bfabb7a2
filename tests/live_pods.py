"""Pods on the stack's real node, for the tests that ask one something."""

from __future__ import annotations

import httpx
import pytest

from tests.live_cluster import until


@pytest.fixture
def python(registry) -> dict:
    """An image with Python, by digest."""
    answer = httpx.head(
        f"http://{registry.host}/v2/base/python/manifests/bookworm",
        auth=(registry.username, registry.password),
        headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"},
        timeout=60,
    )
    return {"repository": f"{registry.host}/base/python", "digest": answer.headers["Docker-Content-Digest"]}


@pytest.fixture
def running_pod(place, python):
    """Start a pod with a command, wait until it is ready, and return its name; it goes with its namespace.

    One that ``listens`` is ready when it takes connections on that port, which is after its program has begun.
    """

    async def start(
        name: str, command: list[str], ports: list[dict] | None = None, *, listens: int = 0, **spec: object
    ) -> str:
        image = f"{python['repository']}@{python['digest']}"
        container = {"name": "main", "image": image, "command": command, "ports": ports or []}
        if listens:
            container["startupProbe"] = {"tcpSocket": {"port": listens}, "periodSeconds": 1, "failureThreshold": 99}
        pod = {"containers": [container], "terminationGracePeriodSeconds": 0, **spec}
        metadata = {"name": name, "namespace": place.namespace, "labels": {"app": name}}
        await place.cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})

        async def ready() -> bool:
            live = await place.cluster.get(place.ref("Pod", name, "v1"))
            conditions = (live or {}).get("status", {}).get("conditions") or ()
            return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

        await until(ready)
        return name

    return start
