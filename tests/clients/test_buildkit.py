"""What no real cluster does on demand: it is slow to create what was asked for, or too old to."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.servers import kubeconfig_of
from tke_provider.clients import buildkit
from tke_provider.clients.kubernetes import Cluster
from tke_provider.domain.buildkit import BuildJob, Secrets
from tke_provider.domain.buildkit_daemons import PodDaemon, SharedDaemon
from tke_provider.domain.images import Build
from tke_provider.exceptions import InputError

JOB = BuildJob(
    build=Build("demo.tencentcloudcr.com/test/web", "0" * 40, "https://git.example/team/web.git"),
    operation="shop.build.123",
    committed=1700000000,
    namespace="build",
    image="demo.tencentcloudcr.com/tools/buildkit:1",
    daemon=SharedDaemon("tcp://buildkitd.build:1234", "ca", "certificate", "key"),
    secrets=Secrets(),
    timeout=60,
)
KINDS = {
    "/api/v1": [{"name": "secrets", "namespaced": True, "kind": "Secret"}],
    "/apis/batch/v1": [{"name": "jobs", "namespaced": True, "kind": "Job"}],
}


class _Api(BaseHTTPRequestHandler):
    """An API server that creates a Job when it is let, and knows no sidecars; what it has done stands in ``done``."""

    protocol_version = "HTTP/1.1"
    asked: threading.Event
    may: threading.Event
    done: list

    def do_GET(self) -> None:
        kinds = KINDS.get(self.path)
        self._answer(200 if kinds else 404, {"resources": kinds} if kinds else {})

    def do_POST(self) -> None:
        manifest = self._body()
        self.asked.set()
        self.may.wait(10)
        for container in manifest["spec"]["template"]["spec"]["initContainers"]:
            del container["restartPolicy"]
        manifest["metadata"]["uid"] = "uid"
        self._answer(201, manifest)

    def do_PATCH(self) -> None:
        self._answer(200, self._body())

    def do_DELETE(self) -> None:
        self._body()
        self._answer(200, {})

    def _body(self) -> dict:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, status: int, body: dict) -> None:
        if self.command != "GET":
            self.done.append((self.command, "Job" if "/jobs" in self.path else "Secret"))
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def api():
    """The server's kubeconfig, and the server."""
    handler = type("Api", (_Api,), {"asked": threading.Event(), "may": threading.Event(), "done": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield kubeconfig_of(f"http://127.0.0.1:{server.server_port}"), handler
        handler.may.set()
        server.shutdown()
        thread.join()


async def test_a_build_that_is_stopped_while_its_job_is_being_created_leaves_none(api):
    kubeconfig, server = api
    async with Cluster(kubeconfig) as cluster:
        building = asyncio.ensure_future(buildkit.build(cluster, JOB, lambda _: None))
        await asyncio.to_thread(server.asked.wait)
        building.cancel()
        await asyncio.wait({building}, timeout=0.1)
        server.may.set()
        with pytest.raises(asyncio.CancelledError):
            await building
    assert server.done == [("POST", "Job"), ("PATCH", "Secret"), ("DELETE", "Secret"), ("DELETE", "Job")]


async def test_a_cluster_that_would_wait_for_the_daemon_to_end_is_refused_and_nothing_is_left(api):
    kubeconfig, server = api
    server.may.set()
    own = dataclasses.replace(JOB, daemon=PodDaemon(rootless=True))
    async with Cluster(kubeconfig) as cluster:
        with pytest.raises(InputError, match="knows no sidecar containers"):
            await buildkit.build(cluster, own, lambda _: None)
    assert server.done == [("POST", "Job"), ("DELETE", "Secret"), ("DELETE", "Job")]
