"""BuildKit: how a build is put to its client ``buildctl`` in a pod.

Options: https://github.com/moby/buildkit#readme and …/blob/master/frontend/dockerfile/docs/reference.md; git contexts:
https://docs.docker.com/build/concepts/context/#git-repositories.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from tke_provider.domain.build_failures import no_folder
from tke_provider.domain.buildkit_daemons import FILES
from tke_provider.domain.operations import COMMIT, OPERATION
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from tke_provider.domain.buildkit_daemons import Daemon
    from tke_provider.domain.images import Build
    from tke_provider.domain.manifests import Manifest

CONTAINER = "buildctl"
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_AFTER_SECONDS = 300
"""What is left of a build whose worker has gone disappears this long after it ended, its Secret with it."""
_GRACE_SECONDS = 60
"""So much later than the task Kubernetes would end a build: who waits for it does so first, and says why."""
_OURS = frozenset({"containers", "initContainers", "restartPolicy", "securityContext", "volumes"})
# Through /proc the steps of a build would read the secrets of the client that asked for it, beside the daemon.
_OPEN = ("hostPID", "shareProcessNamespace")
# Arguments reach buildctl as they are. The shell passes on that it is to stop, and what it was told about the image.
_SCRIPT = """trap 'kill $!; wait $!' TERM
buildctl "$@" --metadata-file=/tmp/metadata.json & wait $! && cat /tmp/metadata.json > /dev/termination-log"""


@dataclasses.dataclass(frozen=True, slots=True)
class Secrets:
    """What a build may know and nobody else; none of it is shown by ``repr``.

    :param mounts: of ``RUN --mount=type=secret,id=…`` lines, by id.
    :param registries: logins by host, as username and password.
    :param git: username and password of the git host that the commit is at; None where it is public.
    """

    mounts: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    registries: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict, repr=False)
    git: tuple[str, str] | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse an id that could not be a file's name.

        :raises InputError: and names it.
        """
        for name in self.mounts:
            if not _ID.fullmatch(name):
                raise InputError(f"Secret id {name!r} cannot be used", way_out="write letters, digits, '.', '_', '-'")


