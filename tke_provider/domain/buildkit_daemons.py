"""Where BuildKit's daemon runs: somewhere, shared by all builds, or beside its client in the build's own pod.

What a daemon in a pod needs is as BuildKit's own examples have it:
https://github.com/moby/buildkit/tree/master/examples/kubernetes, and …/blob/master/docs/rootless.md.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

FILES = "/run/tke"
"""Where the client finds the build's Secret."""
DAEMON_CONTAINER = "buildkitd"
_SOCKETS = "/run/buildkit"
_CONFIGURATION = "buildkitd.toml"
_NOBODY = 65532  # nobody's, and not root's
_START_SECONDS = 120


@dataclasses.dataclass(frozen=True, slots=True)
class SharedDaemon:
    """A daemon that serves many builds, for whoever shows a certificate.

    :param address: as pods reach it, ``tcp://host:port``.
    :param ca: the certificate of the authority that signed the daemon's, as PEM.
    :param certificate: our certificate, as PEM.
    :param key: the key of our certificate, as PEM.
    """

    address: str
    ca: str
    certificate: str
    key: str = dataclasses.field(repr=False)

    user: ClassVar[int] = _NOBODY
    way_out: ClassVar[str] = "check that it runs, that pods reach it, and that it knows our certificate; then retry"

    def options(self) -> list[str]:
        """Return how ``buildctl`` reaches it."""
        files = {"tlscacert": "ca.pem", "tlscert": "client.pem", "tlskey": "client-key.pem"}
        return [f"--addr={self.address}", "--timeout=30", *(f"--{n}={FILES}/{file}" for n, file in files.items())]

    def files(self) -> dict[str, str]:
        """Return what the build's Secret needs for that."""
        return {"ca.pem": self.ca, "client.pem": self.certificate, "client-key.pem": self.key}

    def mounts(self) -> list[dict[str, Any]]:
        """Return what the client's container needs for that."""
        return []

    def pod(self, image: str, secret: str) -> dict[str, Any]:  # noqa: ARG002  # as that of the other kind
        """Return what the pod has for the daemon: nothing."""
        return {}


@dataclasses.dataclass(frozen=True, slots=True)
class PodDaemon:
    """A daemon for one build, beside its client in a sidecar container; it begins with an empty cache.

    :param rootless: run it as user 1000 in a user namespace, by an image such as ``moby/buildkit:rootless``; else as
        root in a privileged container, which is root on the node.
    :param configuration: text of its ``buildkitd.toml``; empty for none.
    :param resources: of its container, as Kubernetes has them.
    """

    rootless: bool
    configuration: str = ""
    resources: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    address: ClassVar[str] = f"unix://{_SOCKETS}/buildkitd.sock"
    way_out: ClassVar[str] = "retry; if it happens again, look at the container buildkitd of the pod, and at its memory"

    @property
    def user(self) -> int:
        """Who the client has to be to be let in: that image's user owns the socket."""
        return 1000 if self.rootless else _NOBODY

    def options(self) -> list[str]:
        """Return how ``buildctl`` reaches it."""
        return [f"--addr={self.address}"]

    def files(self) -> dict[str, str]:
        """Return what the build's Secret needs for that: its configuration lies there, for it may tell of mirrors."""
        return {_CONFIGURATION: self.configuration} if self.configuration else {}

    def mounts(self) -> list[dict[str, Any]]:
        """Return what the client's container needs for that."""
        return [{"name": "sockets", "mountPath": _SOCKETS}]

    def pod(self, image: str, secret: str) -> dict[str, Any]:
        """Return what the pod has for the daemon: a container that starts before the client, and is ended after it.

        :param image: with ``buildkitd`` and ``buildctl``.
        :param secret: the build's, of which the daemon sees its configuration alone.
        """
        volumes: list[dict[str, Any]] = [{"name": "sockets", "emptyDir": {}}, {"name": "state", "emptyDir": {}}]
        if self.configuration:
            items = [{"key": _CONFIGURATION, "path": _CONFIGURATION}]
            volumes.append({"name": "configuration", "secret": {"secretName": secret, "items": items}})
        return {"initContainers": [self._container(image)], "volumes": volumes}

    def _container(self, image: str) -> dict[str, Any]:
        state = "/home/user/.local/share/buildkit" if self.rootless else "/var/lib/buildkit"
        mounts = [*self.mounts(), {"name": "state", "mountPath": state}]
        if self.configuration:
            mounts.append({"name": "configuration", "mountPath": "/etc/tke", "readOnly": True})
        return {
            "name": DAEMON_CONTAINER,
            "image": image,
            "command": self._command(),
            # An init container that keeps running is a sidecar: it does not keep the Job from its end.
            "restartPolicy": "Always",
            "startupProbe": {
                "exec": {"command": ["buildctl", f"--addr={self.address}", "debug", "workers"]},
                "periodSeconds": 1,
                "timeoutSeconds": 5,
                "failureThreshold": _START_SECONDS,
            },
            # Its last words stand in the pod's status when it does not start.
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "resources": dict(self.resources),
            "securityContext": self._security(),
            "volumeMounts": mounts,
        }

    def _command(self) -> list[str]:
        told = [f"--addr={self.address}"]
        told += [f"--config=/etc/tke/{_CONFIGURATION}"] if self.configuration else []
        if self.rootless:
            # Without it each step mounts a /proc of its own, which Kubernetes does not let it.
            return ["rootlesskit", "buildkitd", *told, "--oci-worker-no-process-sandbox"]
        return ["buildkitd", *told, f"--group={self.user}"]

    def _security(self) -> dict[str, Any]:
        if not self.rootless:
            return {"privileged": True, "runAsUser": 0, "runAsGroup": 0, "runAsNonRoot": False}
        unconfined = {"type": "Unconfined"}
        # newuidmap is setuid, and makes the user namespace in which everything else happens.
        return {"allowPrivilegeEscalation": True, "seccompProfile": unconfined, "appArmorProfile": unconfined}


Daemon = SharedDaemon | PodDaemon
