"""The pod of a service's short form: what it runs, how it is asked, how it ends, what it may use."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from tke_provider.domain.workloads import Workload

Quantity: TypeAlias = str | int | float
"""An amount as Kubernetes writes it: ``250m``, ``128Mi``, ``2``."""
PORT = "main"
"""What the port is called that the program listens on."""
_ZONE = "topology.kubernetes.io/zone"
_NODE = "kubernetes.io/hostname"
_STARTUP_PERIOD = 2  # seconds
SERVICE = "app.kubernetes.io/name"
"""Label: which service a pod belongs to."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one pod asks for, and may use."""

    cpu: Quantity = "100m"
    memory: Quantity = "128Mi"
    cpu_limit: Quantity | None = None
    memory_limit: Quantity | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How to ask whether a pod serves."""

    path: str = "/healthz"
    live_path: str | None = None
    grpc: bool = False
    tcp: bool = False
    command: tuple[str, ...] | str = ()
    startup: int = 60


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """How a pod ends."""

    drain: int = 5
    drain_command: tuple[str, ...] | str = ()
    grace: int = 30


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """What is mounted at a path."""

    path: str
    name: str | None = None
    size: Quantity | None = None
    storage_class: str = "cbs"
    shared: bool = False
    claim: str | None = None
    secret: str | None = None
    config: str | None = None
    memory: Quantity | None = None

    @property
    def called(self) -> str:
        """How pods call it: its name, or what its path makes one of."""
        return self.name or "-".join(part for part in self.path.lower().replace(".", "-").split("/") if part) or "root"

    @property
    def per_pod(self) -> bool:
        """Whether each pod gets one of its own."""
        return self.size is not None and not self.shared


def words(given: tuple[str, ...] | str) -> list[str]:
    """Return a command as a list, split as a shell would."""
    return shlex.split(given) if isinstance(given, str) else list(given)


def pod_of(workload: Workload, name: str, container: str) -> dict[str, Any]:
    """Return the pod's specification."""
    spec: dict[str, Any] = {
        "containers": [_container(workload, container)],
        "terminationGracePeriodSeconds": workload.shutdown.drain + workload.shutdown.grace,
        "topologySpreadConstraints": [
            _spread(name, _ZONE, required=workload.spread == "required"),
            _spread(name, _NODE, required=False),
        ],
        "automountServiceAccountToken": workload.identity is not None,
        "securityContext": {"runAsNonRoot": not workload.run_as_root, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    if workload.identity:
        spec["serviceAccountName"] = workload.identity.service_account or name
    if workload.pull_secrets:
        spec["imagePullSecrets"] = [{"name": each} for each in workload.pull_secrets]
    if volumes := [_volume(each, name) for each in workload.volumes if not each.per_pod]:
        spec["volumes"] = volumes
    return spec


def _container(workload: Workload, name: str) -> dict[str, Any]:
    resources = workload.resources
    limits = {"memory": str(resources.memory_limit or resources.memory)}
    if resources.cpu_limit:
        limits["cpu"] = str(resources.cpu_limit)
    container = {
        "name": name,
        "image": name,  # the release puts the tested digest here
        "command": words(workload.command),
        "args": words(workload.args),
        "ports": [{"name": PORT, "containerPort": workload.container_port}],
        "env": [{"name": key, **_variable(value)} for key, value in workload.env.items()],
        "envFrom": [{"secretRef": {"name": each}} for each in workload.env_from],
        "volumeMounts": [{"name": each.called, "mountPath": each.path} for each in workload.volumes],
        "resources": {"requests": {"cpu": str(resources.cpu), "memory": str(resources.memory)}, "limits": limits},
        "lifecycle": _lifecycle(workload.shutdown),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **_probes(workload),
    }
    return {key: value for key, value in container.items() if value not in ([], {})}


def _probes(workload: Workload) -> dict[str, Any]:
    """Return the questions: as long as it starts, only the first is asked."""
    health = workload.health
    ready, live = (_question(health, path, workload.container_port) for path in (health.path, health.live_path))
    tries = -(-health.startup // _STARTUP_PERIOD)
    return {
        "startupProbe": {**ready, "periodSeconds": _STARTUP_PERIOD, "timeoutSeconds": 2, "failureThreshold": tries},
        "readinessProbe": {**ready, "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 2},
        # Slow to conclude: a restart under load makes the load of the others worse.
        "livenessProbe": {**live, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
    }


def _question(health: Health, path: str | None, port: int) -> dict[str, Any]:
    if health.command:
        return {"exec": {"command": words(health.command)}}
    if health.grpc:
        return {"grpc": {"port": port}}  # takes no name
    if health.tcp:
        return {"tcpSocket": {"port": PORT}}
    return {"httpGet": {"path": path or health.path, "port": PORT}}


def _lifecycle(shutdown: Shutdown) -> dict[str, Any]:
    """Let the pod serve on while routers and load balancers learn that it is going."""
    if shutdown.drain_command:
        return {"preStop": {"exec": {"command": words(shutdown.drain_command)}}}
    return {"preStop": {"sleep": {"seconds": shutdown.drain}}} if shutdown.drain else {}


def _spread(name: str, topology: str, *, required: bool) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": topology,
        "whenUnsatisfiable": "DoNotSchedule" if required else "ScheduleAnyway",
        "labelSelector": {"matchLabels": {SERVICE: name}},
        # Each version by itself: the old one, which is going, does not count.
        "matchLabelKeys": ["pod-template-hash"],
    }


def _variable(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"value": value}
    kind, name = ("secretKeyRef", value["secret"]) if "secret" in value else ("configMapKeyRef", value["config"])
    return {"valueFrom": {kind: {"name": name, "key": value["key"]}}}


def _volume(volume: Volume, service: str) -> dict[str, Any]:
    source: dict[str, Any]
    if volume.secret:
        source = {"secret": {"secretName": volume.secret}}
    elif volume.config:
        source = {"configMap": {"name": volume.config}}
    elif volume.memory:
        source = {"emptyDir": {"medium": "Memory", "sizeLimit": str(volume.memory)}}
    else:
        source = {"persistentVolumeClaim": {"claimName": volume.claim or f"{service}-{volume.called}"}}
    return {"name": volume.called, **source}
