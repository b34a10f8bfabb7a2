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


def claim(settings: Settings, checkout: Path = ROOT, owner_file: Path = OWNER_FILE) -> None:
    """Make ``checkout`` the owner, with these settings; one whose processes have all gone is replaced.

    :raises local.StackError: when another checkout's stack is up, or ours with other settings.
    """
    owner = read(owner_file)
    if owner and owner != Owner(checkout, settings) and in_use(owner.checkout):
        if owner.checkout != checkout:
            raise StackError(
                f"The stack of {owner.checkout} is up, and a machine holds one; "
                f"stop it with: cd {owner.checkout} && python -m local down"
            )
        raise StackError(f"The stack is up with {owner.settings}; to change that run: python -m local down")
    record = {
        "checkout": str(checkout),
        "kubeconfig": settings.kubeconfig and str(settings.kubeconfig),
        "database": settings.database,
    }
    owner_file.write_text(json.dumps(record))


def release(owner_file: Path = OWNER_FILE) -> None:
    """Say that nothing is up any more."""
    owner_file.unlink(missing_ok=True)


def in_use(checkout: Path) -> bool:
    """Whether any process that a checkout's pid files name is still alive."""
    for pid_file in (checkout / ".local").glob("**/*.pid"):
        recorded = pid_file.read_text().split()
        # Programs write pid files of their own, too: ours hold a pid and a start time.
        if len(recorded) == 2 and recorded[0].isdigit():
            stat = read_stat(int(recorded[0]))
            if stat and str(stat.started) == recorded[1]:
                return True
    return False
