import pytest

from tke_provider.domain.rollouts import assess, crashing, pods_of_newest
from tke_provider.domain.verdicts import State

NEW = {"pod-template-hash": "new"}
NOT_FOUND = (
    'failed to pull and unpack image "demo.example/web@sha256:1": failed to resolve reference'
    ' "demo.example/web@sha256:1": demo.example/web@sha256:1: not found'
)
THROTTLED = (
    'failed to pull and unpack image "demo.example/web:1": failed to copy: httpReadSeeker: failed open: unexpected'
    " status code https://demo.example/v2/web/blobs/sha256:1: 429 Too Many Requests - Server message: toomanyrequests:"
    " You have reached your pull rate limit. access denied"
)


def deployment(*conditions, wanted=2, observed=2, **status):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "uid": "deployment",
            "generation": 2,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
        },
        "spec": {"replicas": wanted},
        "status": {"observedGeneration": observed, "conditions": list(conditions), **status},
    }


def replica_set(name, revision):
    return {
        "metadata": {
            "name": f"web-{name}",
            "uid": name,
            "labels": {"pod-template-hash": name},
            "annotations": {"deployment.kubernetes.io/revision": revision},
            "ownerReferences": [{"uid": "deployment"}],
        }
    }


REPLICA_SETS = [replica_set("old", "1"), replica_set("new", "2")]


def pod(name="web-new-1", owner="new", labels=None, phase="Pending", conditions=(), **container):
    statuses = [{"name": "web", "ready": False, "restartCount": 0, **container}] if container else []
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "labels": labels or {"pod-template-hash": owner},
            "ownerReferences": [{"uid": owner}],
        },
        "status": {"phase": phase, "conditions": list(conditions), "containerStatuses": statuses},
    }


def waiting(reason, message=""):
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def warning(about, reason, message, at="2026-01-01T00:00:00Z"):
    return {"involvedObject": {"uid": about}, "reason": reason, "message": message, "lastTimestamp": at}


ROLLING = {"replicas": 3, "updatedReplicas": 1, "availableReplicas": 2}
DONE = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


def verdict(*pods, workload=None, events=()):
    found = assess(workload or deployment(**ROLLING), pods, REPLICA_SETS, events)
    return found.state, found.reason


# --- where a Deployment stands -------------------------------------------------------------------------------------


def test_a_status_of_the_version_before_counts_for_nothing():
    state, reason = verdict(workload=deployment(observed=1, **DONE))
    assert state is State.PENDING
    assert reason == "Deployment shop/web: its controller has not looked at the new version yet"


def test_all_pods_new_and_available_is_a_pass():
    assert verdict(workload=deployment(**DONE)) == (
        State.PASSED,
        "Deployment shop/web is up: 2 of 2 pods run the new version",
    )


def test_no_pods_wanted_is_a_pass():
    assert verdict(workload=deployment(wanted=0))[0] is State.PASSED


@pytest.mark.parametrize(
    ("status", "missing"),
    [
        ({}, "0 of 2 pods are of the new version"),
        (ROLLING, "1 of 2 pods are of the new version"),
        ({**DONE, "availableReplicas": 1}, "1 of 2 pods are available"),
        ({**DONE, "replicas": 3}, "1 pod of the old version still to stop"),
    ],
)
def test_what_is_missing_is_said(status, missing):
    assert verdict(workload=deployment(**status)) == (State.PENDING, f"Deployment shop/web: {missing}")


def test_a_paused_deployment_is_waited_for_and_said():
    workload = deployment(**ROLLING)
    workload["spec"]["paused"] = True
    state, reason = verdict(workload=workload)
    assert state is State.PENDING
    assert "paused until somebody resumes it" in reason


def test_the_workloads_own_deadline_fails_it_with_the_pods_trouble():
    overdue = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    state, reason = verdict(pod(**waiting("ContainerCreating")), workload=deployment(overdue, **ROLLING))
    assert state is State.FAILED
    assert reason.startswith("Deployment shop/web made no progress within its progressDeadlineSeconds: 1 of 2 pods")


def test_a_deadline_of_the_version_before_does_not_fail_the_new_one():
    overdue = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    assert verdict(workload=deployment(overdue, observed=1))[0] is State.PENDING


