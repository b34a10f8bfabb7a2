"""Whoever works on something leads to its page."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest
from airflow.providers.common.compat.sdk import BaseOperator

from tke_provider import operators, sensors

CLUSTER, WORKLOAD, POOL, IMAGE = "TKE cluster", "TKE workload", "TKE node pool", "TCR image"
COMMIT, REPORTS = "Commit", "Test reports"
RELEASE = {CLUSTER, WORKLOAD, COMMIT}
# What each works on. A task that only computes, or asks a person or Prometheus, has no page there.
WORKS_ON = {
    "TcrCleanUpOperator": {IMAGE},
    "TcrCreateRepositoryOperator": {IMAGE},
    "TcrPromoteImageOperator": {IMAGE},
    "TcrScanGateOperator": {IMAGE},
    "TkeApplyOperator": {CLUSTER, COMMIT},
    "TkeApplyScheduleOperator": {CLUSTER},
    "TkeApprovalOperator": set(),
    "TkeBlueGreenDeployOperator": RELEASE,
    "TkeBuildImageOperator": {IMAGE, COMMIT},
    "TkeCanaryDeployOperator": RELEASE,
    "TkeCloseEndpointOperator": {CLUSTER},
    "TkeConfigureClusterAutoscalerOperator": {CLUSTER},
    "TkeConfigureHpaOperator": {CLUSTER, WORKLOAD},
    "TkeConfigureNodePoolOperator": {CLUSTER, POOL},
    "TkeCreateClusterOperator": {CLUSTER},
    "TkeCreateNodePoolOperator": {CLUSTER, POOL},
    "TkeCronScalerOperator": {CLUSTER},
    "TkeDeleteClusterOperator": {CLUSTER},
    "TkeDeleteNodePoolOperator": {CLUSTER, POOL},
    "TkeDeployServiceOperator": RELEASE,
    "TkeDetectChangesOperator": {CLUSTER, COMMIT},
    "TkeDiffOperator": {CLUSTER, COMMIT},
    "TkeDoraOperator": {CLUSTER},
    "TkeDrainNodesOperator": {CLUSTER},
    "TkeDriftSensor": {CLUSTER, COMMIT},
    "TkeFreezeWindowOperator": set(),
    "TkeHelmReleaseOperator": {CLUSTER},
    "TkeHelmRollbackOperator": {CLUSTER},
    "TkeHelmUninstallOperator": {CLUSTER},
    "TkeMetricGateOperator": set(),
    "TkeMetricSensor": set(),
    "TkeNodePoolSensor": {CLUSTER, POOL},
    "TkeOpenEndpointOperator": {CLUSTER},
    "TkeRollbackServiceOperator": {CLUSTER, WORKLOAD},
    "TkeRolloutSensor": {CLUSTER, WORKLOAD},
    "TkeRunTestsOperator": {IMAGE, REPORTS},
    "TkeScaleNodePoolOperator": {CLUSTER, POOL},
    "TkeScaleOnMetricOperator": {CLUSTER, WORKLOAD},
    "TkeScalePlanOperator": {CLUSTER},
    "TkeScaleServiceOperator": {CLUSTER, WORKLOAD},
    "TkeSmokeTestOperator": {CLUSTER},
    "TkeUndoReleasesOperator": {CLUSTER},
}


def tasks() -> dict[str, type[BaseOperator]]:
    """Every operator and sensor that a DAG can hold."""
    found = {}
    for room in (operators, sensors):
        for each in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            for name, kind in vars(importlib.import_module(each.name)).items():
                ours = inspect.isclass(kind) and issubclass(kind, BaseOperator) and kind.__module__ == each.name
                if ours and not inspect.isabstract(kind) and not name.startswith("_") and "Base" not in name:
                    found[name] = kind
    return found


TASKS = tasks()


def test_it_is_known_of_every_operator_what_it_works_on():
    assert TASKS.keys() == WORKS_ON.keys()


@pytest.mark.parametrize("name", WORKS_ON)
def test_it_leads_to_what_it_works_on(name):
    assert {link.name for link in TASKS[name].operator_extra_links} == WORKS_ON[name]
