"""A real Prometheus with a known history, from an hour before the tests to an hour after, behind a login.

``requests_total`` of service ``shop`` counts two requests a second, of which ``good`` fails one in 100, ``bad`` one
in four, and ``clean`` none. ``quiet`` has had a single request, and ``unknown`` none at all. ``queue_length`` is 120.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SECONDS, _STEP = 3600, 15
_LOGIN = ("1300000000", "token-of-the-instance")
# What each second adds: good answers, errors.
_VERSIONS = {"good": (1.98, 0.02), "bad": (1.5, 0.5), "clean": (2.0, 0.0)}


@dataclasses.dataclass(frozen=True)
class LivePrometheus:
    """Where it is, and who may ask it.

    :param began: when the tests began, in seconds since 1970: what its history is around.
    """

    url: str
    began: int
    login: tuple[str, str] = _LOGIN

    def connect(self, monkeypatch: pytest.MonkeyPatch, conn_id: str = "prometheus_default", **more: object) -> None:
        """Make it an Airflow connection; more are fields of it."""
        scheme, _, host = self.url.partition("://")
        fields = {"host": host, "schema": scheme, "login": self.login[0], "password": self.login[1], **more}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "prometheus", **fields}))


@pytest.fixture(scope="session")
def _live_prometheus(stack, tmp_path_factory) -> Iterator[LivePrometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    began = int(time.time())
    (folder / "history").write_text(_history(began))
    _run("promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "history", folder / "data")
    hashed = _run("htpasswd", "-nbBC", "5", *_LOGIN).strip()
    user, _, secret = hashed.partition(":")
    (folder / "web.yml").write_text(f"basic_auth_users:\n  '{user}': '{secret}'\n")
    (folder / "prometheus.yml").write_text("{}\n")
    with _serving(folder) as url:
        yield LivePrometheus(url, began)


@pytest.fixture
def prometheus(_live_prometheus: LivePrometheus, monkeypatch: pytest.MonkeyPatch) -> LivePrometheus:
    """The server, which the connection prometheus_default leads to."""
    _live_prometheus.connect(monkeypatch)
    return _live_prometheus


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = {
        "config.file": folder / "prometheus.yml",
        "web.config.file": folder / "web.yml",
        "web.listen-address": address,
        "storage.tsdb.path": folder / "data",
        "storage.tsdb.retention.time": "10y",
    }
    with (folder / "log").open("w") as log:
        argv = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        _until_ready(f"http://{address}", process, folder / "log")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


def _until_ready(url: str, process: subprocess.Popen, log: Path) -> None:
    with httpx.Client(auth=_LOGIN, timeout=60) as http:
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if http.get(f"{url}/-/ready").is_success:
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                break
    raise AssertionError(log.read_text())


def _history(now: int) -> str:
    instants = range(now - _SECONDS, now + _SECONDS, _STEP)
    lines = ["# TYPE requests counter"]
    for version, rates in _VERSIONS.items():
        for status, rate in zip((200, 500), rates, strict=True):
            labels = f'service="shop",version="{version}",status="{status}"'
            lines += [f"requests_total{{{labels}}} {rate * i * _STEP} {at}" for i, at in enumerate(instants)]
    quiet = 'service="shop",version="quiet",status="200"'
    lines += [f"requests_total{{{quiet}}} {int(at >= now - 60)} {at}" for at in instants]
    lines += ["# TYPE queue_length gauge"]
    lines += [f'queue_length{{queue="orders"}} 120 {at}' for at in instants]
    return "\n".join(itertools.chain(lines, ["# EOF", ""]))


def _run(*words: object) -> str:
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout
