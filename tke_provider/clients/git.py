"""Git: exactly one commit of a repository, in a folder that is gone afterwards."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import os
import re
import shlex
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tke_provider.domain.hosts import is_loopback
from tke_provider.domain.images import check_commit
from tke_provider.exceptions import CredentialError, InputError, NotFoundError, TkeError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_SCHEMES = ("https", "http", "ssh", "git", "file")
# user@host:path, git's short form of ssh://user@host/path.
_SCP_LIKE = re.compile(r"(?:[\w.-]+@)?(?P<host>[A-Za-z0-9][\w.-]*):(?!//)(?P<path>[^:].*)")
_BRANCH = re.compile(r"[\w][\w./+#@-]*")
_AUTHENTICATION = re.compile(
    r"Authentication failed|could not read (?:Username|Password)|Permission denied \(|returned error: 40[13]",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"repository .* not found|does not appear to be a git repository|returned error: 404|no such file", re.IGNORECASE
)
_NO_SUCH_COMMIT = re.compile(
    r"not our ref|couldn't find remote ref|unadvertised object|no such remote ref|does not support shallow",
    re.IGNORECASE,
)

# Threads of its own: hosts that hang would take those that everything else in a triggerer shares.
_WAITING = concurrent.futures.ThreadPoolExecutor(64, "git")

# Commits without what they hold: https://git-scm.com/docs/partial-clone
_WITHOUT_FILES = ("--filter=tree:0",)

# The helper hands git what the environment holds, so that the password is in no argument, URL or file.
_HELPER = (
    """!f() { test "$1" = get && """
    """printf 'username=%s\\npassword=%s\\n' "$TKE_GIT_LOGIN" "$TKE_GIT_PASSWORD"; }; f"""
)


@dataclasses.dataclass(frozen=True, slots=True)
class GitLogin:
    """Who asks a git host, and at which host alone that is said.

    :param host: the host, with its port if it has one, that may be told.
    :param username: for HTTP; most hosts take any with a token.
    :param password: a password or token, for HTTP.
    :param key_file: path of a private key on the worker, for SSH.
    :param known_hosts_file: the host keys to trust, for SSH; empty for the worker's own.
    """

    host: str
    username: str = ""
    password: str = dataclasses.field(default="", repr=False)
    key_file: str = ""
    known_hosts_file: str = ""


@contextlib.asynccontextmanager
async def checkout(repository: str, commit: str, login: GitLogin | None = None) -> AsyncIterator[Path]:
    """Fetch one commit into a temporary folder, without submodules, and delete the folder afterwards.

    Everything in it, and the folder itself, carries the time of the commit: what is made of it does not depend on when
    it was fetched. A server that hands out branches and tags only is asked for all of them.

    :param repository: an ``https``, ``http``, ``ssh``, ``git`` or ``file`` URL, ``user@host:path``, or an absolute
        path on the worker.
    :param commit: the full commit SHA.
    :param login: sent to its own host only.
    :raises InputError: when repository or commit cannot be used; nothing was asked.
    :raises NotFoundError: when there is no such repository, or no such commit in it.
    :raises CredentialError: when the host wants a login, or refuses this one.
    :raises UnavailableError: when the host does not answer; a retry may help.
    """
    async with _fetched(repository, commit, login) as git:
        await git.run("checkout", "--quiet", "--detach", commit)
        committed = await _committed(git, commit)
        # What a build sees is the commit; its history would be sent along and could end up in the image.
        await asyncio.to_thread(shutil.rmtree, git.folder / ".git")
        await asyncio.to_thread(_date, git.folder, committed)
        yield git.folder


async def commit_time(repository: str, commit: str, login: GitLogin | None = None) -> int:
    """Return when a commit was made, in seconds since the epoch; its files stay where they are if the server can.

    Parameters and errors are those of :func:`checkout`.
    """
    async with _fetched(repository, commit, login, *_WITHOUT_FILES) as git:
        return await _committed(git, commit)


async def commit_times(repository: str, commits: Sequence[str], login: GitLogin | None = None) -> dict[str, int]:
    """Return when commits were made, in seconds since the epoch; their files stay where they are if the server can.

    All are fetched at once. Where the server lacks one of them, its branches and tags are fetched instead, once.

    :param commits: full SHAs; those that the repository does not have are left out.

    The other parameters, and the errors, are those of :func:`checkout`.
    """
    if not commits:
        return {}
    for commit in commits:
        check_commit(commit)
    async with _repository(repository, login) as git:
        try:
            await _fetch_named(git, repository, commits, _WITHOUT_FILES)
        except _RefusedError:
            await _fetch_all(git, repository, _WITHOUT_FILES)
        found = {}
        for commit in commits:
            with contextlib.suppress(UnavailableError, NotFoundError):  # as git says of an object that it does not have
                found[commit] = await _committed(git, commit)
        return found


async def head(repository: str, branch: str, login: GitLogin | None = None) -> str | None:
    """Return the commit that a branch points to, or ``None`` where there is no such branch; nothing is fetched.

    Parameters and errors are those of :func:`checkout`.
    """
    check_source(repository)
    if not _BRANCH.fullmatch(branch):
        raise InputError(f"{branch!r} is no name of a branch", way_out="write it as git branch lists it")
    with tempfile.TemporaryDirectory(prefix="tke-ls-remote-") as folder:
        git = _Git(Path(folder), repository, _environment(repository, login))
        said = await git.run("ls-remote", "--quiet", "--", repository, f"refs/heads/{branch}")
    # A pattern also matches the end of longer names.
    listed = (line.partition("\t") for line in said.splitlines())
    return next((commit for commit, _, ref in listed if ref == f"refs/heads/{branch}"), None)


async def changed_paths(repository: str, before: str, commit: str, login: GitLogin | None = None) -> list[str]:
    """Return the paths of all files that differ between two commits; of a file that was moved, both.

    :param before: the full SHA of the commit to compare with.

    The other parameters, and the errors, are those of :func:`checkout`.
    """
    check_commit(before)
    async with _fetched(repository, commit, login) as git:
        await _fetch(git, repository, before)
        listed = git.folder / ".git" / "changed-paths"
        await git.run("diff", "--name-only", "--no-renames", "-z", f"--output={listed}", before, commit)
        return listed.read_text(encoding="utf-8", errors="surrogateescape").split("\0")[:-1]


def check_source(repository: str) -> None:
    """Refuse a repository that git would take for an option or a program to run, or that carries a password.

    :raises InputError: with what is wrong.
    """
    if "::" in repository.partition("/")[0] or repository.startswith("-") or not repository.isprintable():
        raise InputError(f"{repository!r} is no git repository", way_out="write an https, ssh or file URL")
    url = urlsplit(repository) if "://" in repository else None
    if url and (url.password or (url.username and url.scheme != "ssh")):
        # Not quoted: the sentence lands in a log. A token may stand where the user's name does.
        raise InputError(
            f"The URL of the git repository at {url.hostname} carries a login",
            way_out="take it out of the URL, revoke it, and put a new one into a connection (git_conn_id)",
        )
    if url and url.scheme in _SCHEMES and (url.hostname or url.scheme == "file") and not _option_like(url.hostname):
        return
    if not url and (repository.startswith("/") or _SCP_LIKE.fullmatch(repository)):
        return
    raise InputError(
        f"{repository!r} is no git repository that can be fetched",
        way_out=f"write a URL that starts with one of {', '.join(_SCHEMES)}, user@host:path, or an absolute path",
    )


def host_of(repository: str) -> str:
    """Return the host, with its port, that a repository is fetched from; empty for a path on the worker."""
    if "://" in repository:
        return urlsplit(repository).netloc.rpartition("@")[2]
    scp_like = _SCP_LIKE.fullmatch(repository)
    return scp_like["host"] if scp_like and not repository.startswith("/") else ""


def _option_like(host: str | None) -> bool:
    return bool(host) and str(host).startswith("-")


def _environment(repository: str, login: GitLogin | None) -> dict[str, str]:
    """Return the environment that git runs in: never a question, no hooks, no helper that would keep a password."""
    config = [("credential.helper", ""), ("core.hooksPath", "/dev/null"), ("core.fsmonitor", "false")]
    environment = {
        "GIT_ALLOW_PROTOCOL": ":".join(_SCHEMES),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
        # A host that sends next to nothing for a minute is given up.
        "GIT_HTTP_LOW_SPEED_LIMIT": "100",
        "GIT_HTTP_LOW_SPEED_TIME": "60",
        "LC_ALL": "C",
    }
    if login:
        config += _http_login(repository, login)
        environment |= {"TKE_GIT_LOGIN": login.username, "TKE_GIT_PASSWORD": login.password}
        environment["GIT_SSH_COMMAND"] += _ssh_options(login)
    environment["GIT_CONFIG_COUNT"] = str(len(config))
    for number, (key, value) in enumerate(config):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return environment


def _http_login(repository: str, login: GitLogin) -> list[tuple[str, str]]:
    """Return the configuration that answers this host's question, and no other's."""
    if login.host != host_of(repository):
        raise InputError(
            f"The git connection is for {login.host}, and the repository {repository} is at"
            f" {host_of(repository) or 'this machine'}",
            way_out="use a connection for that host, or none",
        )
    url = urlsplit(repository)
    if not login.password or url.scheme not in {"http", "https"}:
        return []
    if url.scheme == "http" and not is_loopback(login.host):
        raise InputError(f"{repository} would carry a password unencrypted", way_out="use its https URL")
    return [(f"credential.{url.scheme}://{login.host}.helper", _HELPER)]


def _ssh_options(login: GitLogin) -> str:
    options = f" -o IdentitiesOnly=yes -i {shlex.quote(login.key_file)}" if login.key_file else ""
    if login.known_hosts_file:
        options += f" -o UserKnownHostsFile={shlex.quote(login.known_hosts_file)}"
    return options


@contextlib.asynccontextmanager
async def _fetched(repository: str, commit: str, login: GitLogin | None, *options: str) -> AsyncIterator[_Git]:
    check_commit(commit)
    async with _repository(repository, login) as git:
        await _fetch(git, repository, commit, options)
        yield git


@contextlib.asynccontextmanager
async def _repository(repository: str, login: GitLogin | None) -> AsyncIterator[_Git]:
    """A repository with nothing in it yet, which is gone afterwards."""
    check_source(repository)
    environment = _environment(repository, login)
    with tempfile.TemporaryDirectory(prefix="tke-checkout-") as folder:
        git = _Git(Path(folder), repository, environment)
        await git.run("init", "--quiet")
        yield git


async def _committed(git: _Git, commit: str) -> int:
    return int(await git.run("show", "--no-patch", "--format=%ct", commit))


def _date(folder: Path, seconds: int) -> None:
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (seconds, seconds), follow_symlinks=False)


async def _fetch(git: _Git, repository: str, commit: str, options: Sequence[str] = ()) -> None:
    with contextlib.suppress(_RefusedError):
        await _fetch_named(git, repository, [commit], options)
        return
    await _fetch_all(git, repository)
    try:
        await git.run("cat-file", "-e", f"{commit}^{{commit}}")
    except UnavailableError as error:
        raise NotFoundError(
            f"Repository {repository} has no commit {commit} on any branch or tag",
            way_out="push the commit, or pass one that is there",
        ) from error


async def _fetch_named(git: _Git, repository: str, commits: Sequence[str], options: Sequence[str]) -> None:
    """Fetch these commits alone; refused as a whole where the server lacks one, or hands out none by its SHA."""
    alone = ("--depth=1", "--no-tags", "--no-recurse-submodules", *options)
    await git.run("fetch", "--quiet", *alone, "--", repository, *commits)


async def _fetch_all(git: _Git, repository: str, options: Sequence[str] = ()) -> None:
    """Fetch every branch and tag."""
    everything = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
    await git.run("fetch", "--quiet", "--no-recurse-submodules", *options, "--", repository, *everything)


class _RefusedError(Exception):
    """The server has no such commit, or does not hand out commits by their SHA."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Git:
    """The git program in one folder, for one repository."""

    folder: Path
    repository: str
    environment: dict[str, str]

    async def run(self, *arguments: str) -> str:
        """Run one command to its end and return what it printed; end it when the task is cancelled."""
        try:
            from git import Git
            from git.exc import GitCommandError
        except ImportError as error:  # the package asks the program for its version
            raise InputError("The worker has no git program", way_out="install git on the worker") from error
        # A session of its own: git hands the work to other programs, which have to end with it.
        process = Git(str(self.folder)).execute(
            ["git", *arguments], as_process=True, env=self.environment, start_new_session=True
        )
        waiting = asyncio.get_running_loop().run_in_executor(_WAITING, process.wait)
        try:
            await asyncio.shield(waiting)
            return process.stdout.read().decode() if process.stdout else ""
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            await asyncio.wait({waiting})
            raise
        except GitCommandError as error:
            raise self._explain(arguments[0], str(error.stderr)) from error
        finally:
            for stream in filter(None, (process.stdin, process.stdout, process.stderr)):
                stream.close()

    def _explain(self, command: str, said: str) -> TkeError | _RefusedError:
        cause = _first_fatal(said)
        if command == "fetch" and _NO_SUCH_COMMIT.search(said):
            return _RefusedError()
        if _AUTHENTICATION.search(said):
            return CredentialError(
                f"Git repository {self.repository} refuses access",
                cause=cause,
                way_out="give a connection (git_conn_id) whose login may read it",
            )
        if _MISSING.search(said):
            return NotFoundError(
                f"There is no git repository {self.repository}", cause=cause, way_out="correct the URL"
            )
        return UnavailableError(
            f"git {command} of {self.repository} failed",
            cause=cause,
            way_out="check that the worker reaches the host; the task may be retried",
        )


def _first_fatal(said: str) -> str:
    lines = said.strip().removeprefix("stderr:").strip(" '").splitlines()
    return next((line for line in lines if "fatal:" in line), " ".join(lines))
