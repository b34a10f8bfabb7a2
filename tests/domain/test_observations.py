"""What the board says of a service."""

from __future__ import annotations

import pytest

from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.observations import observed
from tke_provider.domain.releases import Record, Stage
from tke_provider.domain.verdicts import failed, passed, pending

REF = ObjectRef("apps/v1", "Deployment", "production", "shop")
IMAGE = "registry/shop@sha256:" + "a" * 64


def workload(image: str = IMAGE, ready: int = 2) -> dict:
    containers = [{"name": "shop", "image": image}]
    return {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "shop", "namespace": "production"},
        "spec": {"replicas": 3, "template": {"spec": {"containers": containers}}},
        "status": {"readyReplicas": ready},
    }


def record(stage: Stage = Stage.LIVE) -> Record:
    return Record(service="shop", namespace="production", op="o", stage=stage, images={"shop": IMAGE})


@pytest.mark.parametrize(
    ("verdicts", "health"),
    [
        ([passed("up")], "healthy"),
        ([passed("up"), pending("1 of 2")], "changing"),
        ([pending("1 of 2"), failed("crashes")], "broken"),
        ([], "broken"),
    ],
)
def test_the_worst_workload_counts(verdicts, health):
    assert observed(record(), {REF: workload()}, verdicts, "").health == health


def test_it_counts_what_serves_and_what_should():
    seen = observed(record(), {REF: workload(ready=2)}, [pending("2 of 3")], "")
    assert (seen.ready, seen.wanted, seen.reason) == (2, 3, "2 of 3")


def test_a_daemon_set_has_its_own_way_to_count():
    daemon = workload() | {"kind": "DaemonSet", "status": {"numberReady": 4, "desiredNumberScheduled": 5}}
    seen = observed(record(), {REF: daemon}, [pending("x")], "")
    assert (seen.ready, seen.wanted) == (4, 5)


def test_another_image_than_was_released_is_drift():
    seen = observed(record(), {REF: workload("registry/shop:edited")}, [passed("up")], "")
    assert seen.drift == ("shop: shop/shop runs registry/shop:edited",)


@pytest.mark.parametrize(("stage", "holder"), [(Stage.APPLYING, ""), (Stage.LIVE, "another operation")])
def test_while_it_is_changed_nothing_is_drift(stage, holder):
    seen = observed(record(stage), {REF: workload("registry/shop:next")}, [pending("x")], holder)
    assert (seen.drift, seen.holder) == ((), holder)


def test_a_workload_that_is_gone_is_broken():
    seen = observed(record(), {REF: None}, [], "")
    assert (seen.health, seen.reason, seen.drift) == ("broken", f"{REF} is gone", (f"{REF} is gone",))
