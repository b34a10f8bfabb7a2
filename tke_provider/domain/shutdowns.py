"""Shutdowns: what a workload needs that requests are sent to, so that none is lost while its pods come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tke_provider.domain.manifests import pod_template, workloads
from tke_provider.domain.tracks import leading_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tke_provider.domain.manifests import Manifest


def served(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return the workloads that a Service among the manifests leads to."""
    services = [each for each in manifests if each["kind"] == "Service"]
    return [each for each in workloads(manifests) if leading_to(services, each)]


def risks(workload: Manifest) -> list[str]:
    """Say what may cost requests while pods come and go, and what would help.

    A pod that is to end is sent SIGTERM while everybody who leads requests to it has yet to hear so, which takes
    seconds: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination-flow
    """
    containers = (pod_template(workload) or {"spec": {}})["spec"].get("containers") or []
    found = []
    if not any(each.get("readinessProbe") for each in containers):
        found.append("no container has a readinessProbe: pods are sent requests as soon as they run")
    if not any((each.get("lifecycle") or {}).get("preStop") for each in containers):
        found.append(
            "no container has a preStop hook: pods end while they are still sent requests, "
            "unless the application goes on answering for some seconds after SIGTERM"
        )
    if (workload["spec"].get("strategy") or {}).get("type") == "Recreate":
        found.append("its strategy is Recreate: every pod ends before the first new one starts")
    return found
