"""System packages, installed where they are missing and we may."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from local import StackError
from local.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator

# apt takes a lock of its own and fails rather than waits: parts that start side by side take turns here.
_one_at_a_time = threading.Lock()


def need(*packages: str) -> None:
    """Make sure that Debian packages are installed.

    :raises StackError: when some are missing and we are not root; names them.
    """
    with _one_at_a_time:
        missing = [package for package in packages if not installed(package)]
        if not missing:
            return
        if os.geteuid() != 0:
            raise StackError(f"Missing system packages; run: sudo apt-get install {' '.join(missing)}")
        _install(missing)


def installed(package: str) -> bool:
    """Whether dpkg counts the package as installed."""
    try:
        status = run(["dpkg-query", "--show", "--showformat", "${db:Status-Status}", package], f"looking for {package}")
    except StackError:
        return False
    return status == "installed"


def _install(missing: list[str]) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    names = " ".join(missing)
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    with _services_stay_off():
        try:
            run(install, f"installing {names}", env=env)
        except StackError:
            # The lists may be missing or out of date.
            run(["apt-get", "update"], "updating the package lists", env=env)
            run(install, f"installing {names}", env=env)


@contextmanager
def _services_stay_off() -> Iterator[None]:
    """Keep dpkg from starting the packages' own services, on their default ports and for good (policy-rc.d(8))."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()