@dataclasses.dataclass(frozen=True, slots=True)
class BuildJob:
    """One build as a Kubernetes Job, whose pod asks the daemon for it.

    :param operation: id of the operation that builds.
    :param committed: when the commit was made, in seconds since the epoch.
    :param namespace: where the Job runs.
    :param image: the image with ``buildctl`` and a shell.
    :param timeout: seconds until nobody waits for it any more; soon afterwards Kubernetes ends it.
    :param cache_tag: tag in the build's repository under which the cache is kept; empty for none.
    :param pod_spec: more of the pod's specification, such as ``nodeSelector`` and ``imagePullSecrets``.
    """

    build: Build
    operation: str
    committed: int
    namespace: str
    image: str
    daemon: Daemon
    secrets: Secrets
    timeout: float
    cache_tag: str = ""
    pod_spec: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """The same for every try of the operation, so that a retry finds what a killed worker left."""
        whole = f"{self.operation}\0{self.build.key}\0{self.build.repository}"
        return f"tke-build-{hashlib.sha256(whole.encode()).hexdigest()[:16]}"

    def manifest(self) -> Manifest:
        """Return the Job. It needs no right in the cluster, and nothing in it is secret."""
        notes = {OPERATION: self.operation, COMMIT: self.build.commit}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": self.name, "namespace": self.namespace, "annotations": notes},
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": int(self.timeout) + _GRACE_SECONDS,
                "ttlSecondsAfterFinished": _AFTER_SECONDS,
                "template": {"metadata": {"annotations": notes}, "spec": self._pod()},
            },
        }

    def secret(self, uid: str) -> Manifest:
        """Return the Secret that the pod mounts; it goes with the Job of this uid."""
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": self.name, "uid": uid}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name, "namespace": self.namespace, "ownerReferences": [owner]},
            "data": {name: base64.b64encode(text.encode()).decode() for name, text in self._files().items()},
        }

    def arguments(self) -> list[str]:
        """Return what ``buildctl`` is told."""
        build = self.build
        words = [*self.daemon.options(), "build", "--progress=plain", "--frontend=dockerfile.v0"]
        words += [f"--opt={name}={value}" for name, value in self._options().items()]
        words += [f"--secret=id={name},src={FILES}/{_mounted(name)}" for name in self.secrets.mounts]
        if self.secrets.git:
            host = urlsplit(build.source).netloc
            words.append(f"--secret=id=GIT_AUTH_HEADER.{host},src={FILES}/git-header")
        words.append(
            f"--output=type=image,name={build.repository}:{build.tag},push=true,oci-mediatypes=true,rewrite-timestamp=true"
        )
        if self.cache_tag:
            kept = f"type=registry,ref={build.repository}:{self.cache_tag}"
            # A cache that cannot be written costs time, not the image.
            words += [f"--import-cache={kept}", f"--export-cache={kept},mode=max,ignore-error=true,image-manifest=true"]
        return words

    def _options(self) -> dict[str, str]:
        build = self.build
        options = {"context": git_context(build), "filename": build.dockerfile}
        options |= {"target": build.target} if build.target else {}
        options |= {"platform": build.platform} if build.platform else {}
        options |= {f"build-arg:{name}": value for name, value in build.build_args.items()}
        # Whatever would tell when it was built tells when the commit was made.
        options["build-arg:SOURCE_DATE_EPOCH"] = str(self.committed)
        options |= {f"label:{name}": value for name, value in build.labels(self.committed).items()}
        options |= {f"attest:{name}": value for name, value in build.attestations.items()}
        return options

    def _pod(self) -> dict[str, Any]:
        beside, user = self.daemon.pod(self.image, self.name), self.daemon.user
        return {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 5,
            **self.pod_spec,
            # No fsGroup: whatever a daemon beside builds would be that group's, in the image, too.
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": user,
                "runAsGroup": user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": beside.get("initContainers", []),
            "containers": [self._client()],
            "volumes": [
                {"name": "secrets", "secret": {"secretName": self.name, "defaultMode": 0o444}},
                {"name": "tmp", "emptyDir": {}},
                *beside.get("volumes", []),
            ],
        }

    def _client(self) -> dict[str, Any]:
        return {
            "name": CONTAINER,
            "image": self.image,
            "command": ["sh", "-c", _SCRIPT, CONTAINER],
            "args": self.arguments(),
            "env": [
                {"name": "DOCKER_CONFIG", "value": FILES},
                *({"name": name, "value": "/tmp"} for name in ("HOME", "TMPDIR")),  # noqa: S108
            ],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            },
            "volumeMounts": [
                {"name": "secrets", "mountPath": FILES, "readOnly": True},
                {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # within the container
                *self.daemon.mounts(),
            ],
        }

    def _files(self) -> dict[str, str]:
        auths = {host: {"auth": _basic(*login)} for host, login in self.secrets.registries.items()}
        files = {"config.json": json.dumps({"auths": auths}), **self.daemon.files()}
        files |= {_mounted(name): value for name, value in self.secrets.mounts.items()}
        if self.secrets.git:
            files["git-header"] = f"basic {_basic(*self.secrets.git)}"
        return files


def check_pod_spec(pod_spec: Mapping[str, Any]) -> None:
    """Refuse what would replace the build's own part of its pod, or open that to the steps of a build.

    :raises InputError: naming what.
    """
    given: object = pod_spec
    if not isinstance(given, Mapping):
        raise InputError("pod_spec is no pod's specification", way_out="pass a dict such as {'nodeSelector': {…}}")
    if ours := sorted(_OURS & set(pod_spec)):
        raise InputError(f"pod_spec has {', '.join(ours)}, which the build itself sets", way_out="leave it out")
    if shared := [name for name in _OPEN if pod_spec.get(name)]:
        raise InputError(
            f"pod_spec has {', '.join(shared)}, by which the steps of a build could read its secrets",
            way_out="leave it out",
        )


def git_context(build: Build) -> str:
    """Return the commit as BuildKit fetches it: this commit, this folder of it, no submodules.

    :raises InputError: when BuildKit would not take it for a git repository, or the folder lies outside of it.
    """
    url = urlsplit(build.source)
    if url.scheme not in {"http", "https"} or not url.path.endswith(".git"):
        raise InputError(
            f"BuildKit cannot fetch from {build.source!r}",
            way_out="write the repository's https URL, ending in .git",
        )
    folder = posixpath.normpath(build.subdirectory)
    if folder.startswith(("../", "/")) or folder == "..":
        raise no_folder(build)
    query = {"ref": build.commit, "submodules": "false"} | ({} if folder == "." else {"subdir": folder})
    return f"{build.source}?{urlencode(query)}"


def _mounted(name: str) -> str:
    return f"secret.{name}"


def _basic(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()
