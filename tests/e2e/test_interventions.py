"""A person steps in while a release is under way."""

from __future__ import annotations

import pytest

from local import STATE
from local.shop import UNREADY_SHOP
from tests.e2e.conftest import until

pytestmark = pytest.mark.e2e

TASK = "pre_release.deploy_shop"


def watched(run_id: str) -> bool:
    """Whether the triggerer has taken the wait up: before, nobody is there whom a person's word could reach."""
    logs = (STATE / "airflow" / "logs").glob(f"dag_id=ci_cd/run_id={run_id}/task_id={TASK}/*.trigger.*")
    return any("starting" in log.read_text() for log in logs)


@pytest.fixture
def deferred(live, api, repository, airflow):
    """A release that waits in the triggerer for a pod that will not become ready."""
    commit = repository.commit("Check more before serving", UNREADY_SHOP)
    api.unpause("ci_cd")
    conf = {"git_url": repository.url, "commit": commit, "base_image": airflow.base_image}
    run_id = api.start("ci_cd", conf)

    def state() -> str:
        return next((t["state"] for t in api.tasks("ci_cd", run_id) if t["task_id"] == TASK), "")

    until(lambda: state() == "deferred" and watched(run_id), 120, f"the triggerer waits for {TASK}")
    yield run_id, state
    if state() == "deferred":
        api.set_state("ci_cd", run_id, TASK, "failed")
    until(lambda: not api.active("ci_cd"), 180, "the run has ended")


@pytest.fixture
def undone(deferred, live, images, api, answer):
    """Fail the waiting release as a person does, and see that pre-release is what it was before."""

    def check(seconds: float) -> None:
        run_id, _ = deferred
        good = live.result("shop.build")["digest"]
        assert not images("pre-release")["shop"].endswith(good)
        api.set_state("ci_cd", run_id, TASK, "failed")
        until(lambda: images("pre-release")["shop"].endswith(good), seconds, "pre-release is back at the good image")
        assert answer("pre-release")["offer"]

    return check


def test_a_release_that_a_person_fails_is_undone(undone):
    undone(seconds=120)
