"""When a change comes true: at once, after some looks, after some seconds, or when told."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

Mode = Literal["at once", "looks", "seconds", "told"]
KINDS = ("cluster", "endpoint", "idle", "node", "pool")
"""What has a pace of its own; ``default`` is the pace of everything else.

``idle``, how long a machine does nothing before the cluster autoscaler removes it, is the cluster's option otherwise.
"""


@dataclass
class Pace:
    """How long changes of one kind take.

    :param mode: ``at once``; ``looks``: the next ``amount`` looks still show the old state; ``seconds``: after
        ``amount`` seconds; ``told``: when the admin endpoint says so.
    :param amount: Looks or seconds.
    """

    mode: Mode = "at once"
    amount: float = 0

    @classmethod
    def parse(cls, text: str) -> Pace:
        """Read ``at-once``, ``told``, ``looks=2`` or ``seconds=1.5``.

        :raises ValueError: It is none of these.
        """
        if text in {"at-once", "told"}:
            return cls("at once" if text == "at-once" else "told")
        found = re.fullmatch(r"(looks|seconds)=(\d+(?:\.\d+)?)", text)
        if not found:
            raise ValueError(f"{text!r} is no pace; write at-once, looks=N, seconds=T or told")
        return cls("looks" if found[1] == "looks" else "seconds", float(found[2]))


@dataclass
class Change:
    """A state on its way.

    :param to: The state it becomes.
    :param kind: Whose pace it follows.
    :param since: When it began, in seconds since the epoch.
    :param looks: How often somebody looked since.
    """

    to: str
    kind: str
    since: float
    looks: int = 0


class Changing(Protocol):
    """Anything with a state that may be on its way to another."""

    state: str
    change: Change | None


class Clock:
    """Begins changes and lets them come true.

    :param paces: The pace of each kind, and ``default``.
    :param now: Seconds since the epoch; replaced where a test needs another time.
    """

    def __init__(self, paces: dict[str, Pace], now: Callable[[], float] = time.time) -> None:
        self.paces = paces
        self.now = now

    def begin(self, thing: Changing, to: str, kind: str) -> None:
        """Send a thing on its way to the state ``to``; it is there already if that takes no time."""
        thing.change = Change(to, kind, self.now())
        self.settle(thing)

    def settle(self, thing: Changing, *, look: bool = False) -> None:
        """Let the change of a thing come true if it is due; ``look`` counts as one look at it."""
        if thing.change is None:
            return
        thing.change.looks += look
        if self._due(thing.change):
            finish(thing)

    def _due(self, change: Change) -> bool:
        pace = self.paces.get(change.kind) or self.paces.get("default") or Pace()
        if pace.mode == "looks":
            return change.looks > pace.amount
        if pace.mode == "seconds":
            return self.now() - change.since >= pace.amount
        return pace.mode == "at once"


def finish(thing: Changing) -> None:
    """Let a change come true now."""
    if thing.change is not None:
        thing.state = thing.change.to
        thing.change = None