# --- certain causes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"])
def test_a_container_that_can_never_start_fails_at_once(reason):
    state, said = verdict(pod(**waiting(reason, 'secret "db" not found')))
    assert state is State.FAILED
    assert said == f'Deployment shop/web: container web of pod web-new-1 cannot start: {reason}: secret "db" not found'


@pytest.mark.parametrize(
    "words",
    [
        NOT_FOUND,
        "manifest unknown: manifest unknown",
        "pull access denied, repository does not exist or may require authorization: insufficient_scope",
        "unexpected status from HEAD request to https://demo.example/v2/web/manifests/1: 401 Unauthorized",
        "unexpected status from HEAD request to https://demo.example/v2/web/manifests/1: 403 Forbidden",
        "no match for platform in manifest: not found",
    ],
)
@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_an_image_that_is_absent_or_refused_fails_at_once(reason, words):
    state, said = verdict(pod(**waiting(reason, words)))
    assert state is State.FAILED
    assert f"container web of pod web-new-1 has no image: {reason}: {words}" in said


def test_why_an_image_was_not_pulled_may_stand_in_an_event_alone():
    events = [warning("web-new-1", "Failed", f"Failed to pull image: {NOT_FOUND}")]
    assert verdict(pod(**waiting("ImagePullBackOff", "Back-off pulling image")), events=events)[0] is State.FAILED


@pytest.mark.parametrize(
    "words",
    [
        THROTTLED,
        "dial tcp: lookup demo.example: no such host",
        "dial tcp 10.0.0.1:443: i/o timeout",
        "Back-off pulling image",
        "unexpected status from HEAD request to https://demo.example/v2/web/manifests/1: 503 Service Unavailable",
    ],
)
def test_a_registry_that_is_busy_or_out_of_reach_is_waited_for(words):
    state, said = verdict(pod(**waiting("ErrImagePull", words)))
    assert state is State.PENDING
    assert words in said


def test_digits_of_a_digest_are_no_status_code():
    words = "Back-off pulling image demo.example/web@sha256:4010000403"
    assert verdict(pod(**waiting("ImagePullBackOff", words)))[0] is State.PENDING


# --- crashes -------------------------------------------------------------------------------------------------------


def crashed(restarts, state):
    return {
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
    }


@pytest.mark.parametrize(
    ("container", "times"),
    [
        (crashed(0, {"terminated": {"reason": "Error", "exitCode": 1}}), "once: Error, exit code 1"),
        (crashed(1, {"running": {}}), "once: OOMKilled, exit code 137"),
    ],
)
def test_one_crash_is_waited_for_and_said(container, times):
    state, said = verdict(pod(phase="Running", **container))
    assert state is State.PENDING
    assert f"crashed {times}" in said


@pytest.mark.parametrize(
    "container",
    [
        crashed(1, {"waiting": {"reason": "CrashLoopBackOff"}}),
        crashed(1, {"terminated": {"reason": "OOMKilled", "exitCode": 137}}),
        crashed(2, {"running": {}}),
    ],
)
def test_a_second_crash_is_certain(container):
    state, said = verdict(pod(phase="Running", **container))
    assert state is State.FAILED
    assert "container web of pod web-new-1 crashed 2 times: OOMKilled, exit code 137" in said


def test_more_crashes_may_be_tolerated():
    crashing_pod = pod(phase="Running", **crashed(2, {"running": {}}))
    assert assess(deployment(**ROLLING), [crashing_pod], REPLICA_SETS, max_crashes=4).state is State.PENDING


@pytest.mark.parametrize("certain", [True, False])
def test_a_program_that_cannot_run_is_certain_at_once_and_one_that_says_so_itself_is_not(certain):
    words = 'exec: "web": executable file not found in $PATH: unknown'
    ended = {"reason": "StartError" if certain else "Error", "exitCode": 128, "message": words}
    state, said = verdict(pod(state={"terminated": ended}))
    assert (state is State.FAILED) is certain
    assert words in said


def test_a_container_that_recovered_is_no_trouble():
    recovered = pod(phase="Running", **crashed(3, {"running": {}}), ready=True)
    assert verdict(recovered)[0] is State.PENDING


def test_an_init_container_that_crashes_counts():
    broken = pod()
    broken["status"]["initContainerStatuses"] = [
        {"name": "migrate", "ready": False, **crashed(1, {"waiting": {"reason": "CrashLoopBackOff"}})}
    ]
    assert "container migrate of pod web-new-1 crashed 2 times" in verdict(broken)[1]


