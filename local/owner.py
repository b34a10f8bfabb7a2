"""Which checkout owns the one stack that a machine can hold: its ports, its bridge and its iptables rules."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from local import ROOT, RUN, StackError
from local.part import Settings
from local.process import read_stat

#: Exists while anything of the stack is up.
OWNER_FILE = RUN.with_suffix(".json")


@dataclass(frozen=True)
class Owner:
    """A checkout, and what its ``up`` was told."""

    checkout: Path
    settings: Settings


def read(owner_file: Path = OWNER_FILE) -> Owner | None:
    """The owner on record, if any."""
    try:
        record = json.loads(owner_file.read_text())
    except FileNotFoundError:
        return None
    except ValueError as e:
        raise StackError(f"{owner_file} is not JSON ({e}); if no stack is up, delete it") from e
    kubeconfig = record["kubeconfig"] and Path(record["kubeconfig"])
    return Owner(Path(record["checkout"]), Settings(kubeconfig=kubeconfig, database=record["database"]))


def checked(checkout: Path = ROOT, owner_file: Path = OWNER_FILE) -> Owner | None:
    """The owner on record if that is ``checkout``; one whose processes have all gone does not count.

    :raises local.StackError: when another checkout's stack is up; says which, and how to stop it.
    """
    owner = read(owner_file)
    if owner is None or not in_use(owner.checkout):
        return None
    if owner.checkout != checkout:
        raise StackError(
            f"The stack of {owner.checkout} is up, and a machine holds one; "
            f"stop it with: cd {owner.checkout} && python -m local down"
        )
    return owner


def claim(settings: Settings, checkout: Path = ROOT, owner_file: Path = OWNER_FILE) -> None:
    """Make ``checkout`` the owner of a stack with these settings.

    :raises local.StackError: when another checkout's stack is up, or ours on another cluster.
    """
    owner = checked(checkout, owner_file)
    if owner and owner.settings.kubeconfig != settings.kubeconfig:
        cluster = owner.settings.kubeconfig or "its own cluster"
        raise StackError(f"The stack is up on {cluster}; to use another one, first run: python -m local down")
    record = {
        "checkout": str(checkout),
        "kubeconfig": settings.kubeconfig and str(settings.kubeconfig),
        "database": settings.database,
    }
    # Whole or not at all: others read it at any moment.
    partial = owner_file.with_suffix(".new")
    partial.write_text(json.dumps(record))
    partial.replace(owner_file)


def release(owner_file: Path = OWNER_FILE) -> None:
    """Say that nothing is up any more."""
    owner_file.unlink(missing_ok=True)


def in_use(checkout: Path) -> bool:
    """Whether any process that a checkout's pid files name is still alive."""
    for pid_file in (checkout / ".local").glob("*/*.pid"):
        # Programs write pid files of their own, too: ours hold a pid and a start time.
        pid, _, started = pid_file.read_text().strip().partition(" ")
        if pid.isdigit() and (stat := read_stat(int(pid))) and str(stat.started) == started:
            return True
    return False
