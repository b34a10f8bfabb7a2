"""What no real cluster does on demand: it forgets a login, and breaks off within a line."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.servers import kubeconfig_of
from tke_provider.clients.kubernetes import Cluster
from tke_provider.exceptions import CredentialError, UnavailableError
from tke_provider.hooks.kubernetes import TkeKubernetesHook

PODS = {"resources": [{"name": "pods", "namespaced": True, "kind": "Pod"}]}


class _Api(BaseHTTPRequestHandler):
    """An API server that knows the token ``new`` alone, and whose watch ends within its second line."""

    asked: list

    def do_GET(self) -> None:
        self.asked.append(self.path)
        known = self.headers.get("Authorization") == "Bearer new"
        added = json.dumps({"type": "ADDED", "object": {"metadata": {"name": "a"}}})
        body = f'{added}\n{{"type": "MODI' if "watch=1" in self.path else json.dumps(PODS)
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write((body if known else json.dumps({"message": "Unauthorized"})).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def api():
    """The server's kubeconfig by token, and what was asked."""
    handler = type("Api", (_Api,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def kubeconfig(token: str) -> str:
            return kubeconfig_of(f"http://127.0.0.1:{server.server_port}", token)

        yield kubeconfig, handler.asked
        server.shutdown()
        thread.join()


async def test_a_login_that_the_cluster_forgot_is_renewed_once_and_the_call_goes_on(api):
    kubeconfig, asked = api

    async def renew() -> str:
        return kubeconfig("new")

    async with Cluster(kubeconfig("old"), renew=renew) as cluster:
        assert await cluster.namespaced("v1", "Pod")
    assert asked == ["/api/v1", "/api/v1"]


async def test_a_login_that_stays_unknown_is_a_matter_of_credentials(api):
    kubeconfig, asked = api

    async def renew() -> str:
        return kubeconfig("older")

    async with Cluster(kubeconfig("old"), name="cls-1", renew=renew) as cluster:
        with pytest.raises(CredentialError, match="Cluster cls-1 does not know who is asking"):
            await cluster.namespaced("v1", "Pod")
    assert len(asked) == 2


async def test_a_watch_that_breaks_off_within_a_line_is_begun_again_by_whoever_watches(api):
    kubeconfig, _ = api
    async with Cluster(kubeconfig("new"), name="cls-1") as cluster:
        changes = cluster.watch("v1", "Pod", "shop")
        assert await anext(changes) == ("ADDED", {"metadata": {"name": "a"}})
        with pytest.raises(UnavailableError, match="Cluster cls-1 broke off within a line of watch pods"):
            await anext(changes)


async def test_a_token_that_was_replaced_in_the_connection_is_taken_up_by_what_waits(api, monkeypatch):
    kubeconfig, asked = api

    def connect(token: str) -> None:
        connection = {"conn_type": "tke", "extra": {"kubeconfig_secret": kubeconfig(token)}}
        monkeypatch.setenv("AIRFLOW_CONN_TKE_DEFAULT", json.dumps(connection))

    connect("old")
    async with await TkeKubernetesHook().cluster() as cluster:
        connect("new")
        assert await cluster.namespaced("v1", "Pod")
    assert asked == ["/api/v1", "/api/v1"]
