"""What ``buildctl`` says in the end: the digest, or why there is none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tke_provider.domain.build_failures import build_failure, no_dockerfile, no_folder, registry_failure
from tke_provider.exceptions import BuildError, CredentialError, InconclusiveError, TkeError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tke_provider.domain.buildkit_daemons import Daemon
    from tke_provider.domain.images import Build

_DIGEST = re.compile(r'"containerimage\.digest":\s*"(sha256:[0-9a-f]{64})"')
_POSITION = re.compile(r"^(?P<file>.+):(?P<line>\d+)$")
_MARKED = re.compile(r"^ *(?P<line>\d+) \| >>> (?P<instruction>.*)$")
_TIMED = re.compile(r"^\d+\.\d+ ")
_NO_FOLDER = re.compile(r"failed to read dockerfile: invalid subdir")
_NO_DOCKERFILE = re.compile(r"failed to read dockerfile: open .*no such file or directory")
_PARSE_ERROR = re.compile(r"dockerfile parse error|unknown instruction|failed to parse|target stage", re.IGNORECASE)
_NO_DAEMON = re.compile(
    r"code = Unavailable|listing workers|connection error|failed to receive status|deadline exceeded"
)
_BAD_CERTIFICATE = re.compile(r"authentication handshake failed|tls: |x509: |bad certificate", re.IGNORECASE)


def digest_of(message: str) -> str:
    """Return the digest that a container's termination message names.

    :raises InconclusiveError: when it names none.
    """
    if not (found := _DIGEST.search(message)):
        raise InconclusiveError(
            "buildctl ended well without naming the image's digest",
            cause=message,
            way_out="run the task again: an image that was pushed is found by its tag",
        )
    return found[1]


def failure(build: Build, daemon: Daemon, lines: Sequence[str]) -> TkeError:
    """Return the error that ``buildctl``'s output tells of.

    :param lines: the end of it, the context of the Dockerfile and the error itself included.
    """
    start = next((index for index in reversed(range(len(lines))) if lines[index].startswith("error: ")), None)
    said = " ".join(lines[-3:] if start is None else lines[start:])
    cause = said.removeprefix("error: ").removeprefix("failed to solve: ")
    if _BAD_CERTIFICATE.search(cause) and "failed to solve" not in said:
        return CredentialError(
            f"{daemon.address} and we do not accept one another's certificates",
            cause=cause,
            way_out="correct the certificates of the connection (buildkit_conn_id)",
        )
    if _NO_FOLDER.search(cause):
        return no_folder(build)
    if _NO_DOCKERFILE.search(cause):
        return no_dockerfile(build)
    position = _position(lines)
    if position:
        last = _last_words(lines)
        return build_failure(build, *position, f"{cause}{f' ({last})' if last else ''}")
    if _PARSE_ERROR.search(cause):
        return build_failure(build, "", "", cause)
    return _elsewhere(build, daemon, cause)


def _elsewhere(build: Build, daemon: Daemon, cause: str) -> TkeError:
    """Return the error of a build that failed at none of the Dockerfile's lines."""
    if "failed to push" in cause or "error writing" in cause:
        return registry_failure(f"{build.repository} was built and cannot be pushed", cause)
    if "failed to fetch remote" in cause or "git stderr" in cause:
        return UnavailableError(
            f"BuildKit cannot fetch {build.source}",
            cause=cause,
            way_out=f"check that the daemon at {daemon.address} reaches the git host; the task may be retried",
        )
    if _NO_DAEMON.search(cause):
        return UnavailableError(
            f"BuildKit does not answer at {daemon.address}",
            cause=cause,
            way_out=daemon.way_out,
        )
    return BuildError(
        f"{build.dockerfile} of {build.source} does not build at {build.commit[:12]}",
        cause=cause,
        way_out="look at the task's log, which has the whole output",
    )


def _position(lines: Sequence[str]) -> tuple[str, str] | None:
    """Return the Dockerfile's line that failed, with its number and by itself."""
    named = any(_POSITION.match(line) for line in lines)
    marked = [found for line in lines if (found := _MARKED.match(line))] if named else []
    if not marked:
        return None
    instruction = " ".join(found["instruction"].strip() for found in marked)
    return f"line {marked[0]['line']}: {instruction}", instruction


def _last_words(lines: Sequence[str]) -> str:
    """Return the last line that the failing step printed, which stands in the summary, after a time."""
    start = next((index for index, line in enumerate(lines) if line.startswith(" > [")), len(lines))
    timed = [line for line in lines[start:] if _TIMED.match(line)]
    return _TIMED.sub("", timed[-1]).strip() if timed else ""
