"""A verdict: a state, and one sentence that a person can act on."""

from __future__ import annotations

import dataclasses
import enum
from typing import TypedDict


class State(str, enum.Enum):
    """Where a thing stands between wanted and reached."""

    PENDING = "pending"
    """Not yet; looking again makes sense."""
    PASSED = "passed"
    """Reached, for certain."""
    FAILED = "failed"
    """Will not be reached, for certain."""
    EXPIRED = "expired"
    """The time given ran out while it was still pending."""
    INCONCLUSIVE = "inconclusive"
    """It ended and says nothing either way. Never to be taken for ``PASSED``."""


class VerdictEvent(TypedDict):
    """A verdict as it crosses the database, from a trigger to its operator."""

    state: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """A state and the reason for it.

    :param state: where the thing stands.
    :param reason: one sentence without its full stop, naming the thing.
    """

    state: State
    reason: str

    @property
    def final(self) -> bool:
        """Whether looking again cannot change it."""
        return self.state is not State.PENDING

    def as_event(self) -> VerdictEvent:
        """Return the form that a trigger hands to its operator."""
        return {"state": self.state.value, "reason": self.reason}

    @classmethod
    def from_event(cls, event: VerdictEvent | None) -> Verdict:
        """Read what a trigger handed over; anything unknown is inconclusive, never a pass."""
        try:
            assert event is not None  # noqa: S101  # handled below like any other malformed event
            return cls(State(event["state"]), event["reason"])
        except (AssertionError, KeyError, TypeError, ValueError):
            return cls(State.INCONCLUSIVE, f"the trigger handed over {event!r}, which is no verdict")


def pending(reason: str) -> Verdict:
    """Return the verdict *not yet*."""
    return Verdict(State.PENDING, reason)


def passed(reason: str) -> Verdict:
    """Return the verdict *reached*."""
    return Verdict(State.PASSED, reason)


def failed(reason: str) -> Verdict:
    """Return the verdict *will not be reached*."""
    return Verdict(State.FAILED, reason)


def expired(reason: str) -> Verdict:
    """Return the verdict *not in the time given*."""
    return Verdict(State.EXPIRED, reason)


def inconclusive(reason: str) -> Verdict:
    """Return the verdict *says nothing either way*."""
    return Verdict(State.INCONCLUSIVE, reason)
