"""The pod of a run: its tests in one container, and beside them one that keeps their reports until they are fetched.

A container's files are gone when it ends, so the reports' folders are volumes of the pod, which a second container
keeps alive. It sleeps, and the files are read by running ``head`` in it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tke_provider.domain.operations import FIELD_MANAGER, OPERATION
from tke_provider.domain.rollouts import pod_troubles
from tke_provider.domain.verdicts import Verdict, failed, inconclusive, passed, pending
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tke_provider.domain.images import Image
    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.runs import Run

TESTS, READER = "tests", "reader"
SPEC = "tke.airflow/spec"
"""Annotation: a hash of what the pod was to run."""
_SHOWN_FIRST = "kubectl.kubernetes.io/default-container"
_NEEDED = "pass reader_image, an image that has sleep and head"
# How long a pod outlives its time when nobody fetches its reports: a worker that died, and its retries.
_FORGOTTEN_SECONDS = 900
_SMALL = {"cpu": "10m", "memory": "16Mi"}


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What a pod gets beside its run.

    :param namespace: where it runs.
    :param service_account: whose it is; empty for the namespace's default, without its token then.
    :param secrets: names of Secrets of the namespace, whose entries become variables.
    :param reader_image: of the container that keeps the reports; empty for the tested one.
    :param pod_spec: more of the pod's specification, such as ``nodeSelector`` and ``imagePullSecrets``.
    """

    namespace: str
    service_account: str = ""
    secrets: tuple[str, ...] = ()
    reader_image: str = ""
    pod_spec: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what would replace the run itself.

        :raises InputError: naming what.
        """
        given: object = self.pod_spec
        if not isinstance(given, Mapping) or not isinstance(given.get("securityContext", {}), Mapping):
            raise InputError("pod_spec is no pod's specification", way_out="pass a dict such as {'nodeSelector': {…}}")
        if ours := sorted({"containers", "volumes", "restartPolicy"} & set(self.pod_spec)):
            raise InputError(f"pod_spec has {', '.join(ours)}, which the run itself sets", way_out="leave it out")

    @property
    def security(self) -> Mapping[str, Any]:
        """The pod's security context, as far as it was given."""
        given: Mapping[str, Any] = self.pod_spec.get("securityContext", {})
        return given

    @property
    def container_security(self) -> dict[str, Any]:
        """That of each container. Whoever is not root has no capabilities anyway, and restricted namespaces ask."""
        drop = {"capabilities": {"drop": ["ALL"]}} if self.security.get("runAsNonRoot") else {}
        return {"allowPrivilegeEscalation": False, **drop}


def pod_name(operation: str) -> str:
    """Return the name of an operation's pod: the same for every retry, so that none runs twice."""
    return f"tests-{operation.rpartition('.')[2]}"


