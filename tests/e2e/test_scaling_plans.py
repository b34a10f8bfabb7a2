"""Plans, as the example DAGs apply them: working hours, a promotion day that somebody approves, nights off."""

from __future__ import annotations

import httpx
import pytest

pytestmark = pytest.mark.e2e

DAY, NIGHT = "2026-03-02T10:00:00+08:00", "2026-03-02T22:00:00+08:00"
WORKED_SATURDAY, HOLIDAY = "2026-02-28T10:00:00+08:00", "2026-10-01T10:00:00+08:00"
SALE, RUSH, AFTER = "2026-11-10T21:00:00+08:00", "2026-11-11T00:30:00+08:00", "2026-11-12T03:00:00+08:00"
POOL_LABEL = "tke.cloud.tencent.com/nodepool-id=np-regular0"
SPARE_LABEL = "tke.cloud.tencent.com/nodepool-id=np-native00"


def nodes(core, label: str = POOL_LABEL) -> int:
    listed = core.list_node(label_selector=label).items
    return sum(c.type == "Ready" and c.status == "True" for node in listed for c in node.status.conditions)


def pods(apps, namespace: str = "production", name: str = "shop") -> int:
    return apps.read_namespaced_deployment(name, namespace).status.ready_replicas or 0


@pytest.mark.parametrize(("at", "shop", "pool"), [(DAY, 4, 3), (WORKED_SATURDAY, 4, 3), (HOLIDAY, 1, 1), (NIGHT, 1, 1)])
def test_a_service_and_its_nodes_follow_working_hours(live, run_dag, apps, core, at, shop, pool):
    apps.patch_namespaced_deployment_scale("shop", "production", {"spec": {"replicas": 1}})
    run = run_dag("working_hours", {"at": at})
    assert run.state == "success"
    assert (pods(apps), nodes(core)) == (shop, pool)
    back = run_dag("working_hours", {"at": NIGHT})
    assert back.state == "success"
    assert (pods(apps), nodes(core)) == (1, 1)


def test_a_promotion_day_is_approved_and_ends_where_it_began(live, run_dag, apps, core):
    before = pods(apps)
    sale = run_dag("promotion_day", {"at": SALE})
    assert sale.state == "success"
    assert "double eleven" in sale.result("rehearse")["markdown"]
    assert (pods(apps), nodes(core)) == (before * 5, 4)
    assert run_dag("promotion_day", {"at": RUSH}).state == "success"
    assert pods(apps) == before * 8
    assert run_dag("promotion_day", {"at": AFTER}).state == "success"
    assert (pods(apps), nodes(core)) == (before, 1)


def test_what_nobody_approves_is_not_done(live, run_dag, apps):
    before = pods(apps)
    rejected = run_dag("promotion_day", {"at": SALE}, approval="Reject")
    assert rejected.states["apply"] == "skipped"
    assert pods(apps) == before


def test_test_environments_sleep_at_night_and_wake_at_their_own_sizes(live, run_dag, apps):
    names = ("shop", "prices", "stock")
    before = {name: pods(apps, "pre-release", name) for name in names}
    assert run_dag("nights_off", {"at": NIGHT}).state == "success"
    assert {pods(apps, "pre-release", name) for name in names} == {0}
    assert run_dag("nights_off", {"at": DAY}).state == "success"
    assert {name: pods(apps, "pre-release", name) for name in names} == before


@pytest.fixture
def sold_out(airflow):
    """A cloud that has no more machines of the first pool."""
    trouble = f"{airflow.emulator_url}/_emulator/trouble"
    more = {"available": 0, "count": None, "message": "S5.MEDIUM4 is sold out"}
    body = {"kind": "sold_out", "action": "ModifyNodePoolDesiredCapacityAboutAsg", **more}
    httpx.post(trouble, json=body, trust_env=False).raise_for_status()
    yield
    httpx.delete(trouble, trust_env=False).raise_for_status()


def test_another_pool_stands_in_for_nodes_that_are_sold_out(sold_out, run_dag, core):
    # By day, the run that the DAG's own schedule was behind with has done it already.
    assert run_dag("spare_nodes", {"at": NIGHT}).state == "success"
    day = run_dag("spare_nodes", {"at": DAY})
    assert day.state == "success", day.states
    (web, native) = day.result("apply")["rows"]
    assert (web["state"], native["state"]) == ("fell back", "done")
    assert "S5.MEDIUM4 is sold out" in web["reason"]
    assert (nodes(core), nodes(core, SPARE_LABEL)) == (1, 3)
    assert run_dag("spare_nodes", {"at": NIGHT}).state == "success"
    assert (nodes(core), nodes(core, SPARE_LABEL)) == (1, 1)


def test_the_cluster_keeps_the_hours_of_a_service_by_itself(live, run_dag, core):
    from kubernetes import client

    scalers = client.CustomObjectsApi(core.api_client)
    where = ("autoscaling.cloud.tencent.com", "v1", "production", "horizontalpodcronscalers", "shop-hours")
    run = run_dag("cron_scaler", {"by_day": 2, "by_night": 1})
    assert run.state == "success", run.reason("hours")
    try:
        assert run.result("hours") == {
            "scaler": "HorizontalPodCronscaler production/shop-hours",
            "target": "Deployment production/shop",
            "rules": ["morning", "evening"],
        }
        crons = scalers.get_namespaced_custom_object(*where)["spec"]["crons"]
        assert [(each["schedule"], each["targetSize"]) for each in crons] == [("0 0 8 * * 1-5", 2), ("0 0 20 * * *", 1)]
    finally:
        scalers.delete_namespaced_custom_object(*where)


def test_nodes_are_emptied_before_somebody_works_on_them(live, run_dag, apps, core):
    assert run_dag("working_hours", {"at": DAY}).state == "success"
    node = core.list_node(label_selector=POOL_LABEL).items[0].metadata.name
    try:
        run = run_dag("node_maintenance", {"nodes": node})
        assert run.state == "success"
        assert run.result("drain")["nodes"] == [node]
        assert core.read_node(node).spec.unschedulable
    finally:
        core.patch_node(node, {"spec": {"unschedulable": None}})
        run_dag("working_hours", {"at": NIGHT})


def test_a_node_that_does_not_exist_is_named(live, run_dag):
    refused = run_dag("node_maintenance", {"nodes": "nowhere"})
    assert refused.states["drain"] == "failed"
    assert "has no node nowhere" in refused.reason("drain")
