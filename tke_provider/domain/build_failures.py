"""What it means that a build failed, whichever builder says so: who must act."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tke_provider.exceptions import (
    BuildError,
    CredentialError,
    ForbiddenError,
    InputError,
    NotFoundError,
    TkeError,
    UnavailableError,
)

if TYPE_CHECKING:
    from tke_provider.domain.images import Build

_DENIED = re.compile(r"denied|forbidden|requested access", re.IGNORECASE)
_UNAUTHORIZED = re.compile(r"unauthorized|authentication required|no basic auth", re.IGNORECASE)
_WRONG = "correct the Dockerfile or the code; the task's log has the whole output"
_FOREIGN = (
    "build for the platform of the builder's machine, or have an emulator for the other one there (binfmt_misc); "
    "copying needs none"
)
_ABSENT = re.compile(r"manifest unknown|not found|does not exist", re.IGNORECASE)


def build_failure(build: Build, step: str, instruction: str, cause: str) -> TkeError:
    """Return the error that a failed step is.

    :param step: as people find it in the Dockerfile or the log; empty where the builder names none.
    :param instruction: the step's line of the Dockerfile.
    """
    where = f"; {step}" if step else ""
    if not instruction.upper().startswith("FROM"):
        return BuildError(
            f"{build.dockerfile} of {build.source or 'the context'} does not build"
            + (f" at {build.commit[:12]}" if build.commit else "")
            + where,
            cause=cause,
            way_out=_FOREIGN if "exec format error" in cause else _WRONG,
        )
    problem = f"{build.dockerfile}{where}: its base image cannot be pulled"
    mapped = registry_failure(problem, cause)
    return BuildError(problem, cause=cause, way_out=mapped.way_out) if isinstance(mapped, NotFoundError) else mapped


def is_login_refused(cause: str) -> bool:
    """Whether a registry's words are about who is asking."""
    return bool(_UNAUTHORIZED.search(cause) or _DENIED.search(cause))


def registry_failure(problem: str, cause: str) -> TkeError:
    """Return the error that a registry's words to a builder are."""
    if _UNAUTHORIZED.search(cause):
        return CredentialError(
            problem, cause=cause, way_out="give registry_id or docker_conn_id with a login of that registry"
        )
    if _DENIED.search(cause):
        return ForbiddenError(problem, cause=cause, way_out="grant the login pull and push on that repository")
    if _ABSENT.search(cause):
        return NotFoundError(problem, cause=cause, way_out="check the name and the digest")
    return UnavailableError(
        problem, cause=cause, way_out="check that the builder reaches the registry; the task may be retried"
    )


def no_folder(build: Build) -> InputError:
    """Return what is wrong when the source lacks the folder to build."""
    return InputError(
        f"The source has no folder {build.subdirectory!r}", way_out="correct subdirectory or context_path"
    )


def no_dockerfile(build: Build) -> InputError:
    """Return what is wrong when that folder lacks the Dockerfile."""
    return InputError(
        f"Folder {build.subdirectory!r} of the source has no {build.dockerfile!r}", way_out="correct dockerfile"
    )
