"""The figures of real releases, on the live cluster and a real repository."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.live_cluster import deploy, image, refused, released, run_of
from tke_provider.domain.images import CREATED, REVISION
from tke_provider.domain.releases import Record
from tke_provider.operators.dora import TkeDoraOperator


@pytest.fixture
def repository(tmp_path) -> tuple[str, str]:
    """A repository, and its one commit, which was made an hour ago."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    made = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "a"], check=True, env={"GIT_COMMITTER_DATE": made})
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return str(tmp_path), head.stdout.strip()


def figures(place, **more) -> TkeDoraOperator:
    return TkeDoraOperator(task_id="figures", services=["web"], namespace=place.namespace, **more)


async def counted(operator: TkeDoraOperator) -> dict:
    return await asyncio.to_thread(operator.execute, run_of())


@pytest.mark.stack
@pytest.mark.usefixtures("connected")
async def test_releases_are_counted_and_their_commits_asked_for(place, repository):
    url, commit = repository
    await released(deploy(place, images={"web": image("a", commit)}), run_of("run-1"))
    await released(deploy(place, images={"web": image("b")}), run_of("run-2"))
    await refused(deploy(place, "c", place.workload(kubelet=False), timeout=1), run_of("run-3"))
    seen = await counted(figures(place, git_url=url))
    assert (seen["releases"], seen["failures"]) == (3, 1)
    assert seen["lead_time"] == pytest.approx(3600, abs=600)
    assert seen["lead_times_unknown"] == 1
    assert 0 < seen["time_to_restore"] < 600
    assert seen["incomplete"] == []


@pytest.mark.stack
@pytest.mark.usefixtures("connected")
async def test_without_a_repository_lead_times_are_unknown(place):
    await released(deploy(place))
    seen = await counted(figures(place))
    assert (seen["lead_time"], seen["lead_times_unknown"]) == (None, 1)


@pytest.mark.stack
@pytest.mark.usefixtures("connected")
async def test_a_window_before_the_releases_has_none(place):
    await released(deploy(place))
    window = {"start": "2026-01-01T00:00:00+08:00", "end": "2026-01-02T00:00:00Z"}
    assert (await counted(figures(place, **window)))["releases"] == 0


@pytest.mark.parametrize(("end", "said"), [("yesterday", "'yesterday' is no instant"), ("2026-01-01", "no time zone")])
@pytest.mark.stack
@pytest.mark.usefixtures("connected")
async def test_a_window_that_makes_no_sense_is_refused(place, end, said):
    with pytest.raises(AirflowFailException, match=said):
        await counted(figures(place, end=end))


COMMIT = "c" * 40
CONFIG = json.dumps({"config": {"Labels": {REVISION: COMMIT, CREATED: "2026-01-01T00:00:00+00:00"}}}).encode()
MANIFEST = json.dumps({"config": {"digest": f"sha256:{hashlib.sha256(CONFIG).hexdigest()}"}}).encode()


class _Registry(BaseHTTPRequestHandler):
    """Has one image of an application, for the figures are asked of records that no cluster has to keep."""

    def do_GET(self) -> None:
        body = (
            CONFIG
            if "/blobs/" in self.path
            else MANIFEST
            if self.path.endswith(hashlib.sha256(MANIFEST).hexdigest())
            else b""
        )
        self.send_response(200 if body or self.path == "/v2/" else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def host(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), _Registry) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        login = {"conn_type": "docker", "host": f"127.0.0.1:{server.server_port}", "login": "a", "password": "b"}
        monkeypatch.setenv("AIRFLOW_CONN_REGISTRY", json.dumps(login))
        yield login["host"]
        server.shutdown()
        thread.join()


def record(host: str, commit: str = COMMIT, digest: str = hashlib.sha256(MANIFEST).hexdigest()) -> Record:
    return Record(
        service="web", namespace="n", op="o", commit=commit, images={"web": f"{host}/test/web@sha256:{digest}"}
    )


async def test_images_tell_the_time_of_commits_that_git_does_not_know(host, repository):
    url, known = repository
    asking = TkeDoraOperator(
        task_id="figures", services=[], namespace="n", git_url=url, ask_registry=True, docker_conn_id="registry"
    )
    made = await asking._committed([record(host), record("127.0.0.1:1", known)])
    assert made[COMMIT] == datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert datetime.now(timezone.utc) - made[known] == pytest.approx(timedelta(hours=1), abs=timedelta(minutes=10))


async def test_an_image_that_has_gone_or_is_of_another_commit_tells_nothing(host):
    asking = TkeDoraOperator(
        task_id="figures", services=[], namespace="n", ask_registry=True, docker_conn_id="registry"
    )
    assert await asking._committed([record(host, "d" * 40), record(host, digest="0" * 64)]) == {}


async def test_no_registry_is_asked_unless_it_should_be():
    nowhere = record("127.0.0.1:1")
    assert await TkeDoraOperator(task_id="figures", services=[], namespace="n")._committed([nowhere]) == {}
