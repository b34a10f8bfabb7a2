"""What a plan asks of a cluster at size; what it finds there is tested with the operators, on a real one."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from tke_provider.clients.plan_targets import find
from tke_provider.domain.plans import Kind, Target
from tke_provider.exceptions import NotFoundError

MANY = 300


def live(kind: str, name: str, **more) -> dict:
    template = {"spec": {"containers": [{"name": "web"}]}}
    spec = {"replicas": 2, "template": template, **more.pop("spec", {})}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", **more},
        "spec": spec,
    }


def pending(name: str, kind: str, owner: str) -> dict:
    return live("Pod", name, ownerReferences=[{"kind": kind, "name": owner}])


class Cluster:
    """Answers lists, and counts what it is asked; it is a stand-in because only the questions matter."""

    name = "cls-1"

    def __init__(self, *objects: dict) -> None:
        self.asked: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self.objects = objects

    async def namespaced(self, api_version: str, kind: str) -> bool:
        self.asked[f"serves {kind}"] += 1
        if kind != "HorizontalPodAutoscaler":
            raise NotFoundError(f"There is no kind {kind}", way_out="install it")
        return True

    async def list(self, _: str, kind: str, namespace: str, **selectors: str) -> list[dict]:
        self.asked[f"{kind} {namespace}"] += 1
        return [each for each in self.objects if each["kind"] == kind]


def targets(number: int = MANY, namespace: str = "shop") -> list[Target]:
    names = [f"s{each}" for each in range(number)]
    return [Target(name=name, kind=Kind.SERVICE, object_name=name, namespace=namespace) for name in names]


async def test_a_namespace_is_listed_once_a_kind_however_many_services_it_has():
    cluster = Cluster(*(live("Deployment", f"s{each}") for each in range(MANY)))
    found, missing = await find(cluster, targets(), "me", closely=True)
    assert (len(found), missing) == (MANY, [])
    kinds = ("Deployment", "HorizontalPodAutoscaler", "Lease", "Pod", "ResourceQuota")
    assert {each: number for each, number in cluster.asked.items() if not each.startswith("serves")} == {
        f"{kind} shop": 1 for kind in kinds
    }


async def test_whether_an_autoscaler_is_installed_is_asked_once_however_many_namespaces_there_are():
    cluster = Cluster(live("Deployment", "s0"))
    await find(cluster, [each for number in range(50) for each in targets(1, f"team-{number}")], "me")
    assert cluster.asked["serves ScaledObject"] == 1
    assert cluster.asked["ScaledObject team-0"] == 0
    assert cluster.asked["HorizontalPodAutoscaler team-0"] == 1


@pytest.mark.parametrize(
    ("kind", "owner", "blockers"),
    [
        ("ReplicaSet", "s1-5d4f", ("1 of its pods wait for a node",)),
        ("StatefulSet", "s1", ("1 of its pods wait for a node",)),
        ("ReplicaSet", "s1-admin-5d4f", ()),
        ("Job", "s1-migration", ()),
    ],
)
async def test_pods_that_wait_for_a_node_are_those_of_the_service_not_of_a_namesake(kind, owner, blockers):
    cluster = Cluster(live("Deployment", "s1"), pending(f"{owner}-x", kind, owner))
    found, _ = await find(cluster, targets(2), "me", closely=True)
    assert found[0].present.growth_blockers == blockers


async def test_a_service_that_two_targets_name_is_sized_by_neither():
    """Each would undo the other, run by run."""
    cluster = Cluster(live("Deployment", "s0"), live("Deployment", "s1"))
    every = Target(name="every", kind=Kind.SERVICE, namespace="shop", selector="app")
    found, _ = await find(cluster, [*targets(1), every], "me")
    twice = ("the plan sizes it as s0 and as every",)
    assert [(each.number.name, each.present.blockers) for each in found] == [("s0", twice), ("s0", twice), ("s1", ())]


async def test_an_hpa_and_the_service_whose_bounds_it_holds_are_one_number():
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "s0"}, "maxReplicas": 4}
    scaler = {**live("HorizontalPodAutoscaler", "load"), "apiVersion": "autoscaling/v2", "spec": spec}
    (service,) = targets(1)
    load = Target(name="load", kind=Kind.HPA, object_name="load", namespace="shop")
    found, _ = await find(
        Cluster(live("Deployment", "s0"), scaler), [dataclasses.replace(service, on_owner="bounds"), load], "me"
    )
    assert [each.present.blockers for each in found] == [("the plan sizes it as s0 and as load",)] * 2
