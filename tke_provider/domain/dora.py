"""DORA's four figures of how a team delivers, from the records of its releases: https://dora.dev/guides/dora-metrics/.

* Deployment frequency: good releases a day.
* Lead time for changes: from the commit until the release was found good; the median.
* Change failure rate: releases that were undone, or rolled back later, among all.
* Time to restore: how long a failed release was in the way; the median. Of one that was undone by itself, from its
  beginning until the old version was back; of one that was live, from then until the rollback was found good.

A fix forward is a release like any other: nothing tells it from an improvement. A figure that nothing is known about
is ``None``, never zero.
"""

from __future__ import annotations

import dataclasses
import statistics
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypedDict

from tke_provider.domain.images import CREATED, REVISION
from tke_provider.domain.releases import Record, Stage
from tke_provider.domain.windows import check_instant
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_UNDONE = (Stage.ROLLED_BACK, Stage.ABANDONED)


class DoraDict(TypedDict):
    """The figures as they lie in XCom. Times are seconds; ``None`` is unknown.

    :param start: of the window, included; as ISO 8601.
    :param end: of the window, excluded.
    :param releases: how many ended in the window; rollbacks are none.
    :param failures: how many of them were undone, or rolled back since.
    :param deployment_frequency: good releases a day.
    :param lead_time: the median, of those whose time of commit is known.
    :param lead_times_unknown: good releases whose time of commit is not known.
    :param change_failure_rate: between 0 and 1.
    :param time_to_restore: the median, of the failures that ended.
    :param incomplete: services whose oldest record is younger than the window: earlier ones are no longer kept, so
        the true numbers of releases may be higher.
    """

    start: str
    end: str
    releases: int
    failures: int
    deployment_frequency: float
    lead_time: float | None
    lead_times_unknown: int
    change_failure_rate: float | None
    time_to_restore: float | None
    incomplete: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class _Change:
    """A release, and how it ended.

    :param restored: when it no longer was in the way; ``None`` for a good one, and for one that still is.
    """

    record: Record
    failed: bool = False
    since: datetime | None = None
    restored: datetime | None = None


def figures(
    records: Iterable[Record], start: datetime, end: datetime, committed: Mapping[str, datetime] | None = None
) -> DoraDict:
    """Return the figures of the releases that ended in a window.

    :param records: of any services, in any order, rollbacks included. Those that ended after the window still tell
        which of the window's releases failed.
    :param start: included.
    :param end: excluded.
    :param committed: when a commit was made, by its SHA; a commit that is not in it counts as unknown.
    :raises InputError: when an instant has no zone, or the window ends before it starts.
    """
    check_instant(start)
    check_instant(end)
    if start >= end:
        raise InputError(f"The window ends at {end}, not after its start", way_out="let it end after it starts")
    by_service: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        by_service.setdefault((record.namespace, record.service), []).append(record)
    changes = [change for each in by_service.values() for change in _changes(each)]
    within = [each for each in changes if each.record.finished and start <= each.record.finished < end]
    good = [each.record for each in within if each.record.stage is Stage.LIVE]
    lead_times = [time for each in good if (time := _lead_time(each, committed or {})) is not None]
    failures = [each for each in within if each.failed]
    return {
        "start": start.isoformat(),
        "end": end.isoformat(),
        "releases": len(within),
        "failures": len(failures),
        "deployment_frequency": len(good) / ((end - start) / timedelta(days=1)),
        "lead_time": _median(lead_times),
        "lead_times_unknown": len(good) - len(lead_times),
        "change_failure_rate": len(failures) / len(within) if within else None,
        "time_to_restore": _median([each.restored - each.since for each in failures if each.restored and each.since]),
        "incomplete": sorted(service for (_, service), each in by_service.items() if _cut_off(each, start)),
    }


def commit_time(labels: Mapping[str, str], commit: str) -> datetime | None:
    """Return when a commit was made, as an image says that was built from it; ``None`` where it says nothing of it."""
    if labels.get(REVISION) != commit:
        return None
    try:
        made = datetime.fromisoformat(labels.get(CREATED, "").replace("Z", "+00:00"))
    except ValueError:
        return None
    return made if made.tzinfo else None


def in_words(dora: DoraDict) -> str:
    """Return the figures in one sentence, without its full stop."""
    rate = dora["change_failure_rate"]
    parts = [
        f"{dora['releases']} releases, {dora['deployment_frequency']:.2f} good ones a day",
        f"lead time {_said(dora['lead_time'])} ({dora['lead_times_unknown']} unknown)",
        f"change failure rate {'unknown' if rate is None else f'{rate:.0%}'}",
        f"time to restore {_said(dora['time_to_restore'])}",
    ]
    missing = ", ".join(dora["incomplete"])
    return ", ".join(parts) + (f"; earlier records of {missing} are no longer kept" if missing else "")


def _changes(records: Sequence[Record]) -> list[_Change]:
    """Return every release of one service that ended, and what became of it; rollbacks tell that, and are none."""
    ordered = sorted(records, key=lambda each: each.revision)
    changes = []
    for number, record in enumerate(ordered):
        if _is_rollback(record) or record.finished is None or record.stage not in {Stage.LIVE, *_UNDONE}:
            continue
        rollback = _rolled_back_by(record, ordered[number + 1 :])
        if record.stage is Stage.ROLLED_BACK:
            changes.append(_Change(record, True, record.started, record.finished))
        elif record.stage is Stage.ABANDONED:
            changes.append(_Change(record, True, record.started, _next_good(ordered[number + 1 :])))
        elif rollback:
            changes.append(_Change(record, True, record.finished, rollback.finished))
        else:
            changes.append(_Change(record))
    return changes


def _rolled_back_by(record: Record, later: Sequence[Record]) -> Record | None:
    """Return the rollback that took this live release away: the first good one after it, if it is to before it."""
    following = next((each for each in later if each.stage is Stage.LIVE), None)
    return following if following and _is_rollback(following) and following.restores < record.revision else None


def _is_rollback(record: Record) -> bool:
    return record.strategy == "rollback" or record.restores > 0


def _next_good(later: Sequence[Record]) -> datetime | None:
    return next((each.finished for each in later if each.stage is Stage.LIVE), None)


def _lead_time(record: Record, committed: Mapping[str, datetime]) -> timedelta | None:
    made = committed.get(record.commit)
    return record.finished - made if made and record.finished else None


def _cut_off(records: Sequence[Record], start: datetime) -> bool:
    """Whether records of the window may have been deleted: the first without a gap is not number 1, and begins within.

    Before the gap one may be kept that is gone back to.
    """
    numbers = {each.revision for each in records}
    oldest = max((each for each in records if each.revision - 1 not in numbers), key=lambda each: each.revision)
    return oldest.revision > 1 and (oldest.started is None or oldest.started > start)


def _median(times: Sequence[timedelta]) -> float | None:
    return statistics.median(each.total_seconds() for each in times) if times else None


def _said(seconds: float | None) -> str:
    return "unknown" if seconds is None else str(timedelta(seconds=round(seconds)))
