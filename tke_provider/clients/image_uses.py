"""Which images a cluster uses, now or on a way back: what a clean-up of their repository must leave alone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import yaml

from tke_provider.domain.releases import SERVICE, decode
from tke_provider.domain.repositories import HELM_RELEASE, helm_manifests, images_in, is_helm_release, name_in
from tke_provider.exceptions import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tke_provider.clients.kubernetes import Cluster, Objects
    from tke_provider.domain.manifests import Manifest

# ReplicaSets and ControllerRevisions are where `kubectl rollout undo` goes back to.
_KINDS = (
    ("v1", "Pod"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "ControllerRevision"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
)
# Of a cluster's Secrets only those are asked for that hold releases: ours, and Helm's.
_OURS = "app.kubernetes.io/managed-by=airflow-provider-tke"
_HELMS = f"type={HELM_RELEASE}"


async def image_uses(cluster: Cluster, path: str, namespaces: Sequence[str] = ()) -> dict[str, str]:
    """Return who uses the images of a repository, by the digest or tag that they are named by.

    Looked at are pods and everything that makes pods, with the revisions that it could go back to; the records of our
    releases; and the revisions of Helm releases.

    :param path: ``namespace/name``, of whichever registry.
    :param namespaces: where to look; default: everywhere.
    :raises ForbiddenError: when the connection may not list one of these kinds. Secrets are among them.
    :raises InputError: when a record of a release cannot be read: what it needs would not be known.
    """
    uses: dict[str, str] = {}
    for namespace in namespaces or ("",):
        things: Objects = []
        for api_version, kind in _KINDS:
            with contextlib.suppress(NotFoundError):  # the cluster serves no such kind
                things += await cluster.list(api_version, kind, namespace)
        things += await cluster.list("v1", "Secret", namespace, label_selector=_OURS)
        things += await cluster.list("v1", "Secret", namespace, field_selector=_HELMS)
        for thing in things:
            for image in _images(thing):
                if named := name_in(path, image):
                    uses.setdefault(named, _sentence(cluster, thing))
    return uses


def _sentence(cluster: Cluster, thing: Manifest) -> str:
    verb = "goes back to" if thing["kind"] == "Secret" else "uses"
    return f"{thing['kind']} {thing['metadata']['namespace']}/{thing['metadata']['name']} of {cluster.name} {verb} it"


def _images(thing: Manifest) -> Iterator[str]:
    if thing["kind"] != "Secret":
        yield from images_in(thing)
    elif is_helm_release(thing):
        try:
            for manifest in yaml.safe_load_all(helm_manifests(thing)):
                yield from images_in(manifest)
        except yaml.YAMLError as error:
            raise InputError(
                f"Helm release {thing['metadata']['name']} holds manifests that are not YAML",
                way_out="leave its namespace out of what is asked",
            ) from error
    elif SERVICE in (thing["metadata"].get("labels") or {}):
        record = decode(thing)
        yield from (*record.images.values(), *record.previous.values())
        yield from images_in([*record.before.values(), *record.applied, *record.meanwhile])
