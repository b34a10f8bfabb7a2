"""What became of a plan: of each object, of all together, and which error that is."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypedDict

from tke_provider.domain.phrases import some
from tke_provider.domain.plans import show_size
from tke_provider.domain.proposals import markdown
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import DeadlineError, InputError, NotFoundError, OwnedError, RolloutError, TkeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tke_provider.domain.proposals import Proposal, Row
    from tke_provider.domain.rehearsals import RowResult

_MOST_TOLD = 10


class PlanResult(TypedDict):
    """What a plan would change, or changed, as it lies in XCom.

    ``rows`` holds what changed or should have, not what was right already; ``markdown`` is the page for approval.
    """

    plan: str
    at: str
    frozen: str
    unchanged: int
    rows: list[RowResult]
    cost_now: float
    cost_then: float
    markdown: str


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one object.

    :param missing: how many nodes fewer than planned it was left with, as the plan says.
    """

    row: Row
    what: Verdict | TkeError
    missing: int = 0

    @property
    def error(self) -> TkeError | None:
        """What went wrong; nothing where it has its size, or fell back as the plan says."""
        if isinstance(self.what, TkeError):
            return self.what
        if self.what.state is State.PASSED:
            return None
        kind = DeadlineError if self.what.state is State.EXPIRED else RolloutError
        problem = f"{self.row.ref} does not come to {show_size(self.row.after)}"
        return kind(problem, cause=self.what.reason, way_out="-")

    @property
    def result(self) -> RowResult:
        """The outcome as it lies in XCom."""
        if isinstance(self.what, TkeError):
            return row_result(self.row, "failed", str(self.what))
        done = "fell back" if self.missing else "done" if self.row.direction != "none" else "verified"
        return row_result(self.row, "failed" if self.error else done, self.what.reason)

    def __str__(self) -> str:
        """One line for the log."""
        sizes = f"{show_size(self.row.before)} to {show_size(self.row.after)}"
        if isinstance(self.what, Verdict) and self.what.state is State.PASSED and not self.missing:
            return f"{self.row.ref}: {sizes}, {self.row.reason}"
        return f"{self.row.ref}: not {sizes}: {self.what.reason if isinstance(self.what, Verdict) else self.what}"


def row_result(row: Row, state: str, reason: str) -> RowResult:
    """Return an object as it lies in XCom."""
    before, after = show_size(row.before), show_size(row.after)
    return {"ref": row.ref, "before": before, "after": after, "owner": row.owner, "state": state, "reason": reason}


def rehearsed(proposal: Proposal) -> PlanResult:
    """Return what a plan would change, and what it may not."""
    return plan_result(proposal, [row.line.result for row in (*proposal.changes, *proposal.blocked)])


def plan_result(proposal: Proposal, rows: list[RowResult]) -> PlanResult:
    """Return the whole plan as it lies in XCom."""
    return {
        "plan": proposal.plan,
        "at": proposal.at.isoformat(),
        "frozen": proposal.frozen,
        "unchanged": sum(row.direction == "none" for row in proposal.rows),
        "rows": rows,
        "cost_now": proposal.cost_now,
        "cost_then": proposal.cost_then,
        "markdown": markdown(proposal),
    }


def refuse_missing(proposal: Proposal, missing: Sequence[str]) -> None:
    """Refuse to rehearse what names objects that do not exist.

    :raises NotFoundError: naming them.
    """
    if missing:
        raise NotFoundError(
            f"Plan {proposal.plan} names what does not exist", cause="; ".join(missing), way_out="correct the plan"
        )


def refuse_failures(proposal: Proposal, missing: Sequence[str], outcomes: Sequence[Outcome]) -> None:
    """Tell every failure at once.

    :raises TkeError: of the kind of the first failure that no retry mends, or else of the first.
    """
    failures: list[TkeError] = [NotFoundError(each, way_out="-") for each in missing]
    failures += [blocked(row) for row in proposal.blocked]
    failures += [error for each in outcomes if (error := each.error)]
    if not failures:
        return
    kinds = [error for error in failures if not error.retryable] or failures
    raise type(kinds[0])(
        f"{len(failures)} of {len(proposal.rows) + len(missing)} objects of plan {proposal.plan} are not"
        " as they should be",
        cause=some([error.cause or error.problem for error in failures], _MOST_TOLD, "; "),
        way_out="remove the causes and run the task again; everything else is done",
    )


def blocked(row: Row) -> TkeError:
    """Return the error of an object that may not be changed."""
    why = "; ".join(row.blockers)
    kind = OwnedError if "is written by" in why else InputError
    return kind(f"{row.ref} is not changed", cause=f"{row.ref}: {why}", way_out="-")
