"""Where StatefulSets, DaemonSets and Jobs stand."""

import pytest

from tests.domain.test_rollouts import pod, waiting, warning
from tke_provider.domain.rollouts import assess, pods_of_newest, revision_of
from tke_provider.domain.verdicts import State

# --- StatefulSets and DaemonSets -----------------------------------------------------------------------------------


def stateful_set(replicas=3, strategy=None, **status):
    spec = {"replicas": replicas, "updateStrategy": strategy or {"type": "RollingUpdate"}}
    revisions = {"observedGeneration": 1, "currentRevision": "web-1", "updateRevision": "web-2"}
    metadata = {"name": "web", "namespace": "shop", "uid": "set", "generation": 1}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata,
        "spec": spec,
        "status": {**revisions, **status},
    }


@pytest.mark.parametrize(
    ("workload", "state"),
    [
        (stateful_set(updatedReplicas=2, availableReplicas=3), State.PENDING),
        (stateful_set(updatedReplicas=3, availableReplicas=2), State.PENDING),
        (stateful_set(updatedReplicas=3, availableReplicas=3), State.PASSED),
        (stateful_set(updatedReplicas=3, availableReplicas=3, observedGeneration=0), State.PENDING),
        (stateful_set(replicas=0), State.PASSED),
    ],
)
def test_a_stateful_set_is_up_when_every_pod_is_new_and_available(workload, state):
    assert assess(workload, []).state is state


def test_a_partition_keeps_pods_of_the_old_version_on_purpose():
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    workload = stateful_set(strategy=strategy, updatedReplicas=1, availableReplicas=3)
    assert assess(workload, []).state is State.PASSED


def test_the_strategy_on_delete_is_said():
    said = assess(stateful_set(strategy={"type": "OnDelete"}, availableReplicas=3), []).reason
    assert "OnDelete replaces a pod only when somebody deletes it" in said


def test_only_pods_of_the_update_revision_count_for_a_stateful_set():
    old = pod("web-0", "set", {"controller-revision-hash": "web-1"}, **waiting("InvalidImageName"))
    new = pod("web-2", "set", {"controller-revision-hash": "web-2"}, **waiting("InvalidImageName"))
    workload = stateful_set(updatedReplicas=1, availableReplicas=2)
    assert revision_of(workload) == "web-2"
    assert assess(workload, [old]).state is State.PENDING
    assert assess(workload, [old, new]).state is State.FAILED


def test_pods_that_a_stateful_set_cannot_create_are_explained_by_its_event():
    events = [warning("set", "FailedCreate", "exceeded quota: team")]
    assert assess(stateful_set(), [], events=events).reason.endswith("its pods are not created: exceeded quota: team")


def daemon_set(**status):
    annotations = {"deprecated.daemonset.template.generation": "4"}
    metadata = {"name": "log", "namespace": "shop", "uid": "set", "generation": 4, "annotations": annotations}
    spec = {"updateStrategy": {"type": "RollingUpdate"}}
    status = {"observedGeneration": 4, "desiredNumberScheduled": 2, **status}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("workload", "state"),
    [
        (daemon_set(updatedNumberScheduled=1, numberAvailable=2), State.PENDING),
        (daemon_set(updatedNumberScheduled=2, numberAvailable=1), State.PENDING),
        (daemon_set(updatedNumberScheduled=2, numberAvailable=2), State.PASSED),
        (daemon_set(desiredNumberScheduled=0), State.PASSED),
        (daemon_set(observedGeneration=3, updatedNumberScheduled=2, numberAvailable=2), State.PENDING),
    ],
)
def test_a_daemon_set_is_up_when_every_node_runs_the_new_pod(workload, state):
    assert assess(workload, []).state is state


def test_only_pods_of_the_newest_template_count_for_a_daemon_set():
    old = pod("log-1", "set", {"pod-template-generation": "3"}, **waiting("InvalidImageName"))
    new = pod("log-2", "set", {"pod-template-generation": "4"}, **waiting("InvalidImageName"))
    assert pods_of_newest(daemon_set(), [old, new]) == [new]


# --- jobs ----------------------------------------------------------------------------------------------------------


def job(*conditions, **status):
    metadata = {"name": "migrate", "namespace": "shop", "uid": "job-1"}
    whole = [{"type": kind, "status": "True", "reason": "Why", "message": "words"} for kind in conditions]
    spec = {"completions": 2, **status.pop("spec", {})}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": spec,
        "status": {"conditions": whole, **status},
    }


def pod_of_job(**state):
    labels = {"batch.kubernetes.io/controller-uid": "job-1"}
    metadata = {"name": "migrate-x", "uid": "pod-1", "labels": labels, "ownerReferences": [{"uid": "job-1"}]}
    statuses = [{"name": "main", "ready": False, "restartCount": 0, "state": state}]
    return {"metadata": metadata, "status": {"phase": "Pending", "containerStatuses": statuses}}


def test_a_job_that_has_done_its_work_is_up():
    assert assess(job("SuccessCriteriaMet", "Complete"), ()).state is State.PASSED


def test_a_job_that_failed_is_told_in_its_own_words():
    verdict = assess(job("FailureTarget", "Failed"), ())
    assert (verdict.state, verdict.reason) == (State.FAILED, "Job shop/migrate failed: Why: words")


def test_a_job_that_works_is_waited_for_however_often_its_pods_fail():
    failing = pod_of_job(terminated={"exitCode": 3, "reason": "Error"})
    failing["status"]["containerStatuses"][0]["restartCount"] = 9
    verdict = assess(job(succeeded=1), [failing])
    assert verdict.state is State.PENDING
    assert "1 of 2 pods have done their work; container main of pod migrate-x crashed 10 times" in verdict.reason


def test_a_job_whose_image_is_not_there_is_certain_to_fail():
    absent = pod_of_job(waiting={"reason": "ErrImagePull", "message": "manifest unknown"})
    assert assess(job(), [absent]).state is State.FAILED


def test_a_suspended_job_says_so():
    assert "suspended until somebody resumes it" in assess(job(spec={"suspend": True}), ()).reason
