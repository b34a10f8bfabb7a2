"""A second version of a Deployment beside the one that serves, and which of the two a Service leads to.

Both match the selector of the Deployment that serves. That does no harm: a controller takes pods and replica sets by
their owner, not by labels alone (https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tke_provider.domain.manifests import ObjectRef, workloads
from tke_provider.exceptions import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tke_provider.domain.manifests import Manifest

TRACK = "tke.airflow/track"
"""Label of a version that is there only while a release goes on: ``canary`` or ``green``."""
HASH = "pod-template-hash"
"""Label that Kubernetes gives the pods of one version of a Deployment."""


_NEEDED = ("ConfigMap", "Secret", "ServiceAccount", "PersistentVolumeClaim")
"""Kinds that pods name, and cannot start without."""


def deployment_of(manifests: Sequence[Manifest], strategy: str) -> Manifest:
    """Return the one Deployment that a second version is made of.

    :raises ManifestError: when there is none, several, or a workload of another kind.
    """
    found = workloads(manifests)
    if [each["kind"] for each in found] != ["Deployment"]:
        named = ", ".join(str(ObjectRef.of(each)) for each in found) or "none"
        raise ManifestError(
            f"A {strategy} release takes one Deployment, and the manifests have {named}",
            way_out="give each Deployment a task of its own, and other workloads to TkeDeployServiceOperator",
        )
    return found[0]


def named(name: str, track: str) -> str:
    """Return how the second version of something is called."""
    return f"{name}-{track}"


def beside(deployment: Manifest, track: str, replicas: int) -> Manifest:
    """Return a Deployment of the same pods under another name, with a label that tells its pods apart."""
    second = copy.deepcopy(deployment)
    second["metadata"]["name"] = named(deployment["metadata"]["name"], track)
    second["spec"]["replicas"] = replicas
    selector, template = second["spec"]["selector"], second["spec"]["template"]
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), TRACK: track}
    for metadata in (second["metadata"], template.setdefault("metadata", {})):
        metadata["labels"] = {**(metadata.get("labels") or {}), TRACK: track}
    return second


def own_service(services: Sequence[Manifest], deployment: Manifest, track: str) -> Manifest | None:
    """Return a Service that leads to the second version alone, with the ports of the first that leads to both.

    None where no Service leads to the pods: there is nothing that could be asked.
    """
    return _own_service(deployment["metadata"]["name"], services[0], deployment, track) if services else None


def own_services(services: Iterable[Manifest], deployment: Manifest, track: str) -> list[Manifest]:
    """Return a Service for each of these that leads to the second version alone, called like it."""
    return [_own_service(each["metadata"]["name"], each, deployment, track) for each in services]


def leading_to(services: Iterable[Manifest], deployment: Manifest) -> list[Manifest]:
    """Return the Services that lead to the Deployment's pods, by name."""
    labels = _labels(deployment).items()
    found = [
        each
        for each in services
        if (selector := (each.get("spec") or {}).get("selector")) and selector.items() <= labels
    ]
    return sorted(found, key=lambda service: str(service["metadata"]["name"]))


def needed(applied: Iterable[Manifest], before: Mapping[ObjectRef, Manifest | None]) -> list[Manifest]:
    """Return what the second version may need to start and the first one cannot know: of those kinds, and new."""
    return [each for each in applied if each["kind"] in _NEEDED and before.get(ObjectRef.of(each)) is None]


def narrowed(service: Manifest, more: Mapping[str, str]) -> Manifest:
    """Return the Service leading to those of its pods only that have these labels too."""
    changed = copy.deepcopy(service)
    changed["spec"]["selector"] = {**changed["spec"]["selector"], **more}
    return changed


def leads(service: Manifest | None, label: str) -> bool:
    """Whether a Service leads only to pods with a certain value of this label."""
    spec = (service or {}).get("spec") or {}
    return label in (spec.get("selector") or {})


def is_second(manifest: Manifest | None) -> bool:
    """Whether an object is there only while a release goes on."""
    return TRACK in ((manifest or {}).get("metadata", {}).get("labels") or {})


def pods_pattern(deployment: str) -> str:
    """Return the regular expression of the names of a Deployment's pods, and of no other's."""
    return f"{deployment}-[a-z0-9]+-[a-z0-9]+"


def _own_service(name: str, service: Manifest, deployment: Manifest, track: str) -> Manifest:
    metadata = {"name": named(name, track), "labels": {TRACK: track}}
    ports = [_port(each) for each in service["spec"].get("ports") or ()]
    labels = {**(deployment["spec"]["selector"].get("matchLabels") or {}), TRACK: track}
    metadata |= {
        each: deployment["metadata"][each] for each in ("annotations", "namespace") if deployment["metadata"].get(each)
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": labels, "ports": ports}}


def _labels(deployment: Manifest) -> dict[str, str]:
    labels: dict[str, str] = (deployment["spec"]["template"].get("metadata") or {}).get("labels") or {}
    return labels


def _port(port: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in port.items() if name != "nodePort"}
