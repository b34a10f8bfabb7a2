"""Kustomize: overlays become manifests, by the program that everybody renders them with.

There is no library of it for Python; ``kubectl`` carries it (https://kubectl.docs.kubernetes.io/references/kustomize/).
It sees the checked out commit and nothing else: no network, no git, no plugin that would run a program (those need
flags that are not given), and none of the worker's environment variables.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from typing import TYPE_CHECKING

from tke_provider.exceptions import InputError, ManifestError

if TYPE_CHECKING:
    from pathlib import Path

_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_SECONDS = 60.0
# Nobody listens there: a base that lies elsewhere cannot be fetched, because the commit would not vouch for it.
_NOWHERE = "http://127.0.0.1:1"
_ENVIRONMENT = {
    "PATH": "/nonexistent",
    "HOME": "/nonexistent",
    "HTTP_PROXY": _NOWHERE,
    "HTTPS_PROXY": _NOWHERE,
    "ALL_PROXY": _NOWHERE,
}
_ELSEWHERE = re.compile(r"no 'git' program|proxyconnect|Get \\?\"https?:", re.IGNORECASE)


async def render(root: Path, path: str) -> str | None:
    """Return the manifests that a folder with a kustomization stands for; ``None`` where there is no kustomization.

    :param root: a checked out commit.
    :param path: the folder within it.
    :raises InputError: when the worker has no program for it.
    :raises ManifestError: when it does not render, or needs something that is not in the commit.
    """
    folder = await asyncio.to_thread(_kustomization, root, path)
    if folder is None:
        return None
    output, said, code = await _run(*_program(), str(folder))
    if code == 0:
        return output
    told = re.search(r'err="(.*)"', said)
    cause = (told[1] if told else said).replace(f"{root}/", "")
    if _ELSEWHERE.search(said):
        raise ManifestError(
            f"The kustomization at {path!r} needs something that is not in the commit",
            cause=cause,
            way_out="copy it into the repository: what lies elsewhere may be something else tomorrow",
        )
    raise ManifestError(f"The kustomization at {path!r} does not render", cause=cause, way_out="correct it")


def _kustomization(root: Path, path: str) -> Path | None:
    folder = (root / path).resolve()
    inside = folder.is_relative_to(root.resolve())
    return folder if inside and any((folder / name).is_file() for name in _FILES) else None


def _program() -> list[str]:
    if kubectl := shutil.which("kubectl"):
        return [kubectl, "kustomize"]
    if kustomize := shutil.which("kustomize"):
        return [kustomize, "build"]
    raise InputError(
        "The worker has neither kubectl nor kustomize, which render overlays",
        way_out="install one of them on the worker, or write plain manifests",
    )


async def _run(*command: str) -> tuple[str, str, int]:
    """Return what a program printed, what it complained of, and its exit code; it is ended when the task is."""
    process = await asyncio.create_subprocess_exec(
        *command, env=_ENVIRONMENT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        output, said = await asyncio.wait_for(process.communicate(), _SECONDS)
    except asyncio.TimeoutError as error:
        raise ManifestError(
            f"{command[0]} has not ended within {_SECONDS:g} seconds", way_out="look for what the kustomization loads"
        ) from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return output.decode(errors="replace"), said.decode(errors="replace"), process.returncode or 0
