"""The moment after ``git push``: a real Git host tells Airflow, or Airflow asks it; each head is built once."""

from __future__ import annotations

import os
import signal
import time
import uuid

import httpx
import pytest

from local import STATE, stack
from local.endpoints import PUSH_CONN_ID, PUSH_SECRET_FILE, SHOP_GIT_URL, read
from local.gitea.api import GitHost
from local.process import Daemon
from local.shop import Repository
from tests.e2e.conftest import end_what_is_left, until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def host(airflow):
    """The Git host, with the shop's repository, and nobody told of pushes."""
    was_up = stack.status()["gitea"]
    stack.up(("gitea",), stack.current_settings())
    where = read()
    host = GitHost(where.gitea_url, where.gitea_user, where.gitea_password)
    host.repository("shop")
    host.silence("shop")
    yield host
    if not was_up:
        stack.down(("gitea",))


@pytest.fixture(scope="module")
def shop(host, tmp_path_factory):
    """The shop on its developer's machine."""
    return Repository(tmp_path_factory.mktemp("developer") / "shop")


@pytest.fixture
def pushed(host, shop):
    def push(message: str) -> str:
        """Commit something that changes no image, and push it."""
        shop.commit_sample()
        shop.git("commit", "--quiet", "--allow-empty", "--message", message)
        assert shop.push(SHOP_GIT_URL, host.user, host.password)
        return shop.git("rev-parse", "HEAD")

    return push


@pytest.fixture(autouse=True)
def no_leftovers(api):
    """Have the pipeline free for the next test, however this one ends."""
    end_what_is_left(api, "ci_cd")
    yield
    end_what_is_left(api, "ci_cd")


@pytest.fixture
def runs_of(api):
    """The runs of the pipeline that build a commit."""

    def read(commit: str) -> list[dict]:
        answer = api.http.get("/api/v2/dags/ci_cd/dagRuns?order_by=-id&limit=50").raise_for_status().json()
        return [run for run in answer["dag_runs"] if run["conf"].get("commit") == commit]

    return read


def end(api, run: dict) -> None:
    """Let a run of the pipeline end, without a release to production."""
    for _ in api.follow("ci_cd", run["dag_run_id"], approve=lambda: "Reject"):
        pass


def drop(api, dag_id: str, run: dict) -> None:
    """Let a run end that has not begun."""
    answer = api.http.patch(f"/api/v2/dags/{dag_id}/dagRuns/{run['dag_run_id']}", json={"state": "failed"})
    answer.raise_for_status()


def test_a_git_push_starts_the_pipeline_by_the_hosts_own_signed_delivery(api, airflow, host, pushed, runs_of):
    api.unpause("ci_cd")
    host.webhook("shop", f"{airflow.airflow_url}/tke/webhooks/{PUSH_CONN_ID}", PUSH_SECRET_FILE.read_text())
    began = time.monotonic()
    commit = pushed("Told by webhook")
    until(lambda: runs_of(commit), 90, "a run for the pushed commit")
    took = time.monotonic() - began
    host.silence("shop")
    (run,) = runs_of(commit)
    assert run["conf"] == {"git_url": SHOP_GIT_URL, "commit": commit}
    assert run["triggering_user_name"] == f"webhook:{PUSH_CONN_ID}"
    assert took < 10, f"{took:.1f} s from git push to a run"
    end(api, run)


def test_a_forged_delivery_starts_nothing(api, airflow):
    before = api.runs("ci_cd")
    answer = httpx.post(
        f"{airflow.airflow_url}/tke/webhooks/{PUSH_CONN_ID}", json={"ref": "refs/heads/main"}, timeout=60
    )
    assert answer.status_code == 401
    assert api.runs("ci_cd") == before


def test_a_watcher_builds_each_head_once_over_the_death_of_the_triggerer(api, pushed, runs_of):
    api.pause("ci_cd")  # what is handed on is looked at here, not carried out
    first = pushed("There before anybody watched")
    _forget(api, "git:")
    api.watch("on_push")
    try:
        until(lambda: f"{first}" in _positions(api), 180, "the watcher remembers the head")
        seen = pushed("Seen by the watcher")
        until(lambda: runs_of(seen), 180, "a run for the head that was seen")
        triggerer = Daemon("triggerer", [], STATE / "airflow" / "triggerer.log", STATE / "airflow")
        os.killpg(triggerer.pid(), signal.SIGKILL)
        missed = pushed("Pushed while nobody watched")
        stack.up(("airflow",), stack.current_settings())
        until(lambda: runs_of(missed), 180, "a run for the head that was missed")
        assert runs_of(first) == []
        for commit in (seen, missed):
            (run,) = runs_of(commit)
            assert run["conf"] == {"git_url": SHOP_GIT_URL, "commit": commit}
            drop(api, "ci_cd", run)
    finally:
        api.pause("on_push")


def test_an_image_that_is_pushed_is_handed_on_once_by_digest(api, airflow, registry):
    def runs_of(digest: str) -> list[dict]:
        answer = api.http.get("/api/v2/dags/scanned_promotion/dagRuns?order_by=-id&limit=50").raise_for_status()
        return [run for run in answer.json()["dag_runs"] if run["conf"].get("image", "").endswith(digest)]

    number = uuid.uuid4().hex[:8]
    first = registry.push("test/web", f"v{number}.1")
    api.pause("scanned_promotion")  # what is handed on is looked at here, not carried out
    _forget(api, "tcr:")
    api.watch("on_image")
    try:
        until(lambda: f"v{number}.1" in _positions(api, "tcr:"), 180, "the watcher remembers what is there")
        pushed = registry.push("test/web", f"v{number}.2")
        until(lambda: runs_of(pushed), 180, "a run for the image that was pushed")
        assert runs_of(first) == []
        (run,) = runs_of(pushed)
        assert run["conf"] == {
            "to_repository": "production/web",
            "image": f"{registry.host}/test/web@{pushed}",
        }
        drop(api, "scanned_promotion", run)
    finally:
        api.pause("on_image")


def _stores(api, kind: str) -> list[str]:
    """Where Airflow keeps what the watchers remember."""
    assets = api.http.get(f"/api/v2/assets?name_pattern={kind}").raise_for_status().json()["assets"]
    return [f"/api/v2/assets/{asset['id']}/state-store" for asset in assets]


def _positions(api, kind: str = "git:") -> str:
    """What the watchers remember, as Airflow shows it."""
    return "\n".join(api.http.get(store).text for store in _stores(api, kind))


def _forget(api, kind: str) -> None:
    """Have nobody remember what was there when these tests ran before."""
    for store in _stores(api, kind):
        api.http.delete(store).raise_for_status()
