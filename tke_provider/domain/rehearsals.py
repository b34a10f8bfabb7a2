"""Rehearsals: what would be changed, object by object, as a table for whoever approves it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HEAD = ("| object | now | then | why | owner | blocked by | cost an hour |", "|---|--:|--:|---|---|---|--:|")


class RowResult(TypedDict):
    """What became of one object, as it lies in XCom.

    ``state`` is ``to change``, ``blocked`` or ``unchanged`` in a rehearsal; else ``done``, ``failed``, ``fell back``
    where the cloud had no more nodes and the plan says what then, or ``verified`` where an earlier try had written it.
    """

    ref: str
    before: str
    after: str
    owner: str
    state: str
    reason: str


class Rehearsal(TypedDict):
    """What a task would change, as it lies in XCom; ``markdown`` is the page for approval."""

    rows: list[RowResult]
    markdown: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One object that may be changed, as people read it.

    :param ref: what people call it.
    :param before: its size, or whatever else is changed of it.
    :param after: what that would become.
    :param owner: who else writes it; empty where nobody does.
    :param blockers: why nothing would be changed; empty where it would.
    :param cost: what the change costs more an hour.
    """

    ref: str
    before: str
    after: str
    why: str
    owner: str = ""
    blockers: tuple[str, ...] = ()
    cost: str = ""

    @property
    def result(self) -> RowResult:
        """The line as it lies in XCom."""
        state = "unchanged" if self.before == self.after else "blocked" if self.blockers else "to change"
        reason = "; ".join(self.blockers) if state == "blocked" else self.why
        return RowResult(
            ref=self.ref, before=self.before, after=self.after, owner=self.owner, state=state, reason=reason
        )


def table(lines: Iterable[Line]) -> list[str]:
    """Return the rows of a table in Markdown, its head first."""
    return [*_HEAD, *map(_row, lines)]


def rehearsal(task: str, lines: Sequence[Line]) -> Rehearsal:
    """Return what a task would change.

    :param task: its id.
    """
    page = [f"## What {cell(task)} would change", "", *table(lines)]
    return Rehearsal(rows=[line.result for line in lines], markdown="\n".join(page))


def cell(text: str) -> str:
    """Return text that breaks no table."""
    return " ".join(text.split()).replace("|", "\\|")


def _row(line: Line) -> str:
    blockers = "; ".join(line.blockers)
    cells = (line.ref, line.before, line.after, line.why, line.owner, blockers, line.cost)
    return f"| {' | '.join(map(cell, cells))} |"
