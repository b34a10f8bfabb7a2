"""A chart is released, upgraded, taken back and removed from Airflow's forms, by the cloud's helm."""

from __future__ import annotations

import uuid

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.aside]


@pytest.fixture
def namespace(core):
    name = f"helm-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)


def test_a_chart_goes_live_fails_harmlessly_comes_back_and_is_removed(run_dag, core, charts, namespace):
    def release(chart: str, **values: str):
        return run_dag("helm_release", {"release": "web", "namespace": namespace, "chart": chart, "values": values})

    def greeting() -> str:
        return core.read_namespaced_config_map("web", namespace).data["greeting"]

    first, second = charts.add("web", "1.0.0"), charts.add("web", "1.1.0")
    run = release(first, greeting="hello")
    assert run.state == "success"
    assert (run.result("release")["revision"], greeting()) == (1, "hello")
    assert release(second, greeting="ni hao").result("release")["chart"] == "web-1.1.0"

    broken = charts.add("web", "2.0.0", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, labels: [no]}\n")
    failed = release(broken)
    assert failed.states["release"] == "failed"
    assert "labels" in failed.reason("release")
    assert greeting() == "ni hao"

    back = run_dag("helm_rollback", {"release": "web", "namespace": namespace})
    assert back.result("go_back")["chart"] == "web-1.0.0"
    assert greeting() == "hello"

    assert run_dag("helm_uninstall", {"release": "web", "namespace": namespace}).state == "success"
    assert "web" not in [each.metadata.name for each in core.list_namespaced_config_map(namespace).items]
