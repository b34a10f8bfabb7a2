"""The sample shop on the real node, from its source as it stands: what Prometheus scrapes, and what people ask."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tke_provider.exceptions import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.live_cluster import Place

_SAMPLE = Path(__file__).parents[1] / "local" / "sample"
_SCRAPED = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}


async def start(
    place: Place,
    image: dict,
    service: str,
    name: str = "",
    version: str = "v1",
    *,
    resources: dict[str, Any] | None = None,
    **edits: str,
) -> None:
    """Run one service of the shop.

    :param name: of its Deployment; default: the service's.
    :param resources: what its container requests and may use.
    :param edits: text in its program, and what stands there instead, as ``before="…", after="…"``.
    """
    name = name or service
    sources = {path.name: path.read_text() for path in (_SAMPLE / service).glob("*.py")}
    if edits:
        assert edits["before"] in sources["app.py"]
        sources["app.py"] = sources["app.py"].replace(edits["before"], edits["after"])
    metadata = {"name": name, "namespace": place.namespace}
    await place.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": sources})
    await place.cluster.create(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": _spec(image, service, name, version, resources or {}),
        }
    )


async def expose(place: Place, service: str, *, by: str = "app") -> None:
    """Give a service its name; every Deployment of it stands behind, or by ``release`` the one of that name."""
    spec = {"selector": {by: service}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    metadata = {"name": service, "namespace": place.namespace}
    await place.cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})


@contextlib.asynccontextmanager
async def asked(place: Place, service: str, pause: float = 0.05) -> AsyncIterator[None]:
    """Ask a service again and again meanwhile."""

    async def ask() -> None:
        while True:
            with contextlib.suppress(UnavailableError):  # no pod of it is ready yet; people ask again, too
                await place.cluster.proxy(place.namespace, service, 80, "/", 10.0)
            await asyncio.sleep(pause)

    task = asyncio.create_task(ask())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _spec(image: dict, service: str, name: str, version: str, resources: dict[str, Any]) -> dict[str, Any]:
    labels = {"app": service, "release": name}
    container = {
        "name": service,
        "image": f"{image['repository']}@{image['digest']}",
        "command": ["python3", "/app/app.py"],
        "env": [{"name": "COMMIT", "value": version}],
        "resources": resources,
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
        "volumeMounts": [{"name": "app", "mountPath": "/app"}],
    }
    pod = {
        "containers": [container],
        "volumes": [{"name": "app", "configMap": {"name": name}}],
        "terminationGracePeriodSeconds": 0,
    }
    annotations = _SCRAPED if service == "shop" else {}
    template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod}
    return {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
