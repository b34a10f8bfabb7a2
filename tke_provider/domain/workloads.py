"""The short form of a service, and the manifests that high availability needs.

What each field means stands in ``release_spec.schema.json``. What is made of it follows
https://kubernetes.io/docs/concepts/workloads/pods/disruptions/ (budgets),
https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/ (zones) and
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination (ending without losing a request).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping  # noqa: TC003  # read by get_type_hints
from typing import TYPE_CHECKING, Any, Literal

from tke_provider.domain.exposure import Ingress, LoadBalancer, ingress_of, service_of
from tke_provider.domain.pods import PORT, SERVICE, Health, Quantity, Resources, Shutdown, Volume, pod_of

if TYPE_CHECKING:
    from tke_provider.domain.manifests import Manifest

_DEFAULT_CPU = 80
_AUDIENCE = "sts.cloud.tencent.com"
_EXPIRATION = "86400"  # seconds


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaling:
    """The load decides how many pods there are."""

    max: int
    min: int = 2
    cpu: int | None = None
    memory: int | None = None
    metrics: Mapping[str, Quantity] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the pod is to Tencent Cloud, and to the cluster."""

    role: str | None = None
    service_account: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Where Prometheus finds a pod's metrics."""

    path: str = "/metrics"
    port: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """Where the output of a pod is collected to."""

    topic: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The short form of a service."""

    command: tuple[str, ...] | str = ()
    args: tuple[str, ...] | str = ()
    container_port: int = 8080
    replicas: int = 2
    autoscaling: Autoscaling | None = None
    resources: Resources = dataclasses.field(default_factory=Resources)
    health: Health = dataclasses.field(default_factory=Health)
    shutdown: Shutdown = dataclasses.field(default_factory=Shutdown)
    spread: Literal["preferred", "required"] = "preferred"
    env: Mapping[str, str | Mapping[str, str]] = dataclasses.field(default_factory=dict)
    env_from: tuple[str, ...] = ()
    volumes: tuple[Volume, ...] = ()
    identity: Identity | None = None
    metrics: Metrics | None = None
    logs: Logs | None = None
    load_balancer: LoadBalancer | None = None
    ingress: Ingress | None = None
    pull_secrets: tuple[str, ...] = ()
    pod_annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    run_as_root: bool = False

    @property
    def stateful(self) -> bool:
        """Whether each pod has a disk of its own, which makes the service a StatefulSet."""
        return any(volume.per_pod for volume in self.volumes)


def manifests(
    workload: Workload, *, name: str, container: str, port: int, application: str, namespace: str
) -> list[Manifest]:
    """Return the objects of a service, none of which names a namespace: the deploy puts them into its own.

    :param name: of the service, and of its objects.
    :param container: which container the release puts the tested image into.
    :param port: of its Kubernetes Service.
    :param application: which application it is a part of.
    :param namespace: where it is deployed to; only what is not of a namespace needs to know.
    """
    labels = {SERVICE: name, "app.kubernetes.io/part-of": application}
    made = [
        _service_account(workload, name),
        *_claims(workload, name),
        _workload(workload, name, container, labels),
        service_of(workload, name, port),
        _headless(workload, name, port),
        ingress_of(workload, name, port),
        _budget(name),
        _autoscaler(workload, name),
        _logs(workload, name, container, namespace),
    ]
    objects = [each for each in made if each]
    for each in objects:
        each["metadata"]["labels"] = {**labels, **each["metadata"].get("labels", {})}
    return objects


def _workload(workload: Workload, name: str, container: str, labels: dict[str, str]) -> Manifest:
    """Return the Deployment, or, where each pod has a disk of its own, the StatefulSet."""
    annotations = {**_metrics(workload), **workload.pod_annotations}
    metadata: dict[str, Any] = {"labels": labels, **({"annotations": annotations} if annotations else {})}
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {SERVICE: name}},
        "template": {"metadata": metadata, "spec": pod_of(workload, name, container)},
    }
    if workload.autoscaling is None:
        spec["replicas"] = workload.replicas
    if not workload.stateful:
        # Never fewer than the wanted number serve while the new version comes up.
        spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    spec |= {
        "serviceName": f"{name}-pods",
        "podManagementPolicy": "Parallel",
        "volumeClaimTemplates": [
            _claim(each.called, each, "ReadWriteOnce") for each in workload.volumes if each.per_pod
        ],
    }
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec}


def _headless(workload: Workload, name: str, port: int) -> Manifest | None:
    """Return the Service that gives each pod of a StatefulSet a name of its own."""
    if not workload.stateful:
        return None
    spec = {
        "clusterIP": "None",
        "selector": {SERVICE: name},
        "ports": [{"name": PORT, "port": port, "targetPort": PORT}],
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"{name}-pods"}, "spec": spec}


def _claims(workload: Workload, name: str) -> list[Manifest]:
    return [_claim(f"{name}-{each.called}", each, "ReadWriteMany") for each in workload.volumes if each.shared]


def _claim(name: str, volume: Volume, mode: str) -> Manifest:
    spec = {
        "accessModes": [mode],
        "storageClassName": volume.storage_class,
        "resources": {"requests": {"storage": str(volume.size)}},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def _budget(name: str) -> Manifest:
    """Let whoever drains nodes take one pod at a time, and one that does not serve at any time."""
    spec = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": {SERVICE: name}},
    }
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec}


def _autoscaler(workload: Workload, name: str) -> Manifest | None:
    given = workload.autoscaling
    if given is None:
        return None
    aims = {"cpu": given.cpu, "memory": given.memory}
    if not any((*aims.values(), given.metrics)):
        aims["cpu"] = _DEFAULT_CPU
    metrics: list[dict[str, Any]] = [
        {"type": "Resource", "resource": {"name": what, "target": {"type": "Utilization", "averageUtilization": aim}}}
        for what, aim in aims.items()
        if aim
    ]
    metrics += [
        {
            "type": "Pods",
            "pods": {"metric": {"name": what}, "target": {"type": "AverageValue", "averageValue": str(aim)}},
        }
        for what, aim in given.metrics.items()
    ]
    kind = "StatefulSet" if workload.stateful else "Deployment"
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name},
        "minReplicas": given.min,
        "maxReplicas": given.max,
        "metrics": metrics,
    }
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec": spec}


def _service_account(workload: Workload, name: str) -> Manifest | None:
    """Return the account that TKE's pod identity knows (https://www.tencentcloud.com/document/product/457/57285)."""
    identity = workload.identity
    if identity is None or identity.role is None:
        return None
    annotations = {
        "tke.cloud.tencent.com/role-arn": identity.role,
        "tke.cloud.tencent.com/audience": _AUDIENCE,
        "tke.cloud.tencent.com/token-expiration": _EXPIRATION,
    }
    metadata = {"name": identity.service_account or name, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def _metrics(workload: Workload) -> dict[str, str]:
    """Return the annotations that Prometheus' usual configuration for Kubernetes goes by."""
    given = workload.metrics
    if given is None:
        return {}
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/path": given.path,
        "prometheus.io/port": str(given.port or workload.container_port),
    }


def _logs(workload: Workload, name: str, container: str, namespace: str) -> Manifest | None:
    """Return TKE's rule of collection, unique in a cluster: https://www.tencentcloud.com/document/product/457/64846."""
    if workload.logs is None:
        return None
    source = {
        "kind": "statefulset" if workload.stateful else "deployment",
        "namespace": namespace,
        "name": name,
        "container": container,
    }
    spec = {
        "clsDetail": {"topicId": workload.logs.topic, "logType": "minimalist_log"},
        "inputDetail": {
            "type": "container_stdout",
            "containerStdout": {"allContainers": False, "workloads": [source]},
        },
    }
    metadata = {"name": f"{namespace}-{name}"}
    return {"apiVersion": "cls.cloud.tencent.com/v1", "kind": "LogConfig", "metadata": metadata, "spec": spec}
