"""The Roles that the documentation names are enough for what it says that they are for."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
import yaml

from tests.live_cluster import account, connect, deploy, image, named, released, run_of
from tests.operators.test_blue_green import blue_green
from tests.operators.test_canaries import canary, service, serving
from tests.operators.test_canary_traffic import ingress
from tests.operators.test_manifests import SET, apply, config, names
from tests.operators.test_rollbacks import rollback
from tests.operators.test_rollbacks_together import after, undo
from tke_provider.domain.ingresses import API_VERSION
from tke_provider.domain.manifests import ObjectRef, images_of
from tke_provider.operators.manifests import TkeDiffOperator
from tke_provider.sensors.manifests import TkeDriftSensor

pytestmark = pytest.mark.stack

DOCS = Path(__file__).parents[2] / "docs"


def documented(page: str, *wanted: str, kind: str = "Role") -> dict:
    """A role that has the rules of these."""
    blocks = (DOCS / page).read_text(encoding="utf-8").split("```yaml\n")[1:]
    written = [each for block in blocks for each in yaml.safe_load_all(block.partition("```")[0])]
    by_name = {(each["kind"], each["metadata"]["name"]): each for each in written if "rules" in each}
    rules = [rule for name in wanted for rule in by_name[kind, name]["rules"]]
    return {**by_name[kind, wanted[0]], "rules": rules}


def of(place, name: str) -> dict:
    """What releases one service of several."""
    manifests = [place.workload(name=name, replicas=1), service(name), config(name)]
    manifests[1]["spec"]["selector"] = {"app": name}
    return {"manifests": manifests, "service": name}


async def test_one_role_is_enough_for_each_strategy_the_ways_back_and_what_looks_at_them(
    place, kubeconfig, monkeypatch
):
    connect(await account(place, kubeconfig, documented("rollouts.md", "airflow-deploy")), monkeypatch)
    everyone = ("prices", "stock", "shop")
    await asyncio.gather(*(released(deploy(place, "a", **of(place, each)), run_of(each)) for each in everyone))
    new = {"images": {"web": image("b")}}
    _, _, shop = await asyncio.gather(
        released(canary(place, "b", **of(place, "prices"), steps=[50]), run_of("run-2-prices")),
        released(blue_green(place, "b", **of(place, "stock")), run_of("run-2-stock")),
        released(deploy(place, "b", **of(place, "shop")), run_of("run-2-shop")),
    )
    drift = TkeDriftSensor(task_id="drift", namespace=place.namespace, service="stock", expect="in_sync")
    diff = TkeDiffOperator(task_id="diff", namespace=place.namespace, manifests=of(place, "stock")["manifests"], **new)
    _, _, in_sync, shown = await asyncio.gather(
        released(rollback(place, service="prices"), run_of("run-3")),
        released(undo(place, {"shop": shop}), after()),
        asyncio.to_thread(drift.poke, {}),
        released(diff, run_of("run-4")),
    )
    live = [await place.cluster.get(place.ref("Deployment", each)) for each in everyone]
    assert images_of(live) == {"prices/web": named("a"), "stock/web": named("b"), "shop/web": named("a")}
    assert (in_sync, shown["counts"]["unchanged"]) == (True, 3)


@contextlib.asynccontextmanager
async def everywhere(place, rules: list[dict]):
    """Give the account these rights, too."""
    group, metadata = "rbac.authorization.k8s.io", {"name": place.namespace}
    made = [
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": place.namespace},
            "subjects": [{"kind": "ServiceAccount", "name": "account", "namespace": place.namespace}],
        },
        {
            "apiVersion": API_VERSION,
            "kind": "IngressClass",
            "metadata": metadata,
            "spec": {"controller": "k8s.io/ingress-nginx"},
        },
    ]
    try:
        for each in made:
            await place.cluster.create(each)
        yield
    finally:
        for each in made:
            await place.cluster.delete(ObjectRef.of(each))


async def test_the_role_of_a_canary_by_an_ingress_is_enough(place, kubeconfig, monkeypatch):
    wanted = ("airflow-deploy", "airflow-canary-by-ingress")
    connect(await account(place, kubeconfig, documented("rollouts.md", *wanted)), monkeypatch)
    manifests = [place.workload(replicas=1), service(), ingress(place.namespace)]
    async with everywhere(place, documented("rollouts.md", wanted[1], kind="ClusterRole")["rules"]):
        await released(deploy(place, "a", *manifests))
        given = {"traffic": "ingress", "steps": [50], "scale_down_delay": 0}
        await released(canary(place, "b", *manifests, **given), run_of("run-2"))
    assert await serving(place) == named("b")
    assert await place.cluster.get(place.ref("Ingress", "web-canary", API_VERSION)) is None


async def test_the_role_of_manifests_is_enough_to_show_apply_and_compare_them(place, kubeconfig, monkeypatch):
    connect(await account(place, kubeconfig, documented("manifests.md", "airflow-manifests")), monkeypatch)
    manifests = [config(), place.workload(replicas=0)]
    where = {"namespace": place.namespace, "manifests": manifests}
    shown = await released(TkeDiffOperator(task_id="diff", **where), run_of("run-1"))
    assert shown["counts"] == (await released(apply(place, *manifests), run_of("run-2")))["counts"]
    assert shown["counts"]["created"] == 2
    assert await asyncio.to_thread(TkeDriftSensor(task_id="drift", expect="in_sync", **where).poke, {})


async def test_the_role_of_pruning_is_enough_beside_that_of_manifests(place, kubeconfig, monkeypatch):
    role = documented("manifests.md", "airflow-manifests", "airflow-prune")
    connect(await account(place, kubeconfig, role), monkeypatch)
    old = {**place.workload(name="old", replicas=0)}
    old["metadata"] |= {"labels": SET}
    await released(apply(place, config("old", SET), old), run_of("run-1"))
    await released(apply(place, config("new", SET), prune=SET), run_of("run-2"))
    assert await names(place) == {"new"}
    assert await place.cluster.list("apps/v1", "Deployment", place.namespace) == []
