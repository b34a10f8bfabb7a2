import datetime as dt

import pytest

from tke_provider.domain.settling import SETTLE_SECONDS, is_unprobed, settle
from tke_provider.domain.verdicts import State

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.timezone.utc)


def workload(kind="Deployment", *containers, **spec):
    template = {"spec": {"containers": list(containers) or [{"name": "web"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": template, **spec},
    }


def pod(state, *, ready=True, restarts=0, phase="Running"):
    status = {"name": "web", "ready": ready, "restartCount": restarts, "state": state}
    ready_now = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "metadata": {"name": "web-1", "uid": "1"},
        "status": {"phase": phase, "conditions": [ready_now], "containerStatuses": [status]},
    }


def since(seconds):
    return {"running": {"startedAt": f"{NOW - dt.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"}}


def test_what_the_cluster_asks_nothing_is_known_by_its_manifest():
    probe = {"httpGet": {"port": 80}}
    assert is_unprobed(workload())
    assert is_unprobed(workload("StatefulSet", {"name": "web", "readinessProbe": probe}, {"name": "sidecar"}))
    assert not is_unprobed(workload("Deployment", {"name": "web", "readinessProbe": probe}))
    assert not is_unprobed(workload("Deployment", {"name": "web", "startupProbe": probe}))
    assert not is_unprobed(workload(minReadySeconds=1))
    assert not is_unprobed(workload("Job"))


def test_a_container_that_has_just_started_may_still_crash():
    verdict = settle(workload(), [pod(since(SETTLE_SECONDS - 1))], NOW)
    assert verdict.state is State.PENDING
    assert verdict.reason == (
        "Deployment shop/web: container web of pod web-1 has just started, and no readinessProbe says that it stays up"
    )


def test_a_container_that_has_run_for_a_while_stays_up():
    assert settle(workload(), [pod(since(SETTLE_SECONDS))], NOW).state is State.PASSED


@pytest.mark.parametrize(("restarts", "state"), [(0, State.PENDING), (1, State.FAILED)])
def test_a_container_that_ended_after_it_was_available_is_told_and_twice_is_enough(restarts, state):
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    verdict = settle(workload(), [pod(ended, ready=False, restarts=restarts)], NOW)
    assert verdict.state is state
    assert "crashed" in verdict.reason
    assert verdict.reason.endswith("Error, exit code 1")


def test_an_evicted_pod_of_long_ago_is_not_waited_for():
    evicted = {"metadata": {"name": "web-0", "uid": "0"}, "status": {"phase": "Failed", "reason": "Evicted"}}
    assert settle(workload(), [evicted, pod(since(60))], NOW).state is State.PASSED
