from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, DownstreamTasksSkipped
from airflow.providers.standard.operators.empty import EmptyOperator

from tests.live_cluster import deploy, image, refused, released, run_of
from tke_provider.operators.changes import TkeDetectChangesOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]

SERVICES = {
    "prices": {"paths": ["prices"]},
    "stock": {"paths": ["stock", "libs/count.py"]},
    "shop": {"paths": ["shop"], "depends_on": ["prices", "stock"]},
}
FIRST = {f"{name}/app.py": "1" for name in SERVICES} | {"libs/count.py": "1", "README.md": "1"}


@pytest.fixture
def shop(place, git_repository):
    """A repository, and its first commit live with all three services."""

    async def live(commit: str, *names: str) -> None:
        for name in names or SERVICES:
            await released(release(place, name, commit), run_of(f"{name}-{commit}"))

    return SimpleNamespace(live=live, first=git_repository.commit(FIRST), **vars_of(git_repository))


def vars_of(repository) -> dict:
    return {"url": repository.url, "commit": repository.commit}


def release(place, name: str, commit: str, digit: str = "a", **more):
    return deploy(
        place, manifests=[place.workload(name=name)], images={"web": image(digit, commit)}, service=name, **more
    )


def detect(place, shop, commit: str, **more):
    services = {name: {**given, "container": "web"} for name, given in SERVICES.items()}
    return TkeDetectChangesOperator(
        task_id="changes", services=services, git_url=shop.url, commit=commit, namespace=place.namespace, **more
    )


async def found(place, shop, commit: str, **more) -> dict:
    return await detect(place, shop, commit, **more).perform(run_of())


def built(changes: dict) -> set[str]:
    return {name for name, change in changes.items() if change["build"]}


async def test_everything_is_built_where_nothing_is_live(place, shop):
    changes = await found(place, shop, shop.first)
    assert built(changes) == set(SERVICES)
    assert changes["prices"]["reason"] == "is built: no release of it is known to be live"


async def test_a_service_that_changed_is_built_and_the_others_keep_their_digest(place, shop):
    await shop.live(shop.first)
    changes = await found(place, shop, shop.commit({"shop/app.py": "2"}))
    assert built(changes) == {"shop"}
    assert changes["prices"]["image"] == image("a", shop.first)
    assert changes["prices"]["reason"] == f"stays: nothing of it changed since {shop.first}"
    assert changes["shop"]["reason"] == f"is built: shop/app.py changed since {shop.first}"
    assert changes["shop"]["image"] is None


async def test_what_depends_on_a_changed_service_is_built_too(place, shop):
    await shop.live(shop.first)
    changes = await found(place, shop, shop.commit({"libs/count.py": "2"}))
    assert built(changes) == {"stock", "shop"}
    assert changes["shop"]["reason"] == "depends on stock, which is built"


async def test_the_same_commit_builds_nothing(place, shop):
    await shop.live(shop.first)
    assert built(await found(place, shop, shop.first)) == set()


async def test_a_change_of_no_service_builds_nothing(place, shop):
    await shop.live(shop.first)
    assert built(await found(place, shop, shop.commit({"README.md": "2"}))) == set()


async def test_everything_is_built_where_that_was_asked_for(place, shop):
    await shop.live(shop.first)
    assert built(await found(place, shop, shop.first, build="all")) == set(SERVICES)


async def test_each_service_is_compared_with_the_commit_of_its_own_image(place, shop):
    await shop.live(shop.first)
    second = shop.commit({"prices/app.py": "2"})
    await shop.live(second, "prices")
    third = shop.commit({"README.md": "2"})
    changes = await found(place, shop, third)
    assert built(changes) == set()
    assert changes["prices"]["image"]["commit"] == second


async def test_a_change_whose_release_failed_is_built_again(place, shop):
    await shop.live(shop.first)
    second = shop.commit({"prices/app.py": "2"})
    failing = release(place, "prices", second, "b", timeout=2)
    failing.manifests = [place.workload(name="prices", kubelet=False)]
    await refused(failing, run_of("failing"))
    third = shop.commit({"README.md": "2"})
    assert built(await found(place, shop, third)) == {"prices", "shop"}


async def test_a_live_commit_that_git_no_longer_has_means_that_all_of_it_is_built(place, shop):
    await shop.live("d" * 40, "prices")
    changes = await found(place, shop, shop.first)
    assert changes["prices"]["reason"] == f"is built: git no longer has {'d' * 40}, which is live"


async def test_a_commit_that_does_not_exist_is_refused(place, shop):
    await shop.live(shop.first)
    operator = detect(place, shop, "e" * 40)
    with pytest.raises(AirflowFailException, match="e" * 40):
        await asyncio.to_thread(operator.execute, run_of())


async def test_only_the_builds_of_unchanged_services_are_skipped(place, shop):
    await shop.live(shop.first)
    with DAG("shop", schedule=None):
        operator = detect(place, shop, shop.commit({"shop/app.py": "2"}), skip={n: f"{n}.build" for n in SERVICES})
        operator >> [EmptyOperator(task_id=f"{name}.{task}") for name in SERVICES for task in ("build", "image")]
    pushed: dict[str, object] = {}
    context = run_of()
    context["ti"].xcom_push = lambda *, key, value: pushed.update({key: value})
    context["task"] = operator
    with pytest.raises(DownstreamTasksSkipped) as caught:
        await asyncio.to_thread(operator.execute, context)
    assert sorted(caught.value.tasks) == ["prices.build", "stock.build"]
    assert built(pushed["return_value"]) == {"shop"}


@pytest.mark.parametrize("build", ["everything", ""])
async def test_a_misspelt_choice_is_refused(place, shop, build):
    operator = detect(place, shop, shop.first, build=build)
    with pytest.raises(AirflowFailException, match="write one of 'changed', 'all'"):
        await asyncio.to_thread(operator.execute, run_of())
