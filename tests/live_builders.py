"""What both builders build from: a git host, a base image in the registry, and connections to BuildKit's daemon."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import os
import socket
import subprocess
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.servers import free_port
from tke_provider.clients.kubernetes import Cluster
from tke_provider.domain.manifests import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "t0ken-of-the-test"
BASIC = "Basic " + base64.b64encode(f"test:{PASSWORD}".encode()).decode()
_SECONDS = itertools.count(1_700_000_000)


def git(folder: Path, *words: str) -> str:
    """Run git in a folder and return what it prints."""
    # No two commits in one second.
    date = {"GIT_COMMITTER_DATE": f"{next(_SECONDS)} +0000"}
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]
    argv = ["git", "-C", folder, *identity, *words]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env={**os.environ, **date})
    return done.stdout.strip()


@dataclasses.dataclass
class Repository:
    """A git repository behind HTTP.

    :param url: where it is fetched from.
    """

    folder: Path
    url: str

    def commit(self, files: dict[str, str]) -> str:
        """Write files, commit everything if anything changed, and return the commit's SHA."""
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)
        git(self.folder, "add", "--all")
        if git(self.folder, "status", "--porcelain"):
            git(self.folder, "commit", "--quiet", "-m", "all")
        return git(self.folder, "rev-parse", "HEAD")


class GitHost(BaseHTTPRequestHandler):
    """Git's own smart HTTP backend, behind HTTP basic authentication where it is told so."""

    protocol_version = "HTTP/1.0"
    root: Path
    login = True
    seen: list[str]

    def do_GET(self) -> None:
        authorization = self.headers.get("Authorization", "")
        self.seen.append(authorization)
        if self.login and authorization.lower() != BASIC.lower():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        answer = subprocess.run(["git", "http-backend"], input=body, env=environment, check=False, capture_output=True)
        head, _, content = answer.stdout.partition(b"\r\n\r\n")
        status = next((line[8:11] for line in head.split(b"\r\n") if line.startswith(b"Status: ")), b"200")
        self.wfile.write(b"HTTP/1.0 " + status + b" as git says\r\n" + head + b"\r\n\r\n" + content)

    do_POST = do_GET  # noqa: N815  # the name that the server calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def git_host(tmp_path):
    """Serve the test's folder as a git host: called with whether it wants a login, returns its address and handler."""
    running: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def serve(*, login: bool, address: str = "127.0.0.1") -> tuple[str, type[GitHost]]:
        handler = type("Host", (GitHost,), {"root": tmp_path, "seen": [], "login": login})
        server = ThreadingHTTPServer((address, 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return f"{address}:{server.server_port}", handler

    yield serve
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def git_repository(git_host, tmp_path) -> Repository:
    """A public repository without a commit."""
    host, _ = git_host(login=False)
    folder = tmp_path / "shop.git"
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "config", "uploadpack.allowFilter", "true")
    return Repository(folder, f"http://{host}/shop.git")


@pytest.fixture
def pushed_base(docker_api, base, registry) -> str:
    """The base image with a shell, where the daemon can pull it."""
    name = f"{registry.host}/tests/base"
    docker_api.tag(base, name, "1")
    docker_api.push(name, "1", auth_config={"username": registry.username, "password": registry.password})
    return f"{name}:1"


@pytest.fixture
def bridge_registry(registry, tmp_path, monkeypatch) -> Iterator[str]:
    """The stack's registry where pods reach it, on the bridge and by TLS, which this process trusts: its host."""
    from local import STATE
    from local.kubernetes import ADDRESS
    from local.kubernetes.certificates import Authority
    from local.process import Daemon, wait_until
    from tke_provider.clients.tls import trusted

    authority = Authority("the bridge")
    pair = authority.issue("registry", addresses=[ADDRESS])
    files = {"ca": authority.pair.certificate, "certificate": pair.certificate, "key": pair.key}
    for name, text in files.items():
        (tmp_path / f"registry-{name}.pem").write_text(text)
    host, state = f"{ADDRESS}:{free_port(ADDRESS)}", STATE / "registry"
    settings = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(state / "data")}},
        "auth": {"htpasswd": {"realm": "local", "path": str(state / "htpasswd")}},
        "http": {
            "addr": host,
            "tls": {name: str(tmp_path / f"registry-{name}.pem") for name in ("certificate", "key")},
        },
    }
    (tmp_path / "registry.json").write_text(json.dumps(settings))  # JSON is YAML
    argv = ["docker-registry", "serve", str(tmp_path / "registry.json")]
    daemon = Daemon("bridge-registry", argv, tmp_path / "registry.log", tmp_path)
    daemon.start()
    try:
        wait_until(lambda: _answers(host), "the registry answers on the bridge", daemons=[daemon])
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "registry-ca.pem"))
        trusted.cache_clear()
        yield host
    finally:
        daemon.stop()
        trusted.cache_clear()


def _answers(host: str) -> bool:
    address, _, port = host.partition(":")
    with socket.socket() as client:
        return client.connect_ex((address, int(port))) == 0


def connection_to(folder: Path, address: str, **more: str) -> str:
    """Return the Airflow connection to a daemon whose certificates are in a folder."""
    host, _, port = address.removeprefix("tcp://").partition(":")
    files = {"ca_certificate": "ca.pem", "client_certificate": "client.pem", "private_key": "client-key.pem"}
    extra = {name: (folder / file).read_text() for name, file in files.items()}
    return json.dumps({"conn_type": "generic", "host": host, "port": int(port), "extra": {**extra, **more}})


@pytest.fixture
def second_daemon(stack, tmp_path, monkeypatch) -> Iterator[str]:
    """The connection to a daemon that has never built anything."""
    from local.buildkit.daemon import configuration, serves
    from local.buildkit.programs import SOURCE
    from local.endpoints import BUILDKIT_FOLDER
    from local.kubernetes.daemons import environment
    from local.mounts import unmount_below
    from local.process import Daemon, wait_until

    address, file = "tcp://10.199.0.1:16281", tmp_path / "buildkitd.toml"
    file.write_text(configuration(tmp_path / "data", tmp_path / "otel.sock", address))
    argv = [str(SOURCE.programs / "buildkitd"), "--config", str(file)]
    daemon = Daemon("second-buildkitd", argv, tmp_path / "log", tmp_path, env=environment())
    daemon.start()
    try:
        wait_until(lambda: serves(address), "the second buildkitd answers", daemons=[daemon])
        monkeypatch.setenv("AIRFLOW_CONN_SECOND", connection_to(BUILDKIT_FOLDER, address))
        yield "second"
    finally:
        daemon.stop()
        unmount_below(tmp_path)


@pytest_asyncio.fixture
async def build_pods(stack, kubeconfig, connected, monkeypatch):
    """Where the pods run that ask the stack's daemon: cluster, and a namespace that is deleted afterwards."""
    from local.endpoints import BUILDKIT_ADDRESS, BUILDKIT_FOLDER

    monkeypatch.setenv("AIRFLOW_CONN_BUILDKIT_DEFAULT", connection_to(BUILDKIT_FOLDER, BUILDKIT_ADDRESS))
    name = f"build-{uuid.uuid4().hex[:8]}"
    async with Cluster(kubeconfig, name="live") as cluster:
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        try:
            yield cluster, name
        finally:
            await cluster.delete(ObjectRef("v1", "Namespace", "", name))
