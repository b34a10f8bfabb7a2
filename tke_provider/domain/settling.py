"""Settling: whether containers that nothing probes stay up once they have started.

Kubernetes takes a container without a readiness probe for ready as soon as it runs, and its pod for available in the
same moment where ``minReadySeconds`` is 0
(https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#min-ready-seconds). One that crashes at its start
would have replaced what served before.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from tke_provider.domain.manifests import JOB, ObjectRef, pod_template
from tke_provider.domain.rollouts import MAX_CRASHES, pod_troubles
from tke_provider.domain.verdicts import Verdict, failed, passed, pending

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tke_provider.domain.manifests import Manifest

SETTLE_SECONDS = 5.0
"""How long a container that nothing probes must have run; who wants another time sets ``minReadySeconds``."""


def is_unprobed(workload: Manifest) -> bool:
    """Whether the cluster takes a workload for available as soon as its containers run, without asking them."""
    template, spec = pod_template(workload), workload.get("spec") or {}
    if workload["kind"] == JOB or template is None or spec.get("minReadySeconds"):
        return False
    return not all(each.get("readinessProbe") or each.get("startupProbe") for each in template["spec"]["containers"])


def settle(workload: Manifest, pods: Iterable[Manifest], now: dt.datetime, max_crashes: int = MAX_CRASHES) -> Verdict:
    """Say whether a workload stays up that is up and :func:`is_unprobed`.

    :param pods: those of its newest version.
    :param now: by a clock that agrees with the nodes': for as long as it is behind them one waits longer, and so much
        less where it is ahead.
    """
    ref = ObjectRef.of(workload)
    running = [each for each in pods if each["status"].get("phase") == "Running"]
    for trouble in pod_troubles(running, (), max_crashes):
        return (failed if trouble.certain else pending)(f"{ref}: {trouble.reason}")
    for pod in running:
        for status in pod["status"].get("containerStatuses") or ():
            started = (status["state"].get("running") or {}).get("startedAt")
            if started and (now - _instant(started)).total_seconds() < SETTLE_SECONDS:
                name = f"container {status['name']} of pod {pod['metadata']['name']}"
                return pending(f"{ref}: {name} has just started, and no readinessProbe says that it stays up")
    return passed(f"{ref} stays up")


def _instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
