"""What a scanner found in an image, and whether that will do."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tke_provider.domain.verdicts import Verdict, failed, inconclusive, passed, pending
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

VIRUS = "virus"
LEVELS = ("critical", "high", "medium", "low", VIRUS)
NONE_SEVERE: Mapping[str, int] = {"critical": 0, "high": 0, VIRUS: 0}
"""No critical and no high vulnerability, and no virus."""

_DONE, _AT_WORK = "SCANNED", "SCANNING"


@dataclasses.dataclass(frozen=True, slots=True)
class Scan:
    """What the scanner says of one image.

    :param id: the scanner's own number for it.
    :param at: when it was scanned last, in the scanner's words; empty where never.
    :param vulnerabilities: the state of the search for vulnerabilities, ``SCANNED`` when it ended well.
    :param viruses: that of the search for viruses.
    :param found: how many of each level; a level that the scanner does not tell is missing.
    :param why: why a search failed.
    """

    id: int
    at: str
    vulnerabilities: str
    viruses: str
    found: Mapping[str, int]
    why: str

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Scan:
        """Read a row of ``DescribeAssetImageRegistryList``."""
        counts = {level: row.get(f"{level.capitalize()}LevelVulCnt") for level in LEVELS[:-1]}
        counts[VIRUS] = row.get("VirusCnt")
        return cls(
            id=int(row["Id"]),
            at=row.get("ScanTime") or "",
            # Rows that tell only of the whole scan tell of each of its parts by that.
            vulnerabilities=row.get("CveStatus") or row.get("ScanStatus") or "",
            viruses=row.get("VirusStatus") or row.get("ScanStatus") or "",
            found={level: int(count) for level, count in counts.items() if count is not None},
            why="; ".join(filter(None, (row.get("ScanVulError"), row.get("ScanVirusError"), row.get("Reason")))),
        )

    def state_of(self, level: str) -> str:
        """Return the state of the search that finds things of a level."""
        return self.viruses if level == VIRUS else self.vulnerabilities

    @property
    def at_work(self) -> bool:
        """Whether the scanner is at it."""
        return _AT_WORK in {self.vulnerabilities, self.viruses}


def check_limits(limits: Mapping[str, int]) -> None:
    """Refuse limits that say nothing.

    :raises InputError: when there are none, or one is of no level.
    """
    unknown = [name for name in limits if name not in LEVELS]
    if unknown or not limits:
        raise InputError(
            f"There is no level {unknown[0]!r} to limit" if unknown else "The scan gate has no limit",
            way_out=f"give how many are allowed of {', '.join(LEVELS)}",
        )


def judge(scan: Scan | None, limits: Mapping[str, int], *, scanned_before: str | None = None) -> Verdict:
    """Say whether an image may go on.

    :param limits: how many of each level are allowed. A level that is not limited is not looked at.
    :param scanned_before: when the image was scanned before a scan was started; None where none was. What that one
        found counts no more.
    """
    if scan is None:
        return inconclusive("the scanner does not know the image")
    if scan.at_work:
        return pending("the scanner is at work")
    states = {scan.state_of(level) for level in limits}
    if scanned_before is not None and scan.at == scanned_before:
        return pending("the scan has not begun")
    if states != {_DONE}:
        said = ", ".join(sorted(state or "nothing" for state in states - {_DONE}))
        return inconclusive(f"the image is not scanned, the scanner says {said}{f': {scan.why}' if scan.why else ''}")
    missing = [level for level in limits if level not in scan.found]
    if missing:
        return inconclusive(f"the scanner does not tell how many are {', '.join(missing)}")
    counts = ", ".join(f"{scan.found[level]} {level}" for level in limits)
    over = [
        f"{scan.found[level]} {level} where {most} are allowed"
        for level, most in limits.items()
        if scan.found[level] > most
    ]
    if over:
        return failed(f"the scan of {scan.at} found {', '.join(over)}")
    return passed(f"the scan of {scan.at} found {counts}")
