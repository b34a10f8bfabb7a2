"""BuildKit, asked by a pod: the worker needs neither an engine nor ``buildctl``."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import signal
from typing import TYPE_CHECKING

from tke_provider.clients.pods import ended, follow, started
from tke_provider.domain.buildkit import CONTAINER
from tke_provider.domain.buildkit_output import digest_of, failure
from tke_provider.domain.manifests import ObjectRef
from tke_provider.exceptions import ConflictError, ForbiddenError, InputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.domain.buildkit import BuildJob
    from tke_provider.domain.manifests import Manifest

    Say = Callable[[str], None]

_KEPT_LINES = 400
"""So many last lines hold the summary of a failed step, which repeats what the step printed."""
_NOT_ADMITTED = "violates PodSecurity"
_STOPPED = (-1, 128 + signal.SIGKILL, 128 + signal.SIGTERM)
"""Exit codes of a container that did not end by itself."""


async def build(cluster: Cluster, job: BuildJob, say: Say) -> str:
    """Build a commit, push it under the build's tag, and return its digest.

    A Job that an earlier try of the same operation left is followed, not repeated. It is deleted when it has ended or
    this is cancelled, and its Secret with it; when the cluster is out of reach it goes on, and a retry finds it.

    :param say: gets each line that the build prints.
    :raises BuildError: with the Dockerfile's line that fails, and its last words.
    :raises InputError: when the commit lacks folder or Dockerfile, the pod's image cannot be had, or its own daemon
        does not start.
    :raises ForbiddenError: when the namespace does not let such a pod in.
    :raises UnavailableError: when the cluster or the daemon does not answer.
    """
    try:
        exit_code, message, lines = await _run(cluster, job, say)
    except UnavailableError:
        raise
    except BaseException:
        await _delete(cluster, job)
        raise
    await _delete(cluster, job)
    if exit_code == 0:
        return digest_of(message)
    if exit_code in _STOPPED:
        raise UnavailableError(
            f"The pod of {_ref(job)} was stopped before the image was built",
            cause=message or f"exit code {exit_code}",
            way_out="run the task again; if it happens again, look at what evicts pods there",
        )
    raise failure(job.build, job.daemon, lines or [message])


async def _run(cluster: Cluster, job: BuildJob, say: Say) -> tuple[int, str, list[str]]:
    """Return exit code, termination message and last lines."""
    pod = await _pod(cluster, job, await _submitted(cluster, job), say)
    lines: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)

    def hear(line: str) -> None:
        lines.append(line)
        if line.strip():
            say(line)

    await follow(cluster, pod, CONTAINER, hear)
    how = await ended(cluster, pod, CONTAINER)
    return int(how["exitCode"]), str(how.get("message") or how.get("reason") or ""), list(lines)


async def _submitted(cluster: Cluster, job: BuildJob) -> str:
    """Submit it, wholly even if this is cancelled: what is under way then would come after it is deleted."""
    submitting = asyncio.ensure_future(_submit(cluster, job))
    try:
        return await asyncio.shield(submitting)
    except asyncio.CancelledError:
        await asyncio.wait({submitting})
        raise


async def _submit(cluster: Cluster, job: BuildJob) -> str:
    """Create the Job unless it is there, then the Secret, which so never is without an owner; return the Job's uid.

    One that has failed is not followed: what failed for a passing reason would fail again.
    """
    ref = _ref(job)
    live = await cluster.get(ref)
    if live and _failed(live):
        await _delete(cluster, job)
        live = None
    if live is None:
        with contextlib.suppress(ConflictError):  # another try was quicker
            live = await cluster.create(job.manifest())
        live = live or await cluster.get(ref)
    if live is None or "deletionTimestamp" in live["metadata"]:
        raise UnavailableError(f"{ref} is being deleted", way_out="run the task again")
    _check_sidecar(job, live)
    uid = str(live["metadata"]["uid"])
    await cluster.apply(job.secret(uid))
    return uid


def _check_sidecar(job: BuildJob, live: Manifest) -> None:
    """Refuse a cluster that does not know sidecars: it would wait for the daemon to end before the build begins."""
    for container in live["spec"]["template"]["spec"].get("initContainers") or ():
        if container.get("restartPolicy") != "Always":
            raise InputError(
                f"The cluster of {_ref(job)} knows no sidecar containers, as which a daemon runs beside its client",
                way_out="use a cluster of Kubernetes 1.29 or later, or buildkit_daemon='shared'",
            )


async def _pod(cluster: Cluster, job: BuildJob, uid: str, say: Say) -> ObjectRef:
    """Wait for the Job's pod to run, and say why it does not."""
    said = ""
    while True:
        pod = await started(cluster, job.namespace, f"controller-uid={uid}", CONTAINER, say)
        if pod:
            return ObjectRef("v1", "Pod", job.namespace, pod["metadata"]["name"])
        live = await cluster.get(_ref(job))
        if live is None or _failed(live):
            await _delete(cluster, job)
            raise UnavailableError(f"The pod of {_ref(job)} is gone before it ended", way_out="run the task again")
        about = f"involvedObject.name={job.name},type=Warning"
        events = await cluster.list("v1", "Event", job.namespace, field_selector=about)
        if events and (words := str(events[-1].get("message", ""))) != said:
            said = words
            _check_admission(job, said)
            say(f"Waiting: {said}")


def _check_admission(job: BuildJob, said: str) -> None:
    """Refuse a namespace that lets no such pod in: it would not tomorrow, either."""
    if _NOT_ADMITTED in said:
        raise ForbiddenError(
            f"Namespace {job.namespace} does not let the build's pod in",
            cause=said,
            way_out="use a namespace whose Pod Security level allows it, or buildkit_daemon='shared', which asks least",
        )


async def _delete(cluster: Cluster, job: BuildJob) -> None:
    # By itself, too: a retry's Secret of that name must not be taken for one whose owner has gone.
    await cluster.delete(ObjectRef("v1", "Secret", job.namespace, job.name))
    await cluster.delete(_ref(job))


def _failed(live: Manifest) -> bool:
    return bool((live.get("status") or {}).get("failed"))


def _ref(job: BuildJob) -> ObjectRef:
    return ObjectRef("batch/v1", "Job", job.namespace, job.name)
