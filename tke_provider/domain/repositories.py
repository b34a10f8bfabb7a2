"""Image repositories: which images may go. What runs, and what is a way back, never may."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import fnmatch
import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any, TypedDict

from tke_provider.domain.images import split_host
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tke_provider.domain.manifests import Manifest

_INDEXES = ("image.index", "manifest.list")
HELM_RELEASE = "helm.sh/release.v1"
"""The type of the Secrets in which Helm keeps the revisions of its releases."""


class CleanUp(TypedDict):
    """What a clean-up did, or would do, as it lies in XCom.

    :param deleted: tags by digest.
    :param kept: why, by digest.
    """

    repository: str
    dry_run: bool
    deleted: dict[str, list[str]]
    kept: dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class TaggedImage:
    """A tag and what it stands for.

    :param pushed: when that was pushed; None where the registry does not tell in a form that is known.
    :param is_index: whether it is a list of images for several platforms.
    """

    tag: str
    digest: str
    pushed: dt.datetime | None
    is_index: bool

    @classmethod
    def parse(cls, described: Mapping[str, Any]) -> TaggedImage:
        """Read an image as ``DescribeImages`` tells of it."""
        kind = described.get("Kind") or ""
        is_index = any(word in kind for word in _INDEXES)
        return cls(described["ImageVersion"], described["Digest"], _time(described.get("UpdateTime") or ""), is_index)


@dataclasses.dataclass(frozen=True, slots=True)
class Retention:
    """What is kept though nothing uses it.

    :param newest: how many images, by the time of their push.
    :param days: how long after its push.
    :param tags: patterns such as ``v*``.
    """

    newest: int
    days: float
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.newest < 0 or self.days < 0:
            raise InputError(
                f"A clean-up cannot keep the newest {self.newest} images and those of {self.days:g} days",
                way_out="give numbers from 0 up",
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one image, under whichever tags.

    :param why: why it is kept; empty where it goes.
    """

    digest: str
    tags: tuple[str, ...]
    why: str = ""


def plan(
    images: Iterable[TaggedImage],
    uses: Mapping[str, str],
    retention: Retention,
    now: dt.datetime,
    platforms: Mapping[str, Sequence[str]],
) -> list[Fate]:
    """Decide what goes, newest first.

    :param uses: who uses an image, by its digest or by a tag.
    :param platforms: what each list of images leads to: one of them in use keeps the list.
    """
    grouped: dict[str, list[TaggedImage]] = {}
    for image in images:
        grouped.setdefault(image.digest, []).append(image)
    # Of unknown age counts as newest: what cannot be judged is kept.
    ordered = sorted(grouped.items(), key=lambda item: _age(item[1], now))
    fates = []
    for place, (digest, same) in enumerate(ordered):
        tags = tuple(sorted(image.tag for image in same))
        names = (digest, *tags, *platforms.get(digest, ()))
        used = next((uses[name] for name in names if name in uses), "")
        why = used or _spared(tags, place, _age(same, now), retention)
        fates.append(Fate(digest, tags, why))
    return fates


def _spared(tags: Sequence[str], place: int, age: float, retention: Retention) -> str:
    for pattern in retention.tags:
        if any(fnmatch.fnmatchcase(tag, pattern) for tag in tags):
            return f"its tag is like {pattern}"
    if age < 0:
        return "its age is unknown"
    if place < retention.newest:
        return f"it is among the newest {retention.newest}"
    if age < retention.days:
        return f"it is {age:.1f} days old, not yet {retention.days:g}"
    return ""


def _age(same: Sequence[TaggedImage], now: dt.datetime) -> float:
    """Return days since the newest push; -1 where one is unknown."""
    if any(image.pushed is None for image in same):
        return -1.0
    return max(0.0, min((now - image.pushed).total_seconds() for image in same if image.pushed) / 86400)


def _time(text: str) -> dt.datetime | None:
    # ISO 8601, with up to nine digits after the second; in other forms the age counts as unknown.
    head, dot, tail = text.strip().replace("Z", "+00:00").partition(".")
    if dot:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        head = f"{head}.{tail[:digits][:6]:0<6}{tail[digits:]}"
    try:
        read = dt.datetime.fromisoformat(head)
    except ValueError:
        return None
    return read if read.tzinfo else None


def images_in(thing: object) -> Iterator[str]:
    """Yield every image that is named anywhere in an object, whatever its kind.

    Named are the values of ``image`` and of ``imageID``, which is what a node really runs.
    """
    if isinstance(thing, dict):
        for key, value in thing.items():
            if key in {"image", "imageID"} and isinstance(value, str):
                yield value
            else:
                yield from images_in(value)
    elif isinstance(thing, list):
        for each in thing:
            yield from images_in(each)


def name_in(path: str, image: str) -> str:
    """Return the digest or tag by which an image of a repository is named; empty for an image of another one.

    :param path: ``namespace/name``. The registry's host is not looked at, for a registry has several: one for each
        network, and those that its owner gave it.
    :param image: as a pod names it, or as a node reports it.
    """
    whole, _, digest = image.rpartition("://")[2].partition("@")
    named, _, tag = split_host(whole)[1].partition(":")
    # With a tag beside the digest, the digest counts.
    return (digest or tag or "latest") if named == path else ""


def is_helm_release(secret: Manifest) -> bool:
    """Whether a Secret holds one revision of a Helm release."""
    return bool(secret.get("type") == HELM_RELEASE)


def helm_manifests(secret: Manifest) -> str:
    """Return the manifests that a revision of a Helm release made: ``helm rollback`` makes them again.

    :raises InputError: when the Secret cannot be read.
    """
    try:
        # Helm encodes its gzipped JSON once, the cluster the Secret's value again.
        packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
        return str(json.loads(gzip.decompress(packed))["manifest"])
    except (KeyError, ValueError, OSError, EOFError, zlib.error) as error:
        name = f"{secret['metadata']['namespace']}/{secret['metadata']['name']}"
        raise InputError(
            f"Secret {name} says it is a Helm release and cannot be read",
            cause=type(error).__name__,
            way_out="remove it, or leave its namespace out of what is asked",
        ) from error
