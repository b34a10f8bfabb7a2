"""An image is tested in a pod of the cluster, and its service asked in several ways."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture
def conf(live) -> dict:
    image = live.result("shop.build")
    return {"image": f"{image['repository']}@{image['digest']}", "namespace": "production", "service": "shop"}


def test_the_image_passes_its_tests_in_a_pod_and_nothing_is_left(conf, run_dag, core):
    run = run_dag("tests_in_the_cluster", conf)
    assert run.state == "success", run.states
    check = run.result("unit_tests")
    assert (check["verdict"], check["counts"]["tests"], check["image"]) == ("passed", 4, conf["image"])
    assert "4 passed" in run.log("unit_tests")
    assert "took the connection as expected" in run.result("takes_connections")["reason"]
    left = core.list_namespaced_pod("production", label_selector="app.kubernetes.io/managed-by=airflow-provider-tke")
    assert [pod.metadata.name for pod in left.items if pod.metadata.name.startswith("tests-")] == []


def test_an_image_that_is_not_there_is_told_and_no_service_is_asked(conf, run_dag):
    gone = f"{conf['image'].partition('@')[0]}@sha256:{'0' * 64}"
    run = run_dag("tests_in_the_cluster", {**conf, "image": gone})
    assert run.states["unit_tests"] == "failed"
    assert "has no image" in run.reason("unit_tests") or "not found" in run.reason("unit_tests")
    assert run.states["serves"] == "upstream_failed"
