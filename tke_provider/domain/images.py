"""Images: named by repository and digest; a tag is only how people find them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import re
from typing import TYPE_CHECKING, TypedDict

from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

REVISION = "org.opencontainers.image.revision"
"""Label: the commit that an image was built from (OCI image specification, annotations)."""
SOURCE = "org.opencontainers.image.source"
"""Label: the repository that the commit is in (the same)."""
CREATED = "org.opencontainers.image.created"
"""Label: when the commit was made, as RFC 3339 has it (the same): equal for every build of the commit."""
ATTESTATIONS = frozenset({"provenance", "sbom"})
"""What a builder can say about an image, beside it in the registry."""
BUILD_KEY = "tke.airflow/build-key"
"""Label: everything that went into the build, as one hash; see :attr:`Build.key`."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Grammar of the distribution specification: host[:port]/path components of lower-case letters and digits.
_REPOSITORY = re.compile(
    r"(?P<host>[A-Za-z0-9.-]+(?::\d+)?)/(?P<path>[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
    r"(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)"
)


class ImageDict(TypedDict):
    """An image as it lies in XCom."""

    repository: str
    digest: str
    commit: str


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """One image that can never be mistaken for another.

    :param repository: registry host and path, without tag.
    :param digest: ``sha256:`` and 64 hexadecimal digits.
    :param commit: the full commit SHA that it was built from; empty where unknown.
    """

    repository: str
    digest: str
    commit: str = ""

    def __post_init__(self) -> None:
        check_repository(self.repository)
        if not _DIGEST.fullmatch(self.digest):
            raise InputError(
                f"Image {self.repository} is named by {self.digest!r}, which is no digest",
                way_out="pass the value returned by the build task, or sha256: and 64 hexadecimal digits",
            )

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"

    @property
    def host(self) -> str:
        """The registry, with its port if it has one."""
        return self.repository.partition("/")[0]

    @property
    def path(self) -> str:
        """The repository within the registry."""
        return self.repository.partition("/")[2]

    def as_dict(self) -> ImageDict:
        """Return the form for XCom."""
        return {"repository": self.repository, "digest": self.digest, "commit": self.commit}

    @classmethod
    def parse(cls, value: Image | ImageDict | str) -> Image:
        """Read an image from XCom (a dict) or from ``repository@sha256:…``.

        :raises InputError: when it is named by a tag, or by nothing: deploy what a build task returned.
        """
        if isinstance(value, Image):
            return value
        if isinstance(value, str):
            repository, at, digest = value.strip().partition("@")
            if not at:
                raise InputError(
                    f"Image {value!r} is named without a digest", way_out="pass what a build task returned"
                )
            return cls(repository, digest)
        try:
            return cls(value["repository"], value["digest"], value.get("commit", ""))
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{value!r} is no image",
                way_out="pass what the build task returned: a dict with repository, digest and commit",
            ) from error


@dataclasses.dataclass(frozen=True, slots=True)
class Build:
    """What goes into an image.

    :param repository: where the image goes: registry host and path, without tag.
    :param commit: the full commit SHA; empty for a folder that is no commit.
    :param source: URL of the git repository, without credentials; empty for a folder on the worker, whose content
        no commit vouches for.
    :param subdirectory: folder within the source that the build sees.
    :param dockerfile: path within ``subdirectory``.
    :param build_args: values of the Dockerfile's ``ARG`` lines. They stay readable in the image: no secrets.
    :param target: the stage to build; empty for the last.
    :param platform: such as ``linux/arm64``, several separated by commas; empty for the builder's own.
    :param attestations: what the builder is to say about the image beside it: ``provenance`` or ``sbom``, and how.
    """

    repository: str
    commit: str = ""
    source: str = ""
    subdirectory: str = "."
    dockerfile: str = "Dockerfile"
    build_args: Mapping[str, str] = dataclasses.field(default_factory=dict)
    target: str = ""
    platform: str = ""
    attestations: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_repository(self.repository)
        if self.commit or self.source:
            check_commit(self.commit)
        if unknown := sorted(self.attestations.keys() - ATTESTATIONS):
            raise InputError(
                f"attestations has {', '.join(unknown)}", way_out=f"write one of {', '.join(sorted(ATTESTATIONS))}"
            )

    @property
    def key(self) -> str:
        """One hash of commit and inputs: two builds with the same key make the same thing.

        A folder on the worker may have changed without any of these changing, so its key names it and proves
        nothing.
        """
        inputs = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del inputs["repository"]  # the same build pushed elsewhere is the same build
        inputs |= {"build_args": dict(self.build_args), "attestations": dict(self.attestations)}
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()

    @property
    def tag(self) -> str:
        """The tag that people, and the next build of the same inputs, find the image by."""
        return f"{self.commit[:12] if self.source else 'local'}-{self.key[:8]}"

    def labels(self, created: int) -> dict[str, str]:
        """Return the image's labels.

        :param created: when the commit was made, in seconds since the epoch; of what is no commit, when it is built.
        """
        when = dt.datetime.fromtimestamp(created, dt.timezone.utc).isoformat()
        labels = {REVISION: self.commit, SOURCE: self.source, CREATED: when, BUILD_KEY: self.key}
        return {name: value for name, value in labels.items() if value}

    def is_origin_of(self, labels: Mapping[str, str]) -> bool:
        """Whether an image with these labels came from this very build, whoever set the tag it was found by."""
        return bool(self.source) and labels.get(BUILD_KEY) == self.key


def is_for_platform(asked: str, made: str) -> bool:
    """Whether an image of one platform is of the one that was asked for, such as ``linux/arm64``.

    :param made: with its variant, where it has one; one that was not asked for is as good as another.
    """
    names = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}
    wanted, found = ([names.get(part, part) for part in each.lower().split("/")] for each in (asked, made))
    # One word is an architecture; of the systems, an engine builds for its own.
    wanted = wanted if len(wanted) > 1 else [found[0], *wanted]
    return all(part == other for part, other in zip(wanted, found, strict=False))


def release_tag(image: Image) -> str:
    """Return the tag of a promoted image: commit and digest, so that no two images ever want the same one."""
    return "-".join(part for part in (image.commit[:12], image.digest.removeprefix("sha256:")[:12]) if part)


def split_host(name: str) -> tuple[str, str]:
    """Return the registry's host, empty where none is named, and the rest of an image's or repository's name."""
    first, _, rest = name.partition("/")
    return (first, rest) if rest and ("." in first or ":" in first or first == "localhost") else ("", name)


def check_repository(repository: str) -> None:
    """Refuse a repository that no registry would take.

    :raises InputError: when the registry's host or the path is missing or malformed.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise InputError(
            f"{repository!r} is no image repository",
            way_out="write host/namespace/name in lower case and without a tag, as in demo.tencentcloudcr.com/test/web",
        )


def check_commit(commit: str) -> None:
    """Refuse anything but a full commit SHA, because a branch or a short SHA may mean something else tomorrow.

    :raises InputError: when it is not 40 (or 64) hexadecimal digits.
    """
    if not _COMMIT.fullmatch(commit):
        raise InputError(
            f"{commit!r} is no full commit SHA", way_out="pass all 40 digits, as `git rev-parse HEAD` prints them"
        )
