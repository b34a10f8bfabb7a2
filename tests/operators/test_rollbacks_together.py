"""What one run released is taken back as one, when a part of it failed."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors
from airflow.sdk.execution_time.task_runner import _serialize_outlet_events

from tests.live_cluster import deploy, image, named, refused, released, run_of
from tke_provider.clients import leases, releases
from tke_provider.clients.releases import ServiceRelease
from tke_provider.domain.manifests import annotation, images_of
from tke_provider.domain.operations import OPERATION
from tke_provider.domain.releases import Stage
from tke_provider.exceptions import BusyError
from tke_provider.operators import rollbacks
from tke_provider.operators.rollbacks import TkeUndoReleasesOperator

SMOKE = "production.smoke_tests.shop_1"


def service(name: str) -> dict:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}


async def release(place, run: str, **digits: str) -> dict[str, Any]:
    """Release services, each with its image, and return what their tasks returned, in this order."""
    given = {}
    for name, digit in digits.items():
        manifests = [place.workload(name=name), service(name)]
        given[name] = await released(
            deploy(place, manifests=manifests, images={"web": image(digit)}, service=name), run_of(f"{run}-{name}")
        )
    return given


def undo(place, given: dict[str, Any], **more: Any) -> TkeUndoReleasesOperator:
    settings = {"rollback_timeout": 90, "poll_interval": 0.5, "namespace": getattr(place, "namespace", place), **more}
    operator = TkeUndoReleasesOperator(task_id="undo", releases=given, **settings)
    operator.upstream_task_ids = {SMOKE, "production.deploy.shop"}
    return operator


def after(max_tries: int = 0, **states: str) -> dict:
    """The context of a run in which the smoke test ended like this."""
    context = run_of("run-2", max_tries=max_tries)
    told = {"production.deploy.shop": "success", SMOKE: "failed", **states}
    context["ti"].get_task_states = lambda **_: {"run-2": told}
    return context


async def serving(place, name: str) -> str:
    live = await place.cluster.get(place.ref("Deployment", name))
    return images_of([live])[f"{name}/web"] if live else "nothing"


def written(live: dict) -> tuple[object, ...]:
    """What people and tasks write of an object, as controllers go on writing the rest."""
    return live["metadata"]["uid"], live["metadata"]["generation"], live["metadata"]["annotations"], live["spec"]


async def newest(place, name: str):
    return await releases.read(place.cluster, place.namespace, name)


def test_nothing_is_asked_of_a_cluster_where_nothing_failed():
    with pytest.raises(AirflowSkipException, match="Nothing failed"):
        undo("shop", {"shop": None}).execute(after(**{SMOKE: "success"}))


@pytest.mark.parametrize(
    ("states", "named_ones"),
    [
        ({SMOKE: "failed"}, [SMOKE]),
        ({SMOKE: "upstream_failed", "production.deploy.shop": "failed"}, ["production.deploy.shop"]),
        ({SMOKE: "upstream_failed", "production.deploy.shop": "upstream_failed"}, ["production.deploy.shop", SMOKE]),
        ({SMOKE: "skipped", "production.deploy.shop": "skipped"}, []),
        ({SMOKE: "success", "production.checks_2": "failed"}, ["production.checks_2"]),
    ],
)
def test_the_reason_is_what_failed_itself_where_that_is_among_the_tasks_before(states, named_ones):
    assert undo("shop", {})._failures(after(**states)) == named_ones


@pytest.fixture
def one_is_busy(monkeypatch) -> list[str]:
    """The services that are asked to go back, of which shop is being changed by somebody else.

    Not played by a cluster: a lease that outlasts every try takes minutes.
    """
    asked: list[str] = []

    @contextlib.asynccontextmanager
    async def cluster(_: object):
        yield

    async def back(_: object, __: object, ___: object, service: str, ____: object) -> str:
        asked.append(service)
        if service == "shop":
            raise BusyError("shop is being changed", way_out="wait")
        return "is as it was"

    async def opened(task: object):
        return cluster(task)

    monkeypatch.setattr(rollbacks, "open_cluster", opened)
    monkeypatch.setattr(TkeUndoReleasesOperator, "_back", back)
    return asked


def test_a_service_that_is_being_changed_is_left_to_the_next_try(one_is_busy):
    with pytest.raises(BusyError):
        undo("shop", {"prices": None, "shop": None}).execute(after(max_tries=1))
    assert one_is_busy == ["shop"]


def test_a_service_that_is_being_changed_keeps_no_other_from_going_back_on_the_last_try(one_is_busy):
    with pytest.raises(AirflowFailException, match="shop is being changed"):
        undo("shop", {"prices": None, "shop": None}).execute(after())
    assert one_is_busy == ["shop", "prices"]


@pytest.mark.usefixtures("connected")
@pytest.mark.stack
async def test_what_changed_in_this_run_goes_back_the_last_released_first_and_nothing_else_is_touched(place):
    await release(place, "run-1", prices="a", stock="a", shop="a")
    given = await release(place, "run-2", prices="a", stock="b", shop="b")
    untouched = written(await place.cluster.get(place.ref("Deployment", "prices")))
    operator = undo(place, given)
    done = await released(operator, after())
    assert {name: await serving(place, name) for name in given} == dict.fromkeys(given, named("a"))
    assert done["prices"] == "did not change in this run"
    assert done["shop"] == f"is as it was, which is release 1 ({'a' * 12})"
    assert written(await place.cluster.get(place.ref("Deployment", "prices"))) == untouched
    prices, stock, shop = [await newest(place, name) for name in given]
    assert (prices.stage, prices.revision) == (Stage.LIVE, 2)
    assert {(each.stage, each.reason, each.revision) for each in (stock, shop)} == {
        (Stage.ROLLED_BACK, f"{SMOKE} failed in the same run", 2)
    }
    assert shop.finished < stock.finished
    held = [await place.cluster.get(leases.lease_of(place.namespace, name)) for name in given]
    assert not any(each and each["spec"].get("holderIdentity") for each in held)
    assert await released(undo(place, given), after()) == done
    assert await newest(place, "shop") == shop


@pytest.mark.usefixtures("connected")
@pytest.mark.stack
async def test_what_did_not_exist_before_goes_and_what_did_not_come_up_is_left_to_its_own_task(place):
    given = {"prices": None, **await release(place, "run-2", shop="b")}
    done = await released(undo(place, given), after())
    assert done == {
        "shop": "is as it was before its first release", "prices": "this run released nothing that stayed",
    }  # fmt: skip
    assert await serving(place, "shop") == "nothing"
    assert await place.cluster.get(place.ref("Service", "shop", "v1")) is None
    assert (await newest(place, "shop")).stage is Stage.ROLLED_BACK


@pytest.mark.usefixtures("connected")
@pytest.mark.stack
async def test_what_somebody_else_released_since_is_left_alone_and_the_others_go_back(place):
    await release(place, "run-1", stock="a", shop="a")
    given = await release(place, "run-2", stock="b", shop="b")
    since = await release(place, "run-3", shop="c")
    said = await refused(undo(place, given), after())
    assert f"shop was released since by {since['shop']['op']}, and left alone" in said
    assert (await serving(place, "shop"), await serving(place, "stock")) == (named("c"), named("a"))


@pytest.mark.usefixtures("connected")
@pytest.mark.stack
async def test_what_somebody_else_releases_at_this_very_moment_is_left_alone(place, monkeypatch):
    await release(place, "run-1", shop="a")
    given = await release(place, "run-2", shop="b")
    hold, since = ServiceRelease.hold, {}

    async def held(of_undo: ServiceRelease) -> None:
        """Be slow to take the lease: nothing else meets the moment between a look and that."""
        if not since and of_undo.record.op == given["shop"]["op"]:
            since.update(await release(place, "run-3", shop="c"))
        await hold(of_undo)

    monkeypatch.setattr(ServiceRelease, "hold", held)
    said = await refused(undo(place, given), after())
    assert f"was released meanwhile by {since['shop']['op']}" in said
    assert await serving(place, "shop") == named("c")
    history = await releases.history(place.cluster, place.namespace, "shop")
    assert [each.stage for each in history] == [Stage.LIVE] * 3


@pytest.mark.usefixtures("connected")
@pytest.mark.stack
async def test_what_a_try_put_back_that_then_failed_is_told_by_the_one_that_succeeds(place):
    await release(place, "run-1", stock="a", shop="a")
    given = await release(place, "run-2", stock="b", shop="b")
    await leases.acquire(place.cluster, place.namespace, "stock", "somebody")
    with pytest.raises(BusyError, match=r"stock .* is being changed by somebody"):
        await released(undo(place, given), after(max_tries=1))
    assert (await serving(place, "shop"), await serving(place, "stock")) == (named("a"), named("b"))
    await leases.release(place.cluster, place.namespace, "stock", "somebody")
    again = undo(place, given)
    context = {**after(max_tries=1), "task": again, "outlet_events": OutletEventAccessors()}
    await released(again, context)
    told = [each["extra"] for each in _serialize_outlet_events(context["outlet_events"])]
    assert sorted((each["service"], each["revision"]) for each in told) == [("shop", 1), ("stock", 1)]


@pytest.mark.usefixtures("connected")
@pytest.mark.stack
async def test_an_undo_that_died_goes_on_where_it_was(place):
    await release(place, "run-1", shop="a")
    given = await release(place, "run-2", shop="b")
    died = ServiceRelease(place.cluster, await newest(place, "shop"))
    await died.note(stage=Stage.UNDOING, reason="the first try")
    live = await place.cluster.get(place.ref("Deployment", "shop"))
    assert annotation(live, OPERATION) == given["shop"]["op"]
    await released(undo(place, given), after())
    assert await serving(place, "shop") == named("a")
    assert (await newest(place, "shop")).stage is Stage.ROLLED_BACK
