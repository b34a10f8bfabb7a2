"""A watch that the cluster ends at once is begun again, ever more slowly. The server is one that does so on demand."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import pytest

from tests.servers import kubeconfig_of
from tests.triggers.watching import until
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.triggers import watches
from tke_provider.triggers.watches import Listener, Scope, listen

SCOPE = Scope("tke_default", None, None, "shop", "v1", "Pod")
ADDED = json.dumps({"type": "ADDED", "object": {"metadata": {"name": "web"}}})


class _Api(BaseHTTPRequestHandler):
    """An API server that ends every watch as soon as it has said what there is."""

    watched: list[float]
    code: int

    def do_GET(self) -> None:
        if "watch=1" in self.path:
            self.watched.append(time.monotonic())
            self.send_response(self.code)
            body = ADDED
        else:
            self.send_response(200)
            body = json.dumps({"resources": [{"name": "pods", "namespaced": True, "kind": "Pod"}]})
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(params=[200, 403], ids=["ended", "refused"])
def watched(request, monkeypatch):
    """When a watch began, in a cluster that ends or refuses them."""
    handler = type("Api", (_Api,), {"watched": [], "code": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        kubeconfig = kubeconfig_of(f"http://127.0.0.1:{server.server_port}")
        connection = {"conn_type": "tke", "extra": {"kubeconfig_secret": kubeconfig}}
        monkeypatch.setenv("AIRFLOW_CONN_TKE_DEFAULT", json.dumps(connection))
        yield handler.watched
        server.shutdown()
        thread.join()


async def test_a_watch_that_ends_at_once_begins_again_ever_more_slowly(watched, monkeypatch):
    monkeypatch.setattr(watches, "_FIRST_PAUSE", 0.1)
    monkeypatch.setattr(watches, "_LONGEST_PAUSE", 0.4)
    async with listen(TkeKubernetesHook(), SCOPE, Listener(lambda _: True)) as watch:
        await until(lambda: len(watched) >= 5)
        assert not watch.works
    pauses = [after - before for before, after in pairwise(watched[:5])]
    assert all(pause >= least for pause, least in zip(pauses, (0.1, 0.2, 0.4, 0.4), strict=True)), pauses


async def test_a_watch_that_held_begins_again_at_once(watched, monkeypatch):
    monkeypatch.setattr(watches, "_FIRST_PAUSE", 60)
    monkeypatch.setattr(watches, "_STEADY_SECONDS", 0)
    async with listen(TkeKubernetesHook(), SCOPE, Listener(lambda _: True)):
        await until(lambda: len(watched) >= 3)


@pytest.mark.parametrize("watched", [200], indirect=True)
async def test_a_thread_that_runs_tasks_of_its_own_has_a_watch_of_its_own(watched):
    """Two tasks of one process, each in a loop of its own: an event of one loop is not heard in another."""

    async def told() -> int:
        listener = Listener(lambda _: True)
        async with listen(TkeKubernetesHook(), SCOPE, listener):
            await asyncio.wait_for(listener.happened.wait(), 60)
            return len(watches._shared)

    async with listen(TkeKubernetesHook(), SCOPE, Listener(lambda _: True)):
        assert await asyncio.to_thread(asyncio.run, told()) == 2
    assert watches._shared == {}
    assert watched
