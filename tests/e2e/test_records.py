"""What a release leaves behind: an approver, an event for other DAGs, figures."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import until

pytestmark = pytest.mark.e2e

NAMESPACE = "approved"
REASON = "release_in_spite_of_freeze"


@pytest.fixture
def approved(live, good, repository, api, core):
    """Release the tested image of one service by approval; yields what the person was shown, and the run's id."""
    image = live.result("prices.build")
    conf = {
        "git_url": repository.url, "commit": good, "image": f"{image['repository']}@{image['digest']}",
        "namespace": NAMESPACE,
    }  # fmt: skip
    api.unpause("approved_release")
    run_id = api.start("approved_release", conf)

    def state() -> str:
        return next((t["state"] for t in api.tasks("approved_release", run_id) if t["task_id"] == "approval"), "")

    until(lambda: state() == "awaiting_input", 120, "a person is asked")
    where = f"/api/v2/dags/approved_release/dagRuns/{run_id}/taskInstances/approval/-1/hitlDetails"
    shown = api.http.get(where).raise_for_status().json()
    # On a weekend, releases are frozen; a reason does no harm on other days.
    api.answer("approved_release", run_id, "approval", "Approve", **{REASON: "the test says so"})
    yield shown, run_id, image
    core.delete_namespace(NAMESPACE)


def test_a_person_approves_what_they_see_and_stands_in_the_event(approved, api, airflow):
    shown, run_id, image = approved
    states = {task["task_id"]: task["state"] for task in api.follow("approved_release", run_id)}
    assert states["release"] == "success", states
    assert image["digest"] in shown["body"]
    assert f"Deployment {NAMESPACE}/prices** created" in shown["body"]
    asset = f"tke://{airflow.cluster_id}/{NAMESPACE}/prices"
    events = api.http.get("/api/v2/assets/events?order_by=-timestamp&limit=50").raise_for_status().json()
    event = next(each for each in events["asset_events"] if each["uri"] == asset)
    assert event["extra"]["approver"] == api.result("approved_release", run_id, "approval")["approver"] != ""
    assert event["extra"]["commit"]
    assert image["digest"] in str(event["extra"]["images"])


def test_another_dag_runs_after_a_release(live, good, release, api):
    def runs() -> dict[str, str]:
        found = api.http.get("/api/v2/dags/after_release/dagRuns?order_by=-id&limit=50").raise_for_status().json()
        return {run["dag_run_id"]: run["state"] for run in found["dag_runs"]}

    api.unpause("after_release")
    before = runs()
    assert release(good).state == "success"
    ended = lambda: [run for run, state in runs().items() if run not in before and state == "success"]  # noqa: E731
    (run, *_) = until(ended, 120, "the DAG that is scheduled on the release has run")
    (release_told, *_) = api.result("after_release", run, "tell")
    assert (release_told["service"], release_told["namespace"]) == ("shop", "production")


def test_the_figures_count_the_releases(live, run_dag, repository):
    run = run_dag("delivery_figures", {"git_url": repository.url})
    assert run.state == "success", run.states
    figures = run.result("figures")
    assert figures["releases"] >= 3
    assert figures["lead_time"] is not None
