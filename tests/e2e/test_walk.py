"""One commit walks from git to production, and bad ones do not."""

from __future__ import annotations

import pytest

from local.shop import CRASHING_PRICES, WRONG_STOCK

pytestmark = pytest.mark.e2e

SERVICES = ("prices", "stock", "shop")


def serving(core) -> set[str]:
    """The pods of production but those that a release before has sent away and that still end their requests."""
    listed = core.list_namespaced_pod("production").items
    return {pod.metadata.uid for pod in listed if pod.metadata.deletion_timestamp is None}


def test_every_service_answers_with_the_new_commit(live, good, answer):
    assert set(answer("production")["commits"].values()) == {good}


def test_production_runs_the_very_digest_that_was_tested(live, images):
    for service in SERVICES:
        tested = live.result(f"{service}.unit_tests")["image"]
        built = live.result(f"{service}.build")
        running = images("production")[service]
        assert running.endswith(f"/production/{service}@{built['digest']}")
        assert built["digest"] in str(tested)


def test_services_find_one_another_by_name(live, answer):
    assert [row["name"] for row in answer("production")["offer"]] == ["cup", "tea"]


def test_an_unchanged_commit_builds_nothing_and_restarts_nothing(live, good, release, core):
    assert release(good).state == "success"  # others may have scaled the services meanwhile
    before = serving(core)
    again = release(good)
    assert again.state == "success"
    assert [again.result(f"{s}.build")["digest"] for s in SERVICES] == [
        live.result(f"{s}.build")["digest"] for s in SERVICES
    ]
    assert all("Step 1" not in again.log(f"{service}.build") for service in SERVICES)
    assert serving(core) == before


def test_a_rejected_release_leaves_production_as_it_is(live, release, repository, images):
    before = images("production")
    commit = repository.commit("Make tea dearer", {"prices/app.py": ('"tea": 18.0', '"tea": 19.0')})
    rejected = release(commit, approval="Reject")
    assert rejected.state == "success"
    assert rejected.states["production.deploy_shop"] == "skipped"
    assert images("production") == before


def test_a_commit_whose_tests_fail_never_reaches_the_cluster(live, release, repository, images):
    before = images("pre-release"), images("production")
    refused = release(repository.commit("Count differently", WRONG_STOCK))
    assert refused.state == "failed"
    assert refused.states["stock.unit_tests"] == "failed"
    assert "test_what_is_sold_is_gone" in refused.reason("stock.unit_tests")
    assert (images("pre-release"), images("production")) == before


def test_a_crashing_pod_is_rolled_back_and_production_is_untouched(live, release, repository, images, answer):
    before = images("pre-release"), images("production")
    refused = release(repository.commit("Read prices from a list", CRASHING_PRICES))
    assert refused.state == "failed"
    reason = refused.reason("pre_release.deploy_prices")
    assert "no price list: PRICE_LIST is not set" in reason
    assert (images("pre-release"), images("production")) == before
    assert answer("pre-release")["offer"]


@pytest.mark.parametrize(
    ("conf", "task", "names"),
    [
        ({"commit": "0" * 40}, "prices.build", "0" * 40),
        ({"git_url": "file:///no/such/repository"}, "prices.build", "/no/such/repository"),
        ({"base_image": "127.0.0.1:5050/base/nothing:1"}, "prices.build", "base/nothing"),
    ],
    ids=["no such commit", "no such repository", "no such base image"],
)
def test_bad_input_ends_the_task_at_once_with_one_sentence(live, good, release, images, conf, task, names):
    before = images("production")
    refused = release(**{"commit": good, **conf})
    assert refused.states[task] == "failed"
    assert names in refused.reason(task)
    assert images("production") == before


def test_no_secret_shows_in_what_airflow_keeps(live, secrets, database):
    with database.cursor() as cursor:
        kept = {}
        for table in ("xcom", "rendered_task_instance_fields", "trigger", "log", "task_instance", "dag_run"):
            cursor.execute(f"SELECT * FROM {table}")  # noqa: S608  # table names of our own
            kept[table] = repr(cursor.fetchall())
    assert all(len(secret) > 8 for secret in secrets)
    kept["logs"] = "\n".join(live.log(task) for task in live.states if not task.startswith("approval"))
    leaked = [(where, secret[:4]) for where, text in kept.items() for secret in secrets if secret in text]
    assert leaked == []
    assert "sha256:" in kept["xcom"]
