"""A service and its node pool follow working hours."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import until

pytestmark = pytest.mark.e2e

DAY = "2026-03-02T10:00:00+08:00"
NIGHT = "2026-03-02T22:00:00+08:00"
POOL_LABEL = "tke.cloud.tencent.com/nodepool-id=np-regular0"


def nodes(core) -> int:
    listed = core.list_node(label_selector=POOL_LABEL).items
    return sum(c.type == "Ready" and c.status == "True" for node in listed for c in node.status.conditions)


def test_its_schedule_starts_it(live, api):
    def began_by_the_clock() -> bool:
        runs = [run for run in api.runs("scheduled_scaling") if run.startswith("scheduled__")]
        return any(api.state("scheduled_scaling", run) == "success" for run in runs)

    api.unpause("scheduled_scaling")  # the last slot that was missed is made good at once
    until(began_by_the_clock, 180, "a run that the schedule began has succeeded")
    api.pause("scheduled_scaling")


@pytest.mark.parametrize(("at", "pods", "pool"), [(DAY, 4, 3), (NIGHT, 1, 1)])
def test_the_size_is_that_of_the_instant(live, run_dag, apps, core, at, pods, pool):
    assert run_dag("scheduled_scaling", {"at": at}).state == "success"
    assert apps.read_namespaced_deployment("shop", "production").status.ready_replicas == pods
    assert nodes(core) == pool


def test_a_release_keeps_the_size_that_the_schedule_set(live, good, run_dag, release, apps):
    assert run_dag("scheduled_scaling", {"at": DAY}).state == "success"
    assert release(good).state == "success"
    assert apps.read_namespaced_deployment("shop", "production").spec.replicas == 4


def test_a_pool_above_its_maximum_is_refused_at_once(live, run_dag, core):
    before = nodes(core)
    refused = run_dag("scheduled_scaling", {"at": DAY, "nodes_by_day": 50})
    assert refused.states["nodes_up"] == "failed"
    assert "np-regular0 cannot get a size of 50" in refused.reason("nodes_up")
    assert nodes(core) == before


def test_a_service_that_does_not_exist_is_named(live, run_dag):
    refused = run_dag("scheduled_scaling", {"at": NIGHT, "service": "nowhere"})
    assert refused.states["pods"] == "failed"
    assert "nowhere" in refused.reason("pods")
