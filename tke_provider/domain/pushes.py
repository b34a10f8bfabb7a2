"""Pushes: what arrived at a git host or a registry, and whether anybody wants it built."""

from __future__ import annotations

import collections
import dataclasses
import fnmatch
import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST = 255
"""Characters of a branch or tag: git keeps each in a file of that name."""
_NO_NAME = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""What git allows in no name, and databases keep in no text."""
_RUN_ID = re.compile(r"push__.+__([0-9a-f]*)-([0-9a-f]+)__[0-9a-f]+")
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
    :param before: the commit that the branch pointed to before; empty where nobody says.
    :param paths: files that changed, or ``None`` where the sender does not list all of them.
    """

    urls: tuple[str, ...]
    branch: str = ""
    tag: str = ""
    commit: str = ""
    digest: str = ""
    before: str = ""
    paths: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        :raises InputError: when commit or digest are not what they should be. What the sender wrote is not quoted.
        """
        given = [(text, pattern) for text, pattern in ((self.commit, _SHA), (self.digest, _DIGEST)) if text]
        if not given or not all(pattern.fullmatch(text) for text, pattern in given):
            raise InputError("The delivery names neither a full commit SHA nor a digest", way_out="see its format")
        if len(self.branch) > _LONGEST or len(self.tag) > _LONGEST:
            raise InputError(f"A branch or tag has more than {_LONGEST} characters", way_out="use a shorter name")
        if _NO_NAME.search(self.branch + self.tag):
            raise InputError("A branch or tag holds characters that no text does", way_out="see its format")
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


class Move(NamedTuple):
    """How a push moved its branch, as the id of its run tells it."""

    run_id: str
    before: str
    after: str

    @classmethod
    def read(cls, run_id: str) -> Move | None:
        """Return the move of a run that a push started; ``None`` for any other run."""
        read = _RUN_ID.fullmatch(run_id)
        return cls(run_id, *read.groups()) if read else None


def line_of(source: str, push: Push) -> str:
    """Return what the ids of all runs of one branch, tag or image of a source begin with.

    :param source: its name; Airflow finds the connections of its environment in whatever case they are asked for.
    """
    return f"push__{source.lower()}__{short(*push.urls, push.branch, push.tag)}__"


def run_id_of(source: str, push: Push, delivery: str) -> str:
    """Return the id of the run of a push: the same for the same delivery, and telling how the branch moved.

    :param delivery: hex digest of what was delivered.
    """
    return (
        f"{line_of(source, push)}{push.before[:10]}-{(push.commit or push.digest.partition(':')[2])[:10]}__{delivery}"
    )


def superseded(moves: Sequence[Move]) -> list[str]:
    """Return the ids of the runs that need not begin, because a later head of their branch waits, too.

    Deliveries need not arrive in the order of their pushes, so the last head is read from the moves themselves: it is
    the one that was moved to more often than away from. Where a move is missing there are several such heads, and
    after a way there and back there is none; then more is built than needed. Only of a branch that goes round while its
    pushes are delivered out of order the last head cannot be told.

    :param moves: of all runs of one branch that have not begun, in the order of their arrival; also of those that were
        skipped before, which are links of the chain.
    """
    left = collections.Counter(each.after for each in moves)
    left.subtract(each.before for each in moves)
    if not any(count > 0 for count in left.values()):
        return []
    skipped = []
    for each in reversed(moves):
        if left[each.after] > 0:
            left[each.after] -= 1
        else:
            skipped.append(each.run_id)
    return skipped


def short(*texts: str) -> str:
    """Return eight hex digits that stand for some texts in the id of a run."""
    return hashlib.sha256("\n".join(texts).encode(errors="surrogatepass")).hexdigest()[:8]


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
    claimed = {same_place(url) for url in theirs if url} - {""}
    return next((url for url in ours if same_place(url) in claimed), None)


def _matches(patterns: Iterable[str], value: str) -> bool:
    return bool(value) and any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns)