def test_an_init_container_that_is_done_is_no_trouble():
    fine = pod(**waiting("PodInitializing"))
    done = {"name": "migrate", "ready": True, "restartCount": 0, "state": {"terminated": {"exitCode": 0}}}
    fine["status"]["initContainerStatuses"] = [done]
    assert verdict(fine) == (State.PENDING, "Deployment shop/web: 1 of 2 pods are of the new version")


def test_the_last_words_of_a_crash_are_found_where_they_are():
    fresh = pod(**crashed(0, {"terminated": {"exitCode": 1}}))
    backing_off = pod("web-new-2", **crashed(1, {"waiting": {"reason": "CrashLoopBackOff"}}))
    assert crashing([pod(), fresh]) == ("web-new-1", "web", False)
    assert crashing([backing_off]) == ("web-new-2", "web", True)
    assert crashing([pod()]) is None


# --- whose pods ----------------------------------------------------------------------------------------------------


def test_a_crashing_pod_of_an_older_version_fails_nothing():
    old = pod("web-old-1", "old", **crashed(9, {"waiting": {"reason": "CrashLoopBackOff"}}))
    assert verdict(old) == (State.PENDING, "Deployment shop/web: 1 of 2 pods are of the new version")


def test_a_pod_on_its_way_out_fails_nothing():
    leaving = pod(**crashed(9, {"waiting": {"reason": "CrashLoopBackOff"}}))
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert verdict(leaving)[0] is State.PENDING


def test_a_strangers_pod_with_the_same_labels_fails_nothing():
    stranger = pod("other", "stranger", {"pod-template-hash": "new"}, **waiting("InvalidImageName"))
    assert verdict(stranger)[0] is State.PENDING


def test_before_its_replica_set_exists_a_deployment_has_no_new_pods():
    assert pods_of_newest(deployment(), [pod()], REPLICA_SETS[:1]) == []


# --- waited for, with the reason -----------------------------------------------------------------------------------


def test_a_pod_without_a_node_is_explained_in_the_schedulers_words():
    words = "0/3 nodes are available: 3 Insufficient cpu."
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    state, said = verdict(pod(conditions=[unscheduled]))
    assert state is State.PENDING
    assert said.endswith(f"pod web-new-1 has no node: {words}")


def test_the_newest_warning_explains_a_pod_that_does_not_start():
    events = [
        warning("web-new-1", "FailedMount", "newest", "2026-01-02T00:00:00Z"),
        warning("web-new-1", "FailedMount", "older"),
        warning("another", "FailedMount", "of another", "2026-01-03T00:00:00Z"),
    ]
    assert verdict(pod(**waiting("ContainerCreating")), events=events)[1].endswith("web-new-1 is not started: newest")


def test_a_pod_that_is_not_ready_is_explained_by_its_probe():
    events = [warning("web-new-1", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")]
    said = verdict(pod(phase="Running", state={"running": {}}), events=events)[1]
    assert said.endswith("runs and is not ready: Readiness probe failed: HTTP probe failed with statuscode: 503")


def test_an_evicted_pod_is_waited_for():
    evicted = pod(phase="Failed")
    evicted["status"] |= {"reason": "Evicted", "message": "The node was low on resource: memory."}
    state, said = verdict(evicted)
    assert state is State.PENDING
    assert said.endswith("pod web-new-1 failed: Evicted The node was low on resource: memory.")


# --- pods that are not created -------------------------------------------------------------------------------------


def replica_failure(message):
    return deployment({"type": "ReplicaFailure", "status": "True", "message": message}, **ROLLING)


def test_a_used_up_quota_is_waited_for():
    words = 'pods "web-1" is forbidden: exceeded quota: team, requested: pods=1, used: pods=4, limited: pods=4'
    state, said = verdict(workload=replica_failure(words))
    assert state is State.PENDING
    assert said.endswith(f"its pods are not created: {words}")


@pytest.mark.parametrize(
    "words",
    [
        'pods "web-" is forbidden: error looking up service account shop/web: serviceaccount "web" not found',
        'admission webhook "policy.example" denied the request: no privileged pods',
    ],
)
def test_pods_that_are_not_admitted_fail_at_once(words):
    assert verdict(workload=replica_failure(words))[0] is State.FAILED
