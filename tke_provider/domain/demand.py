"""Demand: how many pods a metric asks for, without following every twitch of it."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, NamedTuple

from tke_provider.domain.phrases import count
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tke_provider.domain.scaling import Bounds

SIZED_AT = "tke.airflow/sized-at"
"""Annotation: when the operation in ``SIZED_BY`` wrote the size, in seconds since the epoch."""


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """How a metric becomes a number of pods: ``ceil(value / target)``, within bounds.

    As the HPA computes it (Kubernetes documentation, "Horizontal Pod Autoscaling", "Algorithm details").

    :param target: how much one pod takes, in the metric's own unit.
    :param bounds: the least and the most pods.
    :param tolerance: how far the value per pod may lie from the target, as a part of it, before anything changes.
    :param stabilise_up: seconds; the least that the metric asked for in them is taken before pods are added.
    :param stabilise_down: seconds; the most that it asked for in them is taken before pods are removed.
    :param cooldown: seconds after a change of the size in which no other one is made.
    :raises InputError: when one of them makes no sense.
    """

    target: float
    bounds: Bounds
    tolerance: float = 0.1
    stabilise_up: float = 0.0
    stabilise_down: float = 300.0
    cooldown: float = 60.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.target) and self.target > 0):
            raise InputError(f"target is {self.target!r}", way_out="say how much one pod takes: more than zero")
        for name in ("tolerance", "stabilise_up", "stabilise_down", "cooldown"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} is {value!r}", way_out="give zero or more")

    def wanted(self, value: float) -> int:
        """Return how many pods a value asks for."""
        # A hair above a whole number of pods is rounding, not demand.
        pods = math.ceil(value / self.target - 1e-9)
        return min(max(pods, self.bounds.minimum), self.bounds.maximum)


class Choice(NamedTuple):
    """A size, and one sentence for it without its full stop."""

    size: int
    reason: str


def choose(
    policy: Policy,
    current: int,
    value: float,
    history: Iterable[tuple[float, float]] = (),
    *,
    now: float,
    sized_at: float | None = None,
) -> Choice:
    """Choose the size that a metric asks for.

    Bounds hold whatever the metric says, at once; everything else waits for cooldown and stabilisation.

    :param current: how many pods there are to be now.
    :param value: of the metric, now; all pods together.
    :param history: instant and value in the time before.
    :param sized_at: when the size was last changed; None when that is not known.
    """
    asked = f"{value:.6g} at {policy.target:.6g} a pod asks for {count(policy.wanted(value), 'pod')}"
    within = min(max(current, policy.bounds.minimum), policy.bounds.maximum)
    if within != current:
        return Choice(policy.wanted(value), f"{asked}, and {current} is out of bounds")
    if current and abs(value / (policy.target * current) - 1) <= policy.tolerance:
        return Choice(current, f"{asked}, which {count(current, 'pod')} can take within the tolerance")
    wanted = policy.wanted(value)
    if wanted == current:
        return Choice(current, asked)
    # Another worker's clock may be a little ahead of ours; one that is hours ahead is not to keep the size for hours.
    if sized_at is not None and abs(now - sized_at) < policy.cooldown:
        rest = policy.cooldown - (now - sized_at)
        return Choice(current, f"{asked}, and it stays at {current} for {rest:.0f} more seconds of cooldown")
    known = [(at, policy.wanted(past)) for at, past in history if math.isfinite(past)]
    steady = _steady(policy, current, wanted, known, now)
    if steady != wanted:
        return Choice(steady, f"{asked}, and in the time before it asked for {count(steady, 'pod')}")
    return Choice(wanted, asked)


def _steady(policy: Policy, current: int, wanted: int, known: list[tuple[float, int]], now: float) -> int:
    """Return the size that was asked for all the time, never beyond the present one."""
    if wanted > current:
        least = min([wanted, *(size for at, size in known if now - at <= policy.stabilise_up)])
        return max(least, current)
    most = max([wanted, *(size for at, size in known if now - at <= policy.stabilise_down)])
    return min(most, current)
