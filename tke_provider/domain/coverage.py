"""Coverage: how much of the code its tests have run, by a Cobertura report.

The format: https://cobertura.github.io/cobertura/ (``coverage-04.dtd``). coverage.py, gcovr, Istanbul, coverlet and
grcov write it, some with a document type that names the DTD and some without the counts of lines.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from tke_provider.domain.reports import root_of
from tke_provider.domain.verdicts import Verdict, failed, inconclusive, passed
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Coverage:
    """The share of lines that ran.

    :param percent: 0 to 100.
    """

    percent: float

    def __str__(self) -> str:
        """Return it in words, rounded down: 79.999 % are not the 80 % that were wanted."""
        return f"{math.floor(self.percent * 100) / 100:g} % of the lines covered"


def read_cobertura(document: bytes) -> Coverage | None:
    """Read a Cobertura report; None when it is none, or when it knows of no line at all."""
    root = root_of(document)
    try:
        return _coverage(root[1]) if root and root[0] == "coverage" else None
    except (KeyError, ValueError):
        return None


def check_minimum(given: float | str | None) -> float | None:
    """Return the least percentage as a number.

    :raises InputError: when it is none between 1 and 100; 0.8 is taken for a mistake, not for 0.8 %.
    """
    if given is None or given == "":
        return None
    try:
        minimum = float(given)
    except (TypeError, ValueError):
        minimum = math.nan
    if not (minimum == 0 or 1 <= minimum <= 100):  # noqa: PLR2004
        raise InputError(f"min_coverage is {given!r}", way_out="write the percentage, such as 80")
    return minimum


def judge_coverage(coverage: Coverage | None, minimum: float) -> Verdict:
    """Decide whether enough was covered; without a report nobody knows."""
    if coverage is None:
        return inconclusive(f"there is no readable Cobertura report, and {minimum:g} % of the lines have to be covered")
    if coverage.percent < minimum:
        return failed(f"{coverage}, and {minimum:g} % are wanted")
    return passed(str(coverage))


def _coverage(root: Mapping[str, str]) -> Coverage:
    """Take the counts where they are: some writers round the rate."""
    if "lines-valid" in root:
        valid, covered = int(root["lines-valid"]), int(root.get("lines-covered", -1))
        if not 0 <= covered <= valid or not valid:
            raise ValueError("the counts make no share")
        return Coverage(100 * covered / valid)
    rate = float(root["line-rate"])
    if not 0 <= rate <= 1:
        raise ValueError("the rate is no share")
    return Coverage(100 * rate)
