"""The record of a release: written before anything is applied, so that after a crash the way back is known.

Each release of a service has one of its own, numbered, so that a rollback needs nothing but the cluster.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import datetime as dt
import enum
import gzip
import json
import re
import zlib
from typing import TYPE_CHECKING, Any

from tke_provider.domain.manifests import ROLLED_OUT, ObjectRef, annotation, images_of, is_awaited, is_rolled_out
from tke_provider.domain.operations import COMMIT, OPERATION
from tke_provider.exceptions import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tke_provider.domain.diffs import DiffDict
    from tke_provider.domain.manifests import Manifest

TYPE = "tke.airflow/release"
"""The type of the Secret that holds a record: what was live may hold Secrets itself."""
SERVICE = "tke.airflow/service"
"""Label of a record: the service that was released."""
STAGE = "tke.airflow/stage"
HISTORY = 10
"""How many records of a service are kept; the newest good one and the one it would go back to always are."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")
_TIMES = ("started", "finished", "since")
_LISTS = ("applied", "checks", "meanwhile", "ops")
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
    ABANDONED = "abandoned"
    """It died, and a later release took over its way back."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One release of a service.

    :param revision: counts the service's releases in this namespace from 1; 0 for one that has not begun.
    :param op: the operation that releases.
    :param commit: what its images were built from; empty where unknown.
    :param images: the image of each container, as the task was given them.
    :param previous: the images that served before, by ``workload/container``.
    :param started: when it began; a retry keeps it.
    :param finished: when it was found good, or what was before was back; ``None`` until then.
    :param reason: why it was undone; empty until then.
    :param who: who started the run; empty where a schedule did.
    :param approver: who approved it; empty where nobody had to.
    :param checks: what was checked before, a sentence each.
    :param strategy: ``deploy``, ``canary``, ``blue-green`` or ``rollback``.
    :param restores: the revision that a rollback put back; 0 for anything else.
    :param step: how many steps of its strategy are done.
    :param since: since when the present step is up; ``None`` until it is.
    :param diff: what it changes in what was live before, without secrets; ``None`` where an older version wrote it.
    :param before: every object that the release touches as it was live before, or ``None`` where there was none.
    :param applied: every object that it releases, as it is applied: enough to put this release back.
    :param meanwhile: what is there only while the release goes on, as it is applied: such as a canary.
    :param ops: operations whose work an undo takes back beside this one's: crashed ones whose ``before`` it took over.
    :param scale_down_delay: seconds for which a second version outlasts the share that its Ingress gave it.
    :param version: of its Secret when it was read, which a write has to meet; empty for one that is not written yet.
    """

    service: str
    namespace: str
    op: str
    revision: int = 0
    stage: Stage = Stage.APPLYING
    commit: str = ""
    images: Mapping[str, str] = dataclasses.field(default_factory=dict)
    previous: Mapping[str, str] = dataclasses.field(default_factory=dict)
    started: dt.datetime | None = None
    finished: dt.datetime | None = None
    reason: str = ""
    who: str = ""
    approver: str = ""
    checks: tuple[str, ...] = ()
    strategy: str = "deploy"
    restores: int = 0
    step: int = 0
    since: dt.datetime | None = None
    diff: DiffDict | None = None
    before: Mapping[ObjectRef, Manifest | None] = dataclasses.field(default_factory=dict)
    applied: tuple[Manifest, ...] = ()
    meanwhile: tuple[Manifest, ...] = ()
    ops: tuple[str, ...] = ()
    scale_down_delay: float = 0.0
    version: str = dataclasses.field(default="", compare=False)

    @property
    def duration(self) -> float | None:
        """Seconds from its beginning until it was found good, or what was before was back; ``None`` until then."""
        return (self.finished - self.started).total_seconds() if self.finished and self.started else None

    @property
    def digests(self) -> dict[str, str]:
        """The image of each container: as the task was given them, else as the manifests name them."""
        return dict(self.images) or images_of(self.applied)

    def undoes(self, live: Manifest | None) -> bool:
        """Whether a live object still is as this release left it: nobody else has changed it since."""
        if live is None:
            return False
        op = annotation(live, OPERATION)
        return not self.strays(live) if op == self.op else op in self.ops

    def strays(self, live: Manifest) -> list[str]:
        """Return what a live workload runs instead of the images of this release: an edit keeps our annotation."""
        return [
            f"{container} runs {image}"
            for container, image in images_of([live]).items()
            for wanted in [self.images.get(container) or self.images.get(container.partition("/")[2])]
            if wanted and image != wanted
        ]

    def is_taken(self, ref: ObjectRef, live: Manifest | None) -> bool:
        """Whether somebody else changed, or deleted, a workload since this release began."""
        if live is None:
            return ref in self.targets()
        op = annotation(live, OPERATION)
        return (
            bool(self.strays(live)) if op == self.op else op not in {*self.ops, annotation(self.before[ref], OPERATION)}
        )

    def targets(self) -> list[ObjectRef]:
        """Return what is to be live when it is done; all else that it touches is there only meanwhile."""
        return [ObjectRef.of(each) for each in self.applied]

    def workloads(self) -> list[ObjectRef]:
        """Return the workloads that it touches."""
        return [ref for ref in self.before if ref.kind in ROLLED_OUT]

    def awaited(self) -> list[ObjectRef]:
        """Return what is waited for when all is applied: workloads, and Jobs."""
        return [ObjectRef.of(each) for each in self.applied if is_awaited(each)]

    def workloads_before(self) -> list[ObjectRef]:
        """Return the workloads that served before."""
        return [ref for ref, manifest in self.before.items() if manifest and is_rolled_out(manifest)]

    def leases(self) -> list[str]:
        """Return the names of the leases that it holds: of workloads that outlive it."""
        lasting = {*self.targets(), *self.workloads_before()}
        return lease_names(self.service, (ref for ref in self.workloads() if ref in lasting))


