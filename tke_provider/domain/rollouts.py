"""Rollouts: whether the new version of a workload came up, and if not, why.

What a status means is defined in https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status
and the API reference of ``apps/v1``.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from typing import TYPE_CHECKING, Any, TypedDict

from tke_provider.domain.manifests import JOB, ObjectRef, annotation
from tke_provider.domain.phrases import count
from tke_provider.domain.verdicts import Verdict, failed, passed, pending

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tke_provider.domain.manifests import Manifest

REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
MAX_CRASHES = 2
"""How often a new container may end before it is certain that it will not stay up: once may be bad luck."""

_NEVER_STARTS = {"InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"}
_NOT_PULLED = {"ErrImagePull", "ImagePullBackOff"}
_STARTING = {"", "ContainerCreating", "PodInitializing"}
_CANNOT_RUN = re.compile(
    r"(?:StartError|ContainerCannotRun)\b.*(?:executable file not found|no such file or directory|exec format error)"
)
_THROTTLED = re.compile(r"toomanyrequests|too many requests|rate.?limit|\b429\b", re.IGNORECASE)
_REFUSED = re.compile(
    r": not found|manifest unknown|name unknown|does not exist|no match for platform|unauthorized|authorization failed"
    r"|authentication required|access denied|\bforbidden\b|\b40[13]\b",
    re.IGNORECASE,
)


class Release(TypedDict):
    """A release of a service, as it lies in XCom.

    :param service: what was deployed.
    :param namespace: where in the cluster.
    :param cluster: the cluster's id; empty for a cluster that the connection holds a kubeconfig of.
    :param images: the image of every container by ``workload/container``, as it serves now.
    :param commit: the commit the images were built from; empty where unknown.
    :param revision: as the cluster counts it, ``workload=revision``; the same as before where nothing changed.
    :param previous: the images that served before, by ``workload/container``; empty for the first release.
    :param op: the operation that deployed it, as its objects' annotations name it.
    :param record: the number of the release's record in the cluster, which a rollback takes.
    """

    service: str
    namespace: str
    cluster: str
    images: dict[str, str]
    commit: str
    revision: str
    previous: dict[str, str]
    op: str
    record: int


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a workload from coming up.

    :param reason: the thing and the cause, as the cluster put it.
    :param certain: whether it will not go away by waiting.
    """

    reason: str
    certain: bool = False


def assess(
    workload: Manifest,
    pods: Iterable[Manifest],
    replica_sets: Iterable[Manifest] = (),
    events: Sequence[Manifest] = (),
    max_crashes: int = MAX_CRASHES,
) -> Verdict:
    """Say whether the newest version of a Deployment, StatefulSet or DaemonSet is up, or a Job has done its work.

    Failed only when waiting cannot help: the image is refused or absent, the configuration does not exist, the
    container crashes again and again, pods are not admitted, or the workload's own progress deadline passed. A busy
    registry, a full cluster and a used-up quota are waited for, with the reason.

    :param pods: pods of the namespace; those of earlier versions do not count.
    :param replica_sets: of the namespace; needed for Deployments only.
    :param events: warnings of the namespace; they explain, and decide nothing but why an image was not pulled.
    """
    ref = ObjectRef.of(workload)
    if workload["kind"] == JOB:
        return _assess_job(workload, pods, events)
    if _int(workload.get("status"), "observedGeneration") < _int(workload["metadata"], "generation"):
        return pending(f"{ref}: its controller has not looked at the new version yet")
    missing = _missing(workload)
    if not missing:
        return passed(f"{ref} is up: {_size(workload)} of {_size(workload)} pods run the new version")
    new = pods_of_newest(workload, pods, replica_sets)
    troubles = [*_workload_troubles(workload, events), *pod_troubles(new, events, max_crashes)]
    if certain := next((each for each in troubles if each.certain), None):
        return failed(f"{ref}: {certain.reason}")
    because = f"; {troubles[0].reason}" if troubles else ""
    overdue = _condition(workload, "Progressing")
    if overdue.get("reason") == "ProgressDeadlineExceeded":
        return failed(f"{ref} made no progress within its progressDeadlineSeconds: {missing}{because}")
    return pending(f"{ref}: {missing}{because}")


def _assess_job(job: Manifest, pods: Iterable[Manifest], events: Sequence[Manifest]) -> Verdict:
    """How often its pods may fail is the Job's own affair (``backoffLimit``)."""
    ref, ended = ObjectRef.of(job), _condition(job, "Failed")
    if _condition(job, "Complete").get("status") == "True":
        return passed(f"{ref} has done its work")
    if ended.get("status") == "True":
        return failed(f"{ref} failed: {ended.get('reason', '')}: {ended.get('message', '')}")
    troubles = [*_workload_troubles(job, events), *pod_troubles(pods_of_newest(job, pods), events, sys.maxsize)]
    if certain := next((each for each in troubles if each.certain), None):
        return failed(f"{ref}: {certain.reason}")
    wanted = int((job.get("spec") or {}).get("completions") or 1)
    halted = ", and it is suspended until somebody resumes it" if (job.get("spec") or {}).get("suspend") else ""
    because = f"; {troubles[0].reason}" if troubles else ""
    return pending(
        f"{ref}: {_int(job.get('status'), 'succeeded')} of {wanted} pods have done their work{halted}{because}"
    )


