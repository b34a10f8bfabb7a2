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
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from tke_provider.domain.build_failures import no_folder
from tke_provider.domain.operations import COMMIT, OPERATION
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tke_provider.domain.images import Build
    from tke_provider.domain.manifests import Manifest

CONTAINER = "buildctl"
_FILES = "/run/tke"
_USER = 65532  # nobody's, and not root's
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_AFTER_SECONDS = 300
"""What is left of a build whose worker has gone disappears this long after it ended, its Secret with it."""
# Arguments reach buildctl as they are. The shell passes on that it is to stop, and what it was told about the image.
_SCRIPT = """trap 'kill $!; wait $!' TERM
buildctl "$@" --metadata-file=/tmp/metadata.json & wait $! && cat /tmp/metadata.json > /dev/termination-log"""


@dataclasses.dataclass(frozen=True, slots=True)
class Daemon:
    """Where ``buildkitd`` answers, and how to be let in.

    :param address: as pods reach it, ``tcp://host:port``.
    :param ca: the certificate of the authority that signed the daemon's, as PEM.
    :param certificate: our certificate, as PEM.
    :param key: the key of our certificate, as PEM.
    """

    address: str
    ca: str
    certificate: str
    key: str = dataclasses.field(repr=False)


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
    :param timeout: seconds until Kubernetes ends it.
    :param cache_tag: tag in the build's repository under which the cache is kept; empty for none.
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
                "activeDeadlineSeconds": int(self.timeout),
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
        build, daemon = self.build, self.daemon
        files = {"tlscacert": "ca.pem", "tlscert": "client.pem", "tlskey": "client-key.pem"}
        words = [f"--addr={daemon.address}", "--timeout=30", *(f"--{n}={_FILES}/{file}" for n, file in files.items())]
        words += ["build", "--progress=plain", "--frontend=dockerfile.v0"]
        words += [f"--opt={name}={value}" for name, value in self._options().items()]
        words += [f"--secret=id={name},src={_FILES}/{_mounted(name)}" for name in self.secrets.mounts]
        if self.secrets.git:
            host = urlsplit(build.source).netloc
            words.append(f"--secret=id=GIT_AUTH_HEADER.{host},src={_FILES}/git-header")
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
        container = {
            "name": CONTAINER,
            "image": self.image,
            "command": ["sh", "-c", _SCRIPT, CONTAINER],
            "args": self.arguments(),
            "env": [{"name": "DOCKER_CONFIG", "value": _FILES}, {"name": "HOME", "value": "/tmp"}],  # noqa: S108
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            },
            "volumeMounts": [
                {"name": "secrets", "mountPath": _FILES, "readOnly": True},
                {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # within the container
            ],
        }
        return {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 5,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "fsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [
                {"name": "secrets", "secret": {"secretName": self.name, "defaultMode": 0o440}},
                {"name": "tmp", "emptyDir": {}},
            ],
        }

    def _files(self) -> dict[str, str]:
        auths = {host: {"auth": _basic(*login)} for host, login in self.secrets.registries.items()}
        files = {"config.json": json.dumps({"auths": auths}), "ca.pem": self.daemon.ca}
        files |= {"client.pem": self.daemon.certificate, "client-key.pem": self.daemon.key}
        files |= {_mounted(name): value for name, value in self.secrets.mounts.items()}
        if self.secrets.git:
            files["git-header"] = f"basic {_basic(*self.secrets.git)}"
        return files


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
