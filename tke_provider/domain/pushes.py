"""Pushes: what arrived at a git host or a registry, and whether anybody wants it built."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!\d+/|//)(.+)")
FIELDS = ("repository", "commit", "branch", "tag", "digest")
"""What a parameter of a DAG can be filled with."""


@dataclasses.dataclass(frozen=True, slots=True)
class Push:
    """One new head of a branch, one new tag, or one new image.

    :param urls: every address that the sender gives the repository; for an image ``host/namespace/name``.
    :param branch: empty for a tag or an image.
    :param tag: of the commit, or of the image.
    :param commit: full SHA; empty for an image.
    :param digest: of the image; empty for a commit.
    :param paths: files that changed, or ``None`` where the sender does not list all of them.
    """

    urls: tuple[str, ...]
    branch: str = ""
    tag: str = ""
    commit: str = ""
    digest: str = ""
    paths: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        :raises InputError: when commit or digest are not what they should be. What the sender wrote is not quoted.
        """
        if not (self.digest or _SHA.fullmatch(self.commit)) or (self.digest and not _DIGEST.fullmatch(self.digest)):
            raise InputError("The delivery names neither a full commit SHA nor a digest", way_out="see its format")
        if not any(self.urls):
            raise InputError("The delivery names no repository", way_out="see its format")


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """Which pushes start which DAG, and with which parameters.

    Patterns are those of a shell: ``release/*``. A push that lists its files starts nothing where none matches; one
    that does not list them all starts the DAG, rather than lose a commit.

    :param repositories: addresses of the repositories as they are to be cloned; these, never those that a delivery
        claims, are what a run gets.
    :param branches: patterns of branches.
    :param tags: patterns of tags; none by default.
    :param paths: patterns of files; none means all.
    :param params: parameter of the DAG → one of ``FIELDS``.
    """

    dag_id: str
    repositories: tuple[str, ...]
    branches: tuple[str, ...] = ("main", "master")
    tags: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    params: Mapping[str, str] = dataclasses.field(default_factory=lambda: {"git_url": "repository", "commit": "commit"})

    def __post_init__(self) -> None:
        """Refuse what could start nothing, or with nothing.

        :raises InputError: naming the setting.
        """
        if not self.dag_id or not self.repositories:
            raise InputError("It names no DAG, or no repositories", way_out="fill in dag_id and repositories")
        if wrong := sorted(set(self.params.values()) - set(FIELDS)):
            raise InputError(f"Parameters are filled with {', '.join(wrong)}", way_out=f"use {', '.join(FIELDS)}")

    def conf(self, push: Push) -> dict[str, str] | str:
        """Return the parameters of the run that a push starts, or the sentence why it starts none."""
        repository = _same(self.repositories, push.urls)
        if repository is None:
            return "repository is not on the list"
        if push.branch and not _matches(self.branches, push.branch):
            return "branch is not wanted"
        if not push.branch and not _matches(self.tags, push.tag):
            return "tag is not wanted"
        if self.paths and push.paths is not None and not any(_matches(self.paths, path) for path in push.paths):
            return "no wanted file changed"
        known = {"repository": repository} | {name: getattr(push, name) for name in FIELDS[1:]}
        return {param: known[field] for param, field in self.params.items() if known[field]}


def same_place(url: str) -> str:
    """Return a repository's address without scheme, login, port and ``.git``: the same for HTTPS and SSH.

    >>> same_place("git@Example.com:team/shop.git") == same_place("https://token@example.com/team/shop/")
    True
    """
    scp = None if "://" in url else _SCP.fullmatch(url)
    if scp:
        host, path = scp.groups()
    else:
        try:
            parts = urlsplit(url if "://" in url else f"//{url}")
            host, path = parts.hostname or "", parts.path
        except ValueError:
            return ""
    return f"{host.lower()}/{path.strip('/').removesuffix('.git').lower()}"


def _same(ours: Sequence[str], theirs: Iterable[str]) -> str | None:
    claimed = {same_place(url) for url in theirs if url}
    return next((url for url in ours if same_place(url) in claimed), None)


def _matches(patterns: Iterable[str], value: str) -> bool:
    return bool(value) and any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns)
