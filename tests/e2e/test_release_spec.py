"""Three services from one release spec: a commit builds what it changes, and releases all of them as one."""

from __future__ import annotations

import pytest

from local.endpoints import BASE_IMAGE

pytestmark = [pytest.mark.e2e, pytest.mark.aside]

SERVICES = ("prices", "stock", "shop")
IN_SHOP = {"shop/app.py": ('"""The shop: what a customer sees', '"""The shop: all that a customer sees')}
SHOP_CRASHES = {
    "shop/app.py": ('if __name__ == "__main__":', 'if __name__ == "__main__":\n    raise SystemExit("no tea")')
}
IN_STOCK = {"stock/app.py": ('"""The stock: how many', '"""The stock: just how many')}


@pytest.fixture(scope="module")
def release_spec(run_dag, repository):
    """Hand a commit with edits of the sample to the DAG of the release spec."""

    def run(edits: dict[str, tuple[str, str]], approval: str = "Approve", **conf: str):
        commit = repository.commit("Say more", edits)
        given = {"git_url": repository.url, "commit": commit, "base_image": BASE_IMAGE, **conf}
        return commit, run_dag("release_spec", given, approval)

    return run


@pytest.fixture(scope="module")
def first(release_spec) -> str:
    """The commit of all three services as they are live at first."""
    commit, run = release_spec({}, build="all")
    assert run.state == "success", {task: state for task, state in run.states.items() if state != "success"}
    return commit


@pytest.fixture(scope="module")
def second(first, release_spec, images):
    """A commit that changes the shop alone: its SHA, its run, and what was live before."""
    before = images("shop-production")
    commit, run = release_spec(IN_SHOP)
    return commit, run, before


def built(run) -> set[str]:
    return {name for name in SERVICES if run.states[f"{name}.build"] == "success"}


def test_everything_goes_live_the_first_time(first, answer):
    assert set(answer("shop-production")["commits"].values()) == {first}


def test_only_the_service_that_the_commit_changes_is_built(second):
    _, run, _ = second
    assert run.state == "success", {task: state for task, state in run.states.items() if state == "failed"}
    assert built(run) == {"shop"}
    assert run.states["prices.unit_tests"] == "skipped"
    assert {run.states[f"{where}.undo"] for where in ("pre-release", "production")} == {"skipped"}
    assert run.result("changes")["prices"]["reason"].startswith("stays")


def test_the_others_keep_their_digests_in_every_environment(second, images):
    _, _, before = second
    after = images("shop-production")
    assert {name for name in SERVICES if after[name] != before[name]} == {"shop"}
    digests = [
        {name: image.partition("@")[2] for name, image in images(f"shop-{where}").items()}
        for where in ("pre-release", "production")
    ]
    assert digests[0] == digests[1]


def test_every_service_answers_with_the_commit_that_it_was_built_from(first, second, answer):
    commit, _, _ = second
    assert answer("shop-production")["commits"] == {"prices": first, "stock": first, "shop": commit}


def test_what_depends_on_the_changed_service_is_built_too_and_a_rejection_leaves_production_alone(
    second, release_spec, images
):
    before = images("shop-production")
    commit, run = release_spec({**IN_SHOP, **IN_STOCK}, approval="Reject")
    assert built(run) == {"stock", "shop"}
    assert run.result("changes")["shop"]["reason"] == "depends on stock, which is built"
    assert run.states["production.deploy.shop"] == "skipped"
    assert images("shop-production") == before
    assert commit in str(run.result("stock.image"))


def test_what_was_rejected_goes_live_with_the_next_commit(second, release_spec, images):
    before = images("shop-production")
    _, run = release_spec({**IN_SHOP, **IN_STOCK, "README.md": ("# A shop", "# The shop")})
    assert built(run) == set()
    assert run.state == "success"
    after = images("shop-production")
    assert {name for name in SERVICES if after[name] != before[name]} == {"stock", "shop"}


def test_what_a_run_changed_in_an_environment_goes_back_as_one_when_a_service_does_not_come_up(
    second, release_spec, images
):
    before = images("shop-pre-release"), images("shop-production")
    _, run = release_spec(
        {**SHOP_CRASHES, "stock/app.py": ('"""The stock: how many', '"""The stock: exactly how many')}
    )
    assert run.state == "failed"
    assert built(run) == {"stock", "shop"}
    assert "no tea" in run.reason("pre-release.deploy.shop")
    assert (run.states["pre-release.deploy.stock"], run.states["pre-release.undo"]) == ("success", "success")
    done = run.result("pre-release.undo")
    assert done["stock"].startswith("is as it was, which is release ")
    assert (done["prices"], done["shop"]) == ("did not change in this run", "this run released nothing that stayed")
    assert (images("shop-pre-release"), images("shop-production")) == before
