"""What surrounds a service is shown, applied, pruned, and found as applied."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.aside]

NAMESPACE = "surroundings"


@pytest.fixture
def namespace(core):
    yield NAMESPACE
    core.delete_namespace(NAMESPACE)


def test_manifests_are_shown_applied_and_in_sync(run_dag, core, namespace):
    first = run_dag("apply_and_drift", {"namespace": namespace, "open": "8-20"})
    assert first.state == "success", first.states
    assert first.result("diff")["counts"]["created"] == 3
    second = run_dag("apply_and_drift", {"namespace": namespace, "open": "9-17"})
    assert second.state == "success", second.states
    assert second.result("apply")["counts"] == {"created": 0, "changed": 1, "deleted": 0, "unchanged": 2}
    assert "-  open: 8-20\n+  open: 9-17" in second.result("diff")["markdown"]
    assert core.read_namespaced_config_map("opening-hours", namespace).data == {"open": "9-17"}
