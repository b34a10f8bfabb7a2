"""Images: named by repository and digest; a tag is only how people find them."""

from __future__ import annotations

import dataclasses
import re
from typing import TypedDict

from tke_provider.exceptions import InputError

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
            repository, _, digest = value.strip().partition("@")
            return cls(repository, digest)
        try:
            return cls(value["repository"], value["digest"], value.get("commit", ""))
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{value!r} is no image",
                way_out="pass what the build task returned: a dict with repository, digest and commit",
            ) from error


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
