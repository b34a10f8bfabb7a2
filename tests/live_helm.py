"""A Helm chart repository on loopback with charts made by the tests, and a cloud that runs the real helm."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {greeting: {{ required "a greeting is needed" .Values.greeting | quote }}}
"""


@dataclasses.dataclass
class ChartRepository:
    """Charts under a URL; those that are ``locked`` want a login."""

    url: str
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    versions: dict[str, list[dict]] = dataclasses.field(default_factory=dict)
    login: tuple[str, str] | None = None

    def add(self, name: str, version: str, template: str = CONFIG_MAP, **values: object) -> str:
        """Make a chart of one template and its default values; return the URL of its archive."""
        described = {"apiVersion": "v2", "name": name, "version": version, "appVersion": version}
        files = {
            f"{name}/Chart.yaml": json.dumps(described),
            f"{name}/values.yaml": json.dumps(values),
            f"{name}/templates/all.yaml": template,
        }
        file = f"{name}-{version}.tgz"
        self.files[f"/{file}"] = _archive(files)
        self.versions.setdefault(name, []).append({**described, "urls": [f"{self.url}/{file}"]})
        self.files["/index.yaml"] = json.dumps({"apiVersion": "v1", "entries": self.versions}).encode()
        return f"{self.url}/{file}"


def _archive(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.fixture
def charts():
    """An empty chart repository."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = base64.b64encode(":".join(repository.login or ()).encode()).decode()
            if repository.login and self.headers.get("Authorization") != f"Basic {wanted}":
                self.send_error(401)
            elif self.path == "/moved.tgz":
                self.send_response(302)
                self.send_header("Location", "/elsewhere.tgz")
                self.end_headers()
            elif self.path in repository.files:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(repository.files[self.path])
            else:
                self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    repository = ChartRepository(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield repository
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def helm_cloud(stack, tmp_path, monkeypatch):
    """An emulated Tencent Cloud in front of the live cluster, and the Airflow connection tke_default to it."""
    from local.helm.program import program
    from tests.conftest import EmulatedCloud, emulating, own_pools
    from tke_provider.emulator.cloud import Settings

    kubeconfig = Path(os.environ["TKE_TEST_KUBECONFIG"])
    key = ("AKIDtests", "secret-key")
    settings = Settings(tmp_path / "state.json", *key, kubeconfig, str(program()), pools=own_pools(), temporary=True)
    with emulating(settings) as (_, url):
        cloud = EmulatedCloud(url, *key)
        cloud.connect(monkeypatch, use_external_endpoint=True)
        yield cloud
