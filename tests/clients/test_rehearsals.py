"""What a rehearsal asks a cluster about node pools; what it shows is tested with the operators, on a real one."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import pytest

from tke_provider.clients.pools import FoundPool, find_pools
from tke_provider.clients.rehearsals import look_at_pools
from tke_provider.domain.operations import OPERATION
from tke_provider.domain.plans import Kind, Target
from tke_provider.domain.proposals import Row
from tke_provider.domain.scaling import SIZE_BEFORE
from tke_provider.exceptions import ForbiddenError

CLUSTER = "cls-local000"


class Cluster:
    """Answers lists, and counts what it is asked; it is a stand-in because only the questions matter."""

    name = CLUSTER

    def __init__(self, **objects: list[dict[str, Any]]) -> None:
        self.asked: Counter[str] = Counter()
        self.objects = objects

    async def list(self, _: str, kind: str, namespace: str = "", **selectors: Any) -> list[dict[str, Any]]:
        self.asked[kind] += 1
        return [{"apiVersion": "v1", "kind": kind, **each} for each in self.objects.get(kind, [])]


def budget(allowed: int) -> dict[str, Any]:
    status = {"disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2 - allowed}
    spec = {"selector": {"matchLabels": {"app": "web"}}}
    return {"metadata": {"name": "careful", "namespace": "shop"}, "spec": spec, "status": status}


def pod(node: str, phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    named = {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}, **metadata}
    return {"metadata": named, "spec": {"nodeName": node}, "status": {"phase": phase}}


def lease(pool: str, holder: str) -> dict[str, Any]:
    now = dt.datetime.now(dt.timezone.utc).isoformat()
    spec = {"holderIdentity": holder, "renewTime": now, "leaseDurationSeconds": 180}
    return {"metadata": {"name": f"tke-{pool}", "namespace": "default"}, "spec": spec}


@pytest.fixture
async def pools(tke) -> list[FoundPool]:
    """Two pools of a plan, a machine each; the machines are named as their nodes."""
    targets = [Target(name=name, kind=Kind.NODE_POOL, object_name=name, usual=1) for name in ("web", "native")]
    found, _ = await find_pools(tke, Cluster(), CLUSTER, targets, "me")
    return found


async def machine(tke, found: FoundPool) -> str:
    return (await tke.nodes(CLUSTER, found.pool.id))[0].id


def rows(pools: list[FoundPool], by: int) -> list[tuple[FoundPool, Row]]:
    return [
        (each, Row(target="", ref="", before=size, after=size + by, wanted=size + by, usual=1))
        for each in pools
        if (size := each.pool.desired) is not None
    ]


async def blockers(tke, cluster: Cluster, changes: list[tuple[FoundPool, Row]]) -> list[str]:
    looked = await look_at_pools(tke, cluster, CLUSTER, changes, "me")
    return ["; ".join(each.present.blockers) for each in looked]


async def test_a_budget_that_is_used_up_stands_against_the_pool_that_would_lose_the_pod_s_node(tke, pools):
    node = await machine(tke, pools[0])
    nodes = [{"metadata": {"name": node}, "spec": {}}]
    cluster = Cluster(PodDisruptionBudget=[budget(0)], Pod=[pod(node)], Node=nodes)
    told = await blockers(tke, cluster, rows(pools, -1))
    why = "Pod shop/web-1 is kept by PodDisruptionBudget careful, which needs 2 healthy pods and has 2"
    assert told == [why, ""]
    assert cluster.asked == {"Lease": 1, "PodDisruptionBudget": 1, "Node": 1, "Pod": 1}, "each once, for all pools"


@pytest.mark.parametrize(
    "met",
    [
        {"phase": "Pending"},
        {"deletionTimestamp": "2026-11-23T00:00:00Z"},
        {"labels": {"app": "other"}},
        {"namespace": "elsewhere"},
    ],
)
async def test_a_pod_that_no_budget_is_asked_for_stands_against_nothing(tke, pools, met):
    node = await machine(tke, pools[0])
    nodes = [{"metadata": {"name": node}, "spec": {}}]
    cluster = Cluster(PodDisruptionBudget=[budget(0)], Pod=[pod(node, **met)], Node=nodes)
    assert await blockers(tke, cluster, rows(pools, -1)) == ["", ""]


@pytest.mark.parametrize(("by", "allowed", "asked"), [(1, 0, {"Lease"}), (-1, 1, {"Lease", "PodDisruptionBudget"})])
async def test_pods_are_looked_at_only_where_nodes_go_and_a_budget_is_used_up(tke, cloud, pools, by, allowed, asked):
    before = len(cloud.calls("DescribeClusterInstances"))
    cluster = Cluster(PodDisruptionBudget=[budget(allowed)])
    assert await blockers(tke, cluster, rows(pools, by)) == ["", ""]
    assert set(cluster.asked) == asked
    assert len(cloud.calls("DescribeClusterInstances")) == before


async def test_who_is_changing_a_pool_stands_against_it_and_a_try_of_the_same_task_does_not(tke, pools):
    cluster = Cluster(Lease=[lease(pools[0].pool.id, "another-plan"), lease(pools[1].pool.id, "me")])
    assert await blockers(tke, cluster, rows(pools, 1)) == ["it is being changed by another-plan", ""]


class Closed(Cluster):
    """Lets nobody list a lease."""

    async def list(self, api_version: str, kind: str, namespace: str = "", **selectors: Any) -> list[dict[str, Any]]:
        if kind == "Lease":
            raise ForbiddenError("leases is forbidden", way_out="grant list")
        return await super().list(api_version, kind, namespace, **selectors)


async def test_whoever_may_not_list_leases_rehearses_without_them(tke, pools, caplog):
    assert await blockers(tke, Closed(), rows(pools, 1)) == ["", ""]
    assert "Who is changing something in namespace default is not known. leases is forbidden" in caplog.text


async def test_a_note_on_a_lease_that_makes_no_sense_is_none(tke):
    class Noted(Cluster):
        async def get(self, _: Any) -> dict[str, Any]:
            return {"metadata": {"annotations": {OPERATION: "me", SIZE_BEFORE: "by hand"}}}

    target = Target(name="web", kind=Kind.NODE_POOL, object_name="web", usual=1, step=1)
    ((found,), _) = await find_pools(tke, Noted(), CLUSTER, [target], "me")
    assert found.present.began is None


async def test_a_pool_that_a_plan_names_by_its_id_and_by_its_name_is_sized_by_neither(tke, pools):
    names = {"web": pools[0].pool.name, "again": pools[0].pool.id, "spare": "native"}
    targets = [Target(name=name, kind=Kind.NODE_POOL, object_name=pool, usual=1) for name, pool in names.items()]
    found, _ = await find_pools(tke, Cluster(), CLUSTER, targets, "me")
    twice = ("the plan sizes it as web and as again",)
    assert [each.present.blockers for each in found] == [twice, twice, ()]