def begin(
    previous: Record | None, draft: Record, live: Mapping[ObjectRef, Manifest | None], now: dt.datetime
) -> Record:
    """Return the record of a release that is about to begin.

    A retry keeps what its first try found, and how far it got. A new operation that finds another one unfinished
    takes over what that one had found, because what is live may be half of a release that nobody found good.

    :param previous: the newest record of the service.
    :param draft: what is intended; its revision is yet unknown.
    :param live: the objects to be touched, as they are now.
    """
    before = {ref: as_it_was(manifest) if manifest else None for ref, manifest in live.items()}
    ops, delay = tuple[str, ...](), draft.scale_down_delay
    if previous and has_way_back(previous, draft.op):
        before |= previous.before
        delay = max(delay, previous.scale_down_delay)
        ops = tuple(dict.fromkeys((*previous.ops, previous.op)))
    begun = dataclasses.replace(
        draft,
        revision=previous.revision + 1 if previous else 1,
        previous=images_of(filter(None, before.values())),
        started=now,
        before=before,
        ops=tuple(each for each in ops if each != draft.op),
        scale_down_delay=delay,
    )
    if previous is None or previous.op != draft.op:
        return begun
    again = dataclasses.replace(
        begun, revision=previous.revision, started=previous.started or now, version=previous.version
    )
    if previous.stage is Stage.ROLLED_BACK:
        return again
    meanwhile = draft.meanwhile or previous.meanwhile
    return dataclasses.replace(again, step=previous.step, since=previous.since, meanwhile=meanwhile)


def has_way_back(previous: Record, op: str) -> bool:
    """Whether what this record found before is the way back of a release by an operation, rather than what is live.

    The newest record is an abandoned one only where whoever took it over died before that wrote its own.
    """
    died = previous.stage in {Stage.APPLYING, Stage.UNDOING, Stage.ABANDONED}
    return died or (previous.op, previous.stage) == (op, Stage.LIVE)


def may_write(there: Record, read: Record, changes: Mapping[str, Any]) -> bool:
    """Whether a process may write changes, although another one wrote the record since it was read.

    How far it got may be said again, and no more. An end may be said of what only got further meanwhile.

    :param there: what stands there now.
    :param read: what the process had read.
    """
    if there.op != read.op:
        return False
    if "stage" in changes:
        return there.stage in {read.stage, changes["stage"]}
    return there.stage is read.stage and all(getattr(there, name) == value for name, value in changes.items())


# --- the way back ---------------------------------------------------------------------------------------------------


def last_good(history: Sequence[Record]) -> Record | None:
    """Return the release to go back to: what serves where the newest one did not come up, else the good one before.

    What a rollback left behind once is never gone back to, and a release of the very same is no way back.

    :param history: newest first.
    """
    good = [each for each in history if each.stage is Stage.LIVE]
    if not good or good[0] is not history[0]:
        return good[0] if good else None
    left = {number for each in good if each.restores for number in range(each.restores + 1, each.revision + 1)}
    serves, content = good[0].restores or good[0].revision, _content(good[0])
    earlier = (each for each in good if each.revision < serves and each.revision not in left)
    return next((each for each in earlier if _content(each) != content), None)


def _content(record: Record) -> list[Manifest]:
    """Return what it applied, but for who did so: nothing else tells two releases of the same apart."""
    content = copy.deepcopy(list(record.applied))
    for manifest in content:
        for name in (OPERATION, COMMIT):
            (manifest["metadata"].get("annotations") or {}).pop(name, None)
    return content