def revision_of(workload: Manifest) -> str:
    """Return the revision that the cluster gave the newest version; empty before its controller looked."""
    if workload["kind"] == "Deployment":
        return annotation(workload, REVISION)
    if workload["kind"] == "DaemonSet":
        return annotation(workload, _TEMPLATE_GENERATION)
    return str((workload.get("status") or {}).get("updateRevision", ""))


def pods_of_newest(
    workload: Manifest, pods: Iterable[Manifest], replica_sets: Iterable[Manifest] = ()
) -> list[Manifest]:
    """Return the pods of the newest version that are not on their way out."""
    owner, label, value = workload["metadata"].get("uid"), "controller-revision-hash", revision_of(workload)
    if workload["kind"] == "DaemonSet":
        label = "pod-template-generation"
    if workload["kind"] == JOB:
        label, value = "batch.kubernetes.io/controller-uid", str(owner)
    if workload["kind"] == "Deployment":
        newest = _newest(workload, replica_sets)
        if newest is None:
            return []
        label = _HASH
        owner, value = newest["metadata"].get("uid"), _labels(newest).get(label, "")
    return [
        pod
        for pod in pods
        if _owned(pod, owner) and _labels(pod).get(label) == value and "deletionTimestamp" not in pod["metadata"]
    ]


def newest_hash(deployment: Manifest, replica_sets: Iterable[Manifest]) -> str:
    """Return what the label ``pod-template-hash`` of the newest version's pods is; empty before there is one."""
    newest = _newest(deployment, replica_sets)
    return _labels(newest).get(_HASH, "") if newest else ""


def _newest(deployment: Manifest, replica_sets: Iterable[Manifest]) -> Manifest | None:
    owner, revision = deployment["metadata"].get("uid"), revision_of(deployment)
    return next((e for e in replica_sets if _owned(e, owner) and annotation(e, REVISION) == revision), None)


def crashing(pods: Iterable[Manifest]) -> tuple[str, str, bool] | None:
    """Return pod and container of the first that crashed, and whether its last words are those of an earlier run."""
    for pod in pods:
        for status in _statuses(pod):
            if _exits(status) and not status.get("ready"):
                earlier = "terminated" not in status.get("state", {})
                return pod["metadata"]["name"], status["name"], earlier
    return None


def _missing(workload: Manifest) -> str:
    """Say what is missing until the newest version is up; empty when it is."""
    spec, status = workload.get("spec") or {}, workload.get("status") or {}
    if workload["kind"] == "DaemonSet":
        wanted, updated = _int(status, "desiredNumberScheduled"), _int(status, "updatedNumberScheduled")
        return _counts(wanted, updated, _int(status, "numberAvailable"), _paused(spec))
    wanted, updated = _size(workload), _int(status, "updatedReplicas")
    available = _int(status, "availableReplicas")
    if workload["kind"] == "StatefulSet":
        partition = _int((spec.get("updateStrategy") or {}).get("rollingUpdate"), "partition")
        kept = min(partition, wanted)
        if not kept and status.get("currentRevision") == status.get("updateRevision"):
            updated = _int(status, "replicas")  # a size that changes alone updates no pod
        return _counts(wanted, updated + kept, available, _paused(spec))
    old = _int(status, "replicas") - updated
    stopping = f"{count(old, 'pod')} of the old version still to stop" if old > 0 else ""
    return _counts(wanted, updated, available, _paused(spec)) or stopping


def _counts(wanted: int, updated: int, available: int, paused: str) -> str:
    if updated < wanted:
        return f"{updated} of {wanted} pods are of the new version{paused}"
    return f"{available} of {wanted} pods are available" if available < wanted else ""


def _paused(spec: Mapping[str, Any]) -> str:
    if spec.get("paused"):
        return ", and the Deployment is paused until somebody resumes it"
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return ", and the strategy OnDelete replaces a pod only when somebody deletes it"
    return ""


def _size(workload: Manifest) -> int:
    if workload["kind"] == "DaemonSet":
        return _int(workload.get("status"), "desiredNumberScheduled")
    return int((workload.get("spec") or {}).get("replicas", 1))


