"""Runs: a command in a container of an image, wherever containers run, and what it left when it ended."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

REPORT_LIMIT = 16 * 2**20
"""Bytes of one report. It is written by the code under test, and read into the memory of a worker."""
_MEMORY = re.compile(r"(?P<amount>\d+)(?P<unit>[kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """A command to run in a container.

    :param operation: id of the operation that runs it.
    :param command: program and arguments; empty for the image's own.
    :param environment: variables. They are visible to whoever may ask the engine or the cluster: no secrets.
    :param reports: absolute paths of the files to bring back from the container.
    :param timeout: seconds until it is killed.
    :param memory: limit, such as ``512m`` or ``2g``, by 1024 each; swap is not given on top.
    :param cpus: limit in CPUs.
    :param network: the engine's network to join; ``none`` for no network but loopback.
    """

    operation: str
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reports: tuple[str, ...] = ()
    timeout: float = 1800.0
    memory: str = "2g"
    cpus: float = 1.0
    network: str = "none"

    def __post_init__(self) -> None:
        """Refuse what would only be stumbled over later.

        :raises InputError: when ``memory`` is no amount, or a report has no absolute path.
        """
        _ = self.memory_bytes
        for path in self.reports:
            if not path.startswith("/") or path.endswith("/"):
                raise InputError(f"The report {path!r} is no file's path", way_out="write it from the root on, as /…")

    @property
    def memory_bytes(self) -> int:
        """The limit in bytes. Kubernetes would read the engine's ``512m`` as half a byte."""
        found = _MEMORY.fullmatch(str(self.memory).strip())
        if not found or not int(found["amount"]):
            raise InputError(f"memory is {self.memory!r}", way_out="write it as 512m or 2g")
        return int(found["amount"]) * _UNITS[found["unit"].lower()]


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended.

    :param out_of_memory: whether the kernel killed a process of it because of its memory limit.
    :param reports: those of the files asked for that are there, by path.
    """

    exit_code: int
    out_of_memory: bool
    reports: Mapping[str, bytes]


def too_large(path: str, size: int) -> InputError:
    """Return the error for a report that is not read."""
    return InputError(
        f"{path} has {size} bytes or more, and a report may have {REPORT_LIMIT}",
        way_out="keep the tests' output out of the report",
    )
