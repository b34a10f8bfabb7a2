"""Differences: what applying a manifest would change in the live object, for people to read.

Compared are two objects as the cluster has them: the live one, and the answer of a server-side dry run. So defaults,
admission and the fields of other managers are in both, and only what would really change shows.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import re
from typing import TYPE_CHECKING, Any, TypedDict

from tke_provider.domain.manifests import JOB, Manifest, ObjectRef, containers
from tke_provider.domain.operations import COMMIT, FIELD_MANAGER, OPERATION
from tke_provider.domain.releases import as_it_was

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_SECRET_NAME = re.compile(
    r"passw|passphrase|pass$|pwd|secret|token|credential|(api|private|access)[-_]?key", re.IGNORECASE
)
_LOGIN_IN_URL = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
_TICKS = re.compile("`+")
_REST = "see the task's log"
_HIDDEN = "(hidden)"
_HIDDEN_BEFORE = "(hidden, as it was)"
_HIDDEN_AFTER = "(hidden, changed)"
_SHOWN_CHARACTERS = 20_000
_JOBS_OWN = ("batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name")
"""Labels that the cluster writes into each Job, and that are others for each."""


class Change(str, enum.Enum):
    """What becomes of an object."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"
    UNCHANGED = "unchanged"


class ObjectChange(TypedDict):
    """What becomes of one object: ``object`` as in ``Deployment shop/web``, lines added and removed."""

    object: str
    change: str
    added: int
    removed: int