def _workload_troubles(workload: Manifest, events: Sequence[Manifest]) -> Iterator[Trouble]:
    failure = _condition(workload, "ReplicaFailure")
    if failure.get("status") == "True":
        words = str(failure.get("message", failure.get("reason", "")))
        certain = "exceeded quota" not in words and bool(re.search(r"forbidden|denied the request|is invalid", words))
        yield Trouble(f"its pods are not created: {words}", certain)
    elif workload["kind"] != "Deployment" and (words := _said(workload, events, "FailedCreate")):
        yield Trouble(f"its pods are not created: {words}")


def is_ready(pod: Manifest) -> bool:
    """Whether a pod says that it is ready, be it on its way out or not."""
    return bool(_condition(pod, "Ready").get("status") == "True")


def serves(pod: Manifest) -> bool:
    """Whether requests are sent to a pod: it is ready, and not on its way out."""
    return is_ready(pod) and "deletionTimestamp" not in pod["metadata"]


def pod_troubles(
    pods: Iterable[Manifest], events: Sequence[Manifest] = (), max_crashes: int = MAX_CRASHES
) -> Iterator[Trouble]:
    """Yield what keeps pods from running."""
    for pod in pods:
        found = [each for status in _statuses(pod) if (each := _container_trouble(pod, status, events, max_crashes))]
        yield from found
        if not found and (trouble := _whole_pod_trouble(pod, events)):
            yield trouble


def _container_trouble(
    pod: Manifest, status: Mapping[str, Any], events: Sequence[Manifest], max_crashes: int
) -> Trouble | None:
    name = f"container {status['name']} of pod {pod['metadata']['name']}"
    waiting = status.get("state", {}).get("waiting") or {}
    reason, words = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    exits = _exits(status)
    if exits and not status.get("ready"):
        times = "once" if exits == 1 else f"{exits} times"
        last = _last_exit(status)
        return Trouble(f"{name} crashed {times}: {last}", exits >= max_crashes or bool(_CANNOT_RUN.search(last)))
    if reason in _NEVER_STARTS:
        return Trouble(f"{name} cannot start: {reason}: {words}", certain=True)
    if reason in _NOT_PULLED:
        words = f"{words} {_said(pod, events, 'Failed')}".strip()
        certain = bool(_REFUSED.search(words)) and not _THROTTLED.search(words)
        return Trouble(f"{name} has no image: {reason}: {words}", certain)
    if reason not in _STARTING:
        return Trouble(f"{name} does not start: {reason}: {words}")
    return None


def _whole_pod_trouble(pod: Manifest, events: Sequence[Manifest]) -> Trouble | None:
    name, status = f"pod {pod['metadata']['name']}", pod.get("status") or {}
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return Trouble(f"{name} has no node: {scheduled.get('message', scheduled.get('reason', ''))}")
    if status.get("phase") == "Failed":
        return Trouble(f"{name} failed: {status.get('reason', '')} {status.get('message', '')}".strip())
    if is_ready(pod):
        return None
    words = _said(pod, events)
    if status.get("phase") == "Running":
        return Trouble(f"{name} runs and is not ready{f': {words}' if words else ''}")
    return Trouble(f"{name} is not started: {words}") if words else None


def _exits(status: Mapping[str, Any]) -> int:
    """How often a container ended without success, this run included; an init container's success is none."""
    state = status.get("state", {})
    ended = state.get("terminated")
    return (
        int(status.get("restartCount", 0))
        + (1 if ended and ended.get("exitCode") else 0)
        + (1 if (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff" else 0)
    )


def _last_exit(status: Mapping[str, Any]) -> str:
    ended = status.get("state", {}).get("terminated") or status.get("lastState", {}).get("terminated") or {}
    parts = (ended.get("reason", ""), f"exit code {ended['exitCode']}" if "exitCode" in ended else "")
    return (
        " ".join([", ".join(part for part in parts if part), str(ended.get("message", ""))]).strip()
        or "no reason given"
    )


def _said(thing: Manifest, events: Sequence[Manifest], reason: str = "") -> str:
    """Return the newest warning about this very object."""
    uid = thing["metadata"].get("uid")
    about = [
        event
        for event in events
        if (event.get("involvedObject") or {}).get("uid") == uid and reason in {"", event.get("reason")}
    ]
    newest = max(about, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""), default={})
    return " ".join(str(newest.get("message", "")).split())


def _condition(thing: Manifest, kind: str) -> Mapping[str, Any]:
    found = ((thing.get("status") or {}).get("conditions")) or ()
    return next((each for each in found if each.get("type") == kind), {})


def _statuses(pod: Manifest) -> list[dict[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _owned(thing: Manifest, uid: object) -> bool:
    return any(owner.get("uid") == uid for owner in thing["metadata"].get("ownerReferences") or ())


def _labels(thing: Manifest) -> Mapping[str, str]:
    labels: Mapping[str, str] = thing["metadata"].get("labels") or {}
    return labels


def _int(values: Mapping[str, Any] | None, name: str) -> int:
    return int((values or {}).get(name) or 0)