def run_pod(image: Image, run: Run, around: Surroundings) -> Manifest:
    """Return the pod that runs a command.

    :raises InputError: when a report lies in the root folder, which no volume can be.
    """
    mounts = [{"name": f"reports-{number}", "mountPath": folder} for number, folder in enumerate(_folders(run))]
    spec = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": int(run.timeout) + _FORGOTTEN_SECONDS,
        "terminationGracePeriodSeconds": 1,
        "enableServiceLinks": False,
        "automountServiceAccountToken": bool(around.service_account),
        **({"serviceAccountName": around.service_account} if around.service_account else {}),
        **around.pod_spec,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}, **around.security},
        "containers": [_reader(image, run, around, mounts), _tests(image, run, around, mounts)],
        "volumes": [{"name": mount["name"], "emptyDir": {}} for mount in mounts],
    }
    metadata = {
        "name": pod_name(run.operation),
        "namespace": around.namespace,
        "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER},
        "annotations": {OPERATION: run.operation, SPEC: _hash(spec), _SHOWN_FIRST: TESTS},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def assess_run(name: str, pod: Manifest | None, events: Sequence[Manifest] = ()) -> Verdict:
    """Say whether a pod's tests have ended; *passed* says no more than that.

    Failed when waiting cannot help: the image is refused, the command does not exist, a Secret is missing.
    Inconclusive when the pod went before its tests ended: deleted, evicted, its node lost.
    """
    if pod is None:
        return inconclusive(f"pod {name} was deleted before its tests ended")
    tests, reader, status = state(pod, TESTS), state(pod, READER), pod.get("status") or {}
    ended = tests.get("terminated") or {}
    if ended.get("reason") in {"StartError", "ContainerCannotRun"}:
        return failed(f"the command cannot be started: {ended.get('message', ended['reason'])}")
    if status.get("phase") == "Failed" and status.get("reason"):
        return inconclusive(f"pod {name} failed: {status['reason']} {status.get('message', '')}".strip())
    if "deletionTimestamp" in pod["metadata"]:
        return inconclusive(f"pod {name} is being deleted")
    if lost := reader.get("terminated"):
        said = lost.get("message") or lost.get("reason")
        return failed(f"the container that keeps the reports does not stay up: {said}; {_NEEDED}")
    if ended and "running" in reader:
        return passed(f"the tests in pod {name} ended with exit code {ended.get('exitCode')}")
    return _not_yet(name, pod, events)


def _not_yet(name: str, pod: Manifest, events: Sequence[Manifest]) -> Verdict:
    if all_run(pod):
        return pending(f"pod {name} runs its tests")
    if ended := state(pod, TESTS).get("terminated"):  # however they ended, it is no crash
        others = [each for each in pod["status"]["containerStatuses"] if each["name"] != TESTS]
        pod = {**pod, "status": {**pod["status"], "containerStatuses": others}}
    troubles = sorted(pod_troubles([pod], events), key=lambda trouble: not trouble.certain)
    if troubles and troubles[0].certain:
        return failed(troubles[0].reason)
    if ended:
        return pending(f"the tests in pod {name} ended, and what keeps their reports is not up")
    return pending(troubles[0].reason if troubles else f"pod {name} is being started")


def all_run(pod: Manifest) -> bool:
    """Whether its tests run, and what keeps their reports."""
    return "running" in state(pod, TESTS) and "running" in state(pod, READER)


def state(pod: Manifest, container: str) -> Mapping[str, Any]:
    """Return a container's state, as the kubelet says it: ``waiting``, ``running`` or ``terminated``."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    found: Mapping[str, Any] = next((each for each in statuses if each["name"] == container), {})
    return found.get("state") or {}


def no_reader(cause: str) -> InputError:
    """Return the error for an image that cannot keep reports."""
    return InputError("The reports cannot be read", cause=cause, way_out=_NEEDED)


def _folders(run: Run) -> list[str]:
    """Return the folders of the reports without those that lie in another of them."""
    folders: list[str] = []
    for folder in sorted({posixpath.dirname(posixpath.normpath(path)) for path in run.reports}):
        if folder == "/":
            raise InputError("A report in / cannot be kept", way_out="write it to a folder, such as /tmp")
        if not any(f"{folder}/".startswith(f"{outer}/") for outer in folders):
            folders.append(folder)
    return folders


def _tests(image: Image, run: Run, around: Surroundings, mounts: list[dict[str, str]]) -> dict[str, Any]:
    room = {"cpu": str(run.cpus), "memory": str(run.memory_bytes)}
    return {
        "name": TESTS,
        "image": str(image),
        "command": list(run.command),
        "env": [{"name": name, "value": value} for name, value in sorted(run.environment.items())],
        "envFrom": [{"secretRef": {"name": name}} for name in around.secrets],
        "volumeMounts": mounts,
        "resources": {"requests": room, "limits": room},
        "securityContext": around.container_security,
    }


def _reader(image: Image, run: Run, around: Surroundings, mounts: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "name": READER,
        "image": around.reader_image or str(image),
        "command": ["sleep", str(int(run.timeout) + _FORGOTTEN_SECONDS)],
        "volumeMounts": [{**mount, "readOnly": True} for mount in mounts],
        "resources": {"requests": _SMALL, "limits": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": around.container_security,
    }


def _hash(spec: object) -> str:
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]