def way_back(history: Sequence[Record], revision: int | None = None, digest: str = "") -> Record:
    """Return the release to go back to.

    :param history: newest first.
    :param revision: its number; default: the last good one.
    :param digest: of an image that it ran, instead of its number; the newest such release counts.
    :raises NotFoundError: when there is none, or it was never found good; says which there are.
    """
    good = [each for each in history if each.stage is Stage.LIVE]
    if revision is not None:
        found = next((each for each in good if each.revision == revision), None)
    elif digest:
        found = next((each for each in good if _runs(each, digest)), None)
    else:
        found = last_good(history)
    if found is None:
        wanted = f"with number {revision}" if revision is not None else f"of {digest}" if digest else "before this one"
        there = ", ".join(f"{each.revision} ({each.stage.value}, {each.commit[:12]})" for each in history) or "none"
        raise NotFoundError(
            f"No good release {wanted} is written down", cause=there, way_out="name one that is live, or deploy anew"
        )
    return found


def _runs(record: Record, digest: str) -> bool:
    return any(image.partition("@")[2] == digest.rpartition("@")[2] for image in images_of(record.applied).values())


def serving(history: Sequence[Record]) -> Record | None:
    """Return the newest release that was found good: what serves, unless one is going on.

    :param history: newest first.
    """
    return next((each for each in history if each.stage is Stage.LIVE), None)


def surplus(history: Sequence[Record], limit: int = HISTORY) -> list[Record]:
    """Return the records that may be deleted: beyond the limit, but never what serves, nor what it would go back to.

    :param history: newest first.
    """
    kept = (serving(history), last_good(history))
    return [each for each in history[limit:] if all(each is not good for good in kept)]


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


# --- its Secret -----------------------------------------------------------------------------------------------------


def check_service(service: str) -> str:
    """Return the name of a service, which is a label of its records.

    :raises InputError: when the cluster would not take it.
    """
    if not _NAME.fullmatch(service):
        raise InputError(
            f"A service cannot be named {service!r}", way_out="use up to 63 small letters, digits and dashes"
        )
    return service


def record_of(namespace: str, service: str, revision: int) -> ObjectRef:
    """Return the Secret that holds the record of a release."""
    return ObjectRef("v1", "Secret", namespace, f"tke-release.{service}.v{revision}")


def revision_of(name: str) -> int:
    """Return the revision of the record with this name; 0 for somebody else's Secret."""
    number = name.rpartition(".v")[2]
    return int(number) if number.isdecimal() else 0


def encode(record: Record) -> Manifest:
    """Return the Secret; what is to be read in a hurry stands in its labels and annotations."""
    ref = record_of(record.namespace, record.service, record.revision)
    whole = {field.name: getattr(record, field.name) for field in dataclasses.fields(record) if field.compare}
    whole["before"] = [[dataclasses.asdict(ref), manifest] for ref, manifest in record.before.items()]
    packed = base64.b64encode(gzip.compress(json.dumps(whole, default=dt.datetime.isoformat).encode(), mtime=0))
    return {
        "apiVersion": ref.api_version,
        "kind": ref.kind,
        "type": TYPE,
        "metadata": {
            "name": ref.name,
            "namespace": record.namespace,
            **({"resourceVersion": record.version} if record.version else {}),
            "labels": {"app.kubernetes.io/managed-by": "airflow-provider-tke", SERVICE: record.service},
            "annotations": {OPERATION: record.op, STAGE: record.stage.value},
        },
        "data": {"record": packed.decode()},
    }


def decode(secret: Manifest) -> Record:
    """Read a record from its Secret.

    :raises InputError: when the Secret is none of ours.
    """
    try:
        stored: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(secret["data"]["record"])))
        # Another version of this provider may have written it, with fewer fields or with more.
        whole = {field.name: stored[field.name] for field in dataclasses.fields(Record) if field.name in stored}
        times = {name: dt.datetime.fromisoformat(whole[name]) for name in _TIMES if whole.get(name)}
        lists = {name: tuple(whole[name]) for name in _LISTS if name in whole}
        before = {ObjectRef(**ref): manifest for ref, manifest in whole["before"]}
        version = {"version": secret["metadata"].get("resourceVersion", "")}
        return Record(**{**whole, **times, **lists, **version, "stage": Stage(whole["stage"]), "before": before})
    except (KeyError, TypeError, ValueError, OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{ObjectRef.of(secret)} is no record of a release",
            cause=str(error),
            way_out="delete it: the next release then takes what is live as its way back",
        ) from error
