"""The record of a release: written before anything is applied, so that after a crash the way back is known."""

from __future__ import annotations

import base64
import copy
import dataclasses
import enum
import gzip
import json
from typing import TYPE_CHECKING, Any

from tke_provider.domain.manifests import ROLLED_OUT, ObjectRef, annotation, images_of, is_rolled_out
from tke_provider.domain.operations import OPERATION
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tke_provider.domain.manifests import Manifest

TYPE = "tke.airflow/release"
"""The type of the Secret that holds a record: what was live may hold Secrets itself."""
_KEPT = {"Namespace", "CustomResourceDefinition", "PersistentVolumeClaim", "PersistentVolume"}
"""Kinds that take others' data with them, so they are never deleted to undo a release."""
_CLUSTERS_OWN = ("creationTimestamp", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "uid")
_CONTROLLERS_OWN = (
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
    "kubectl.kubernetes.io/last-applied-configuration",
)


class Stage(str, enum.Enum):
    """How far a release got."""

    APPLYING = "applying"
    """Intended, perhaps in part applied, not yet found good."""
    LIVE = "live"
    """Found good."""
    UNDOING = "undoing"
    """Found bad; what was there before is being put back."""
    ROLLED_BACK = "rolled-back"
    """What was there before is back."""


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One release of a service.

    :param op: the operation that releases.
    :param before: every object that the release touches as it was live before, or ``None`` where there was none.
    :param ops: operations whose work an undo takes back: this one, and crashed ones whose ``before`` it took over.
    :param reason: why it was undone; empty until then.
    """

    op: str
    stage: Stage
    commit: str
    images: Mapping[str, str]
    before: Mapping[ObjectRef, Manifest | None]
    ops: tuple[str, ...] = ()
    reason: str = ""

    def undoes(self, live: Manifest | None) -> bool:
        """Whether a live object still is as this release left it: nobody else has changed it since."""
        if live is None:
            return False
        op = annotation(live, OPERATION)
        return not self.strays(live) if op == self.op else op in self.ops

    def strays(self, live: Manifest) -> list[str]:
        """Return what a live workload runs instead of the images of this release: an edit keeps our annotation."""
        running = images_of([live])
        return [
            f"{container} runs {image}"
            for container, image in running.items()
            for wanted in [self.images.get(container) or self.images.get(container.partition("/")[2])]
            if wanted and image != wanted
        ]

    def workloads(self) -> list[ObjectRef]:
        """Return the workloads that it touches."""
        return [ref for ref in self.before if ref.kind in ROLLED_OUT]

    def workloads_before(self) -> list[ObjectRef]:
        """Return the workloads that served before."""
        return [ref for ref, manifest in self.before.items() if manifest and is_rolled_out(manifest)]


def begin(
    previous: Record | None, op: str, commit: str, images: Mapping[str, str], live: Mapping[ObjectRef, Manifest | None]
) -> Record:
    """Return the record of a release that is about to begin.

    A retry keeps what its first try found. A new operation that finds another one unfinished takes over what that
    one had found, because what is live may be half of a release that nobody found good.

    :param previous: the record that is there.
    :param live: the objects to be touched, as they are now.
    """
    before = {ref: as_it_was(manifest) if manifest else None for ref, manifest in live.items()}
    ops: tuple[str, ...] = ()
    if previous and (previous.stage in {Stage.APPLYING, Stage.UNDOING} or _is_retry(previous, op)):
        before |= previous.before
        ops = tuple(dict.fromkeys((*previous.ops, previous.op)))
    return Record(op, Stage.APPLYING, commit, images, before, tuple(each for each in ops if each != op))


def _is_retry(previous: Record, op: str) -> bool:
    return previous.op == op and previous.stage is Stage.LIVE


def as_it_was(live: Manifest) -> Manifest:
    """Return what has to be applied to get the live object back: all but what the cluster writes itself."""
    manifest = copy.deepcopy(live)
    manifest.pop("status", None)
    for field in _CLUSTERS_OWN:
        manifest["metadata"].pop(field, None)
    annotations = manifest["metadata"].get("annotations") or {}
    for name in _CONTROLLERS_OWN:
        annotations.pop(name, None)
    return manifest


def lease_names(service: str, workloads: Iterable[ObjectRef]) -> list[str]:
    """Return the names under which leases are taken: the workloads', as scalers do, or the service's without any."""
    return sorted({ref.name for ref in workloads}) or [service]


def may_delete(ref: ObjectRef) -> bool:
    """Whether an undo may delete such an object, given that the release created it."""
    return ref.kind not in _KEPT


def record_of(namespace: str, service: str) -> ObjectRef:
    """Return the Secret that holds a service's record."""
    return ObjectRef("v1", "Secret", namespace, f"tke-release.{service}")


def encode(record: Record, namespace: str, service: str) -> Manifest:
    """Return the Secret; what is to be read in a hurry stands in its labels and annotations."""
    ref = record_of(namespace, service)
    whole = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    whole["before"] = [[dataclasses.asdict(ref), manifest] for ref, manifest in record.before.items()]
    packed = base64.b64encode(gzip.compress(json.dumps(whole).encode(), mtime=0)).decode()
    return {
        "apiVersion": ref.api_version,
        "kind": ref.kind,
        "type": TYPE,
        "metadata": {
            "name": ref.name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "airflow-provider-tke"},
            "annotations": {OPERATION: record.op, "tke.airflow/stage": record.stage.value},
        },
        "data": {"record": packed},
    }


def decode(secret: Manifest | None) -> Record | None:
    """Read a record from its Secret; ``None`` where there is no Secret.

    :raises InputError: when the Secret is none of ours.
    """
    if secret is None:
        return None
    try:
        whole: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(secret["data"]["record"])))
        before = {ObjectRef(**ref): manifest for ref, manifest in whole.pop("before")}
        return Record(**{**whole, "stage": Stage(whole["stage"]), "ops": tuple(whole["ops"]), "before": before})
    except (KeyError, TypeError, ValueError, OSError, EOFError) as error:
        raise InputError(
            f"{ObjectRef.of(secret)} is no record of a release",
            cause=str(error),
            way_out="delete it: the next release then takes what is live as its way back",
        ) from error
