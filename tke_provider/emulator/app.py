"""HTTP: everything under ``/_emulator`` is the remote control, everything else an API call."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tke_provider.emulator import front
from tke_provider.emulator.admin import create_admin
from tke_provider.emulator.cloud import Cloud, Settings
from tke_provider.emulator.cluster_autoscaler import ClusterAutoscaler
from tke_provider.emulator.cron_scalers import CronScalers
from tke_provider.emulator.helm import Helm
from tke_provider.emulator.nodes import NodeKeeper
from tke_provider.emulator.registry import RegistryReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send


class App:
    """The ASGI application.

    :param cloud: What it speaks for.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._admin = create_admin(cloud)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"].startswith("/_emulator"):
            await self._admin(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = await run_in_threadpool(front.answer, self.cloud, request.method, headers, body)
        await anyio.sleep(answer.delay)
        if answer.hang_up:
            await _hang_up(receive, send)
            return
        # Exactly this type: with a charset the official SDK does not see errors, as its own source shows.
        kind = "application/json" if answer.status == 200 else "text/plain"  # noqa: PLR2004
        response = Response(answer.body, answer.status, {"Content-Type": kind})
        await response(scope, receive, send)


async def _hang_up(receive: Receive, send: Send) -> None:
    """Close the connection without a byte. ASGI has no word for it, so it is done on uvicorn's own transport."""
    cycle = getattr(send, "__self__", None)
    if cycle is None:
        raise RuntimeError("lost_answer needs uvicorn as the server")
    cycle.transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


@contextmanager
def running(settings: Settings) -> Iterator[Cloud]:
    """A cloud with what stands behind it: the registry, and the keeper of the cluster's nodes."""
    cloud = Cloud(settings)
    if settings.registry:
        cloud.registry = RegistryReader(settings.registry, settings.registry_user, settings.registry_password)
    if settings.kubeconfig:
        cloud.nodes = NodeKeeper.connect(cloud, str(settings.kubeconfig))
        cloud.nodes.start()
        cloud.autoscaler = ClusterAutoscaler(cloud, cloud.nodes.api)
        cloud.autoscaler.start()
        cloud.cron_scalers = CronScalers(cloud.nodes.api)
        cloud.cron_scalers.start()
        cloud.helm = Helm(settings.helm, settings.kubeconfig)
    try:
        yield cloud
    finally:
        if cloud.cron_scalers:
            cloud.cron_scalers.stop()
        if cloud.autoscaler:
            cloud.autoscaler.stop()
        if cloud.helm:
            cloud.helm.close()
        if cloud.nodes:
            cloud.nodes.stop(remove=settings.temporary)
        if cloud.registry:
            cloud.registry.close()
