"""The calendar of a plan: which size holds when, as stretches of time, by the function that the scalers go by."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING

from tke_provider.domain.plans import Percent, show_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tke_provider.domain.plans import Plan, Target

STEP = timedelta(minutes=15)
"""How finely the calendar is drawn."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which one size holds.

    :param size: as people read it; ``usual`` where the plan does not know the usual one.
    :param window: by which; empty for the usual size.
    """

    start: datetime
    end: datetime
    size: str
    window: str


def calendar(plan: Plan, start: datetime, end: datetime) -> dict[str, list[Stretch]]:
    """Return the stretches of every target between two instants, in their order and without gaps.

    :raises InputError: when an instant has no zone, or a calendar of the plan does not know the year.
    """
    return {name: list(_stretches(plan, target, start, end)) for name, target in plan.targets.items()}


def _stretches(plan: Plan, target: Target, start: datetime, end: datetime) -> Iterator[Stretch]:
    since, held, now = start, _held(plan, target, start), start
    while now < end:
        now = min(now + STEP, end)
        holds = _held(plan, target, now) if now < end else None
        if holds != held:
            yield Stretch(since, now, *held)
            since, held = now, holds or held


def _held(plan: Plan, target: Target, now: datetime) -> tuple[str, str]:
    claim = plan.claim(target, now)
    if target.usual is not None:
        return show_size(target.guarded(claim.size(target.usual))), claim.window
    if claim.wanted is None:
        return "usual", claim.window
    wanted = claim.wanted
    said = f"{wanted.percent} % of usual" if isinstance(wanted, Percent) else show_size(target.guarded(wanted))
    return said, claim.window