class DiffDict(TypedDict):
    """A diff as it lies in XCom.

    :param counts: how many objects are created, changed, deleted and unchanged.
    :param objects: each that is not unchanged.
    :param markdown: for the body of an approval; cut where it is very long. Values of Secrets are hidden.
    """

    counts: dict[str, int]
    objects: list[ObjectChange]
    markdown: str


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """What becomes of one object.

    :param text: a unified diff without secrets; empty where nothing changes.
    :param strangers: who else wrote to it since we applied it, and which fields, in words; for what is changed.
    """

    ref: ObjectRef
    change: Change
    text: str = ""
    strangers: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Name the object and what is different, and who made it so where that is known."""
        what = "does not exist" if self.change is Change.CREATED else "differs"
        why = f"; {'; '.join(self.strangers)}" if self.strangers else ""
        return f"{self.ref} {what} (+{self.lines('+')} -{self.lines('-')} lines{why})"

    def lines(self, sign: str) -> int:
        """Return how many lines are added (``+``) or removed (``-``)."""
        return sum(line.startswith(sign) for line in self.text.splitlines()[2:])


def difference(live: Manifest | None, wanted: Manifest) -> Difference:
    """Return what becomes of an object.

    :param live: as it is; ``None`` where it does not exist.
    :param wanted: as it would be, as a server-side dry run answered.
    """
    before, after = _cleaned(live), _cleaned(wanted)
    ref = ObjectRef.of(wanted)
    if before == after:
        return Difference(ref, Change.UNCHANGED)
    text = _unified(ref, before, after)
    if live is None:
        return Difference(ref, Change.CREATED, text)
    return Difference(ref, Change.CHANGED, text, tuple(strangers(live, FIELD_MANAGER)))


def deletion(live: Manifest) -> Difference:
    """Return that an object is deleted."""
    ref = ObjectRef.of(live)
    return Difference(ref, Change.DELETED, _unified(ref, _cleaned(live), None))


def summary(differences: Sequence[Difference], rest: str = _REST) -> DiffDict:
    """Return the form for XCom and for records.

    :param rest: where to find what is too long to show.
    """
    return {
        "counts": _counts(differences),
        "objects": [
            {
                "object": str(each.ref),
                "change": each.change.value,
                "added": each.lines("+"),
                "removed": each.lines("-"),
            }
            for each in _changes(differences)
        ],
        "markdown": markdown(differences, rest),
    }


def in_words(differences: Sequence[Difference]) -> str:
    """Return the counts as people say them: ``1 created, 2 changed, 3 unchanged``."""
    return counts_in_words(_counts(differences))


def counts_in_words(counts: Mapping[str, int]) -> str:
    """Return the counts of a :class:`DiffDict` as people say them."""
    return ", ".join(f"{count} {change}" for change, count in counts.items() if count) or "no objects"


def _counts(differences: Sequence[Difference]) -> dict[str, int]:
    return {change.value: sum(each.change is change for each in differences) for change in Change}


def markdown(differences: Sequence[Difference], rest: str = _REST) -> str:
    """Return the diff for people, as Markdown; what does not fit is named, with where to find it."""
    parts, room = [f"{in_words(differences).capitalize()}."], _SHOWN_CHARACTERS
    for each in _changes(differences):
        room -= len(each.text)
        fence = "`" * (1 + max((2, *map(len, _TICKS.findall(each.text)))))
        shown = f"\n{fence}diff\n{each.text}{fence}" if room >= 0 else f" (too long to show; {rest})"
        parts.append(f"**{each.ref}** {each.change.value}{shown}")
    return "\n\n".join(parts)


def strangers(live: Manifest, manager: str) -> list[str]:
    """Return who wrote to an object after the manager applied it last, and which fields, in words.

    Controllers that report through a subresource (status, scale) are none: they do their work.

    :param manager: the field manager whose server-side apply counts.
    """
    entries = live["metadata"].get("managedFields") or []
    applied = max((e.get("time", "") for e in entries if _is_apply(e, manager)), default="")
    return [
        f"{entry['manager']} wrote {', '.join(fields)} at {entry.get('time', 'an unknown time')}"
        for entry in entries
        if entry.get("manager") != manager and not entry.get("subresource") and entry.get("time", "") >= applied
        if (fields := sorted(set(_fields(entry.get("fieldsV1") or {})))[:5])
    ]


def _changes(differences: Iterable[Difference]) -> Iterator[Difference]:
    return (each for each in differences if each.change is not Change.UNCHANGED)


def _is_apply(entry: dict[str, Any], manager: str) -> bool:
    return entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource")


def _fields(owned: dict[str, Any], above: str = "") -> Iterator[str]:
    """Yield the paths of fields that controllers do not write in the course of their work."""
    for key, below in owned.items():
        if not key.startswith(("f:", "k:")):
            continue
        path = f"{above}.{key[2:]}" if key.startswith("f:") else f"{above}[{key[2:]}]"
        if path.startswith((".status", ".metadata.annotations.deployment.kubernetes.io/")):
            continue
        children = [child for child in below if child != "."]
        if not children and path not in {".metadata", ".metadata.annotations", ".metadata.labels"}:
            yield path
        yield from _fields({child: below[child] for child in children}, path)


def _cleaned(manifest: Manifest | None) -> Manifest | None:
    """Return an object without what the cluster, its controllers and every run of ours write."""
    if manifest is None:
        return None
    cleaned = as_it_was(manifest)
    metadata = cleaned["metadata"]
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k not in {OPERATION, COMMIT}}
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    if manifest["kind"] == JOB:
        _drop_labels_of_a_job(cleaned)
    return cleaned


def _drop_labels_of_a_job(job: Manifest) -> None:
    spec = job.get("spec") or {}
    pods = (spec.get("template") or {}).get("metadata") or {}
    for labels in (job["metadata"].get("labels"), pods.get("labels"), (spec.get("selector") or {}).get("matchLabels")):
        for name in _JOBS_OWN:
            (labels or {}).pop(name, None)


def _unified(ref: ObjectRef, before: Manifest | None, after: Manifest | None) -> str:
    _hide_secrets(before, after)
    lines = difflib.unified_diff(_yaml(before), _yaml(after), f"{ref} (live)", f"{ref} (applied)", lineterm="\n")
    return _LOGIN_IN_URL.sub(rf"\1{_HIDDEN}@", "".join(lines))


def _yaml(manifest: Manifest | None) -> list[str]:
    import yaml

    if manifest is None:
        return []

    class Dumper(yaml.SafeDumper):
        """Shows text of several lines as its author wrote it."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return yaml.dump(manifest, Dumper=Dumper, allow_unicode=True, width=120).splitlines(keepends=True)


def _hide_secrets(before: Manifest | None, after: Manifest | None) -> None:
    """Hide every value that is, or is named like, a secret; that one changed still shows."""
    old = {where: holder[key] for where, holder, key in _secrets(before)}
    new = {where: holder[key] for where, holder, key in _secrets(after)}
    for manifest, other, changed in ((before, new, _HIDDEN_BEFORE), (after, old, _HIDDEN_AFTER)):
        for where, holder, key in list(_secrets(manifest)):
            known = where in other
            holder[key] = changed if known and other[where] != holder[key] else _HIDDEN


def _secrets(manifest: Manifest | None) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield where each secret value stands: a name for the place, the mapping that holds it, and its key."""
    if manifest is None:
        return
    for field in ("data", "stringData", "binaryData"):
        holder = manifest.get(field)
        if isinstance(holder, dict) and manifest["kind"] in {"Secret", "ConfigMap"}:
            for key in holder:
                if manifest["kind"] == "Secret" or _SECRET_NAME.search(key):
                    yield f"{field}.{key}", holder, key
    for container in containers(manifest):
        for entry in container.get("env") or ():
            if "value" in entry and _SECRET_NAME.search(str(entry.get("name", ""))):
                yield f"{container['name']}.{entry['name']}", entry, "value"
