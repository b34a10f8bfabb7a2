"""What a plan would change: every object with its size, the one that should hold, its owner, and what stands against.

The same proposal is shown for approval and carried out, so the two cannot disagree.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal, NamedTuple

from tke_provider.domain.phrases import count
from tke_provider.domain.plans import Kind, Size, least, outlook, show_size
from tke_provider.domain.rehearsals import Line, cell, table
from tke_provider.domain.scaling import Bounds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from tke_provider.domain.plans import Claim, Plan, Target

_MOST_SHOWN = 200

Direction = Literal["up", "down", "none"]


class Began(NamedTuple):
    """What an object had before an operation first wrote it, noted before that: a retry takes no second step."""

    size: int
    bounds: Bounds | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What there is of one object that a plan sizes.

    :param target: what the plan calls it.
    :param ref: what people call it.
    :param size: the number that is written; for an autoscaler its lower bound.
    :param bounds: of a node pool or autoscaler; none where the object has no bounds.
    :param recorded: its usual size, as recorded when a plan first changed it.
    :param owner: who else writes the size; empty where nobody does.
    :param blockers: what stands against any change.
    :param growth_blockers: what stands against growing.
    :param room: how many pods more the quotas allow, and which one decides; none: no limit is known.
    :param began: what it had before this operation wrote it, in an earlier try; none where that did not happen.
    """

    target: str
    ref: str
    size: int
    bounds: Bounds | None = None
    recorded: Size | None = None
    owner: str = ""
    blockers: tuple[str, ...] = ()
    growth_blockers: tuple[str, ...] = ()
    room: tuple[int, str] | None = None
    began: Began | None = None


def named_once(present: Present, targets: Sequence[str]) -> Present:
    """Return an object, which is not to be changed where several targets name it: each would undo the others.

    :param targets: every one that names it.
    """
    if len(targets) == 1:
        return present
    return dataclasses.replace(
        present, blockers=(*present.blockers, f"the plan sizes it as {' and as '.join(targets)}")
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One object's change.

    :param before: its size, or its bounds where those are what changes.
    :param after: what this run makes of it.
    :param wanted: what the plan wants in the end; differs from ``after`` where a step is limited.
    :param usual: the size outside all windows.
    :param window: by which the size is wanted; empty outside all.
    :param blockers: why nothing is changed; empty where it is.
    :param cost: what the change costs more an hour.
    :param stands_in_for: the target whose missing nodes it brings besides its own.
    :param began: its size before this operation wrote it, from which a limited step counts; default: ``before``.
    """

    target: str
    ref: str
    before: Size
    after: Size
    wanted: Size
    usual: Size
    window: str = ""
    owner: str = ""
    blockers: tuple[str, ...] = ()
    cost: float = 0.0
    stands_in_for: str = ""
    began: Size | None = None

    @property
    def direction(self) -> Direction:
        """Whether it grows; of a range, its lower end says so."""
        if self.before == self.after:
            return "none"
        return "up" if _weight(self.after) > _weight(self.before) else "down"

    @property
    def reason(self) -> str:
        """Why, in a few words."""
        why = f"window {self.window}" if self.window else "the usual size"
        if self.after != self.wanted:
            why += f", {show_size(self.wanted)} in steps"
        return f"{why}, and standing in for {self.stands_in_for}" if self.stands_in_for else why

    @property
    def line(self) -> Line:
        """The row as people read it."""
        return Line(
            ref=self.ref,
            before=show_size(self.before),
            after=show_size(self.after),
            why=self.reason,
            owner=self.owner,
            blockers=self.blockers,
            cost=f"{self.cost:+g}" if self.cost else "",
        )

    def blocked(self, *blockers: str) -> Row:
        """Return the row with more that stands against it."""
        return dataclasses.replace(self, blockers=(*self.blockers, *blockers))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a plan would change at an instant.

    :param frozen: the freeze that holds; empty when none does.
    :param cost_now: of everything that has a price, an hour.
    :param cost_then: after the changes that nothing stands against.
    :param warning: what will keep the plan from working soon; empty when nothing will.
    """

    plan: str
    at: datetime
    rows: Sequence[Row]
    frozen: str = ""
    cost_now: float = 0.0
    cost_then: float = 0.0
    warning: str = ""

    @property
    def changes(self) -> list[Row]:
        """Rows that would be changed."""
        return [row for row in self.rows if row.direction != "none" and not row.blockers]

    @property
    def blocked(self) -> list[Row]:
        """Rows that should be changed and may not be."""
        return [row for row in self.rows if row.direction != "none" and row.blockers]


def propose(plan: Plan, now: datetime, found: Iterable[Present]) -> Proposal:
    """Compare what should hold at an instant with what there is.

    Where the plan's budget would be exceeded, nothing with a price grows; what shrinks, shrinks.
    """
    presents = list(found)
    frozen = plan.frozen(now)
    claims = {name: plan.claim(target, now) for name, target in plan.targets.items()}
    rows = [compare(plan.targets[each.target], claims[each.target], each) for each in presents]
    if frozen:
        rows = [row.blocked(f"freeze {frozen}") if row.direction != "none" else row for row in rows]
    now_costs = sum(plan.targets[row.target].price * least(row.before) for row in rows)
    rows = _within_budget(plan, rows, now_costs)
    then = now_costs + sum(row.cost for row in rows if not row.blockers)
    costs = {"cost_now": now_costs, "cost_then": then}
    return Proposal(plan=plan.name, at=now, rows=rows, frozen=frozen, warning=outlook(plan, now), **costs)


def compare(target: Target, claim: Claim, present: Present) -> Row:
    """Compare what should hold for one object with what there is of it."""
    usual = next(each for each in (target.usual, present.recorded, _own_size(target, present)) if each is not None)
    asked = target.guarded(claim.size(usual))
    start = dataclasses.replace(present, **present.began._asdict()) if present.began else present
    began, wanted = _comparable(target, start, asked)
    before, _ = _comparable(target, present, asked)
    after = _stepped(before, _stepped(began, wanted, target.step), target.step)
    row = Row(
        target=target.name,
        ref=present.ref,
        before=before,
        after=after,
        wanted=wanted,
        usual=usual,
        window=claim.window,
        owner=present.owner,
        blockers=present.blockers,
        cost=target.price * (least(after) - least(before)),
        began=began,
    )
    beyond = _beyond(target, present, asked)
    more = present.growth_blockers if row.direction == "up" else ()
    return row.blocked(*beyond, *more, *_without_room(row, present))


def _without_room(row: Row, present: Present) -> tuple[str, ...]:
    """What quotas do not allow."""
    more = least(row.after) - least(row.before)
    if present.room is None or more <= 0 or more <= present.room[0]:
        return ()
    allowed, quota = present.room
    return (f"{quota} has room for {count(allowed, 'pod')} more",)


def stand_in(plan: Plan, proposal: Proposal, row: Row, missing: int, short: Row) -> Row:
    """Return the row of a pool that brings, besides its own nodes, those that another pool did not get.

    Guards, budget and biggest step hold as ever: what lies beyond them is not asked for.

    :param row: of the pool that stands in.
    :param missing: how many nodes the other one lacks.
    :param short: of the other one.
    """
    target = plan.targets[row.target]
    wanted = target.guarded(_plus(row.after, missing))
    began = row.before if row.began is None else row.began
    after = _stepped(row.before, _stepped(began, wanted, target.step), target.step)
    spared = plan.targets[short.target].price * missing
    then = proposal.cost_then - spared + target.price * (least(after) - least(row.after))
    stands_in_for = f"{row.stands_in_for}, {short.target}".removeprefix(", ")
    cost = target.price * (least(after) - least(row.before))
    row = dataclasses.replace(row, after=after, wanted=wanted, cost=cost, stands_in_for=stands_in_for)
    if plan.budget is not None and then > plan.budget:
        return row.blocked(f"the plan's budget of {plan.budget:g} an hour, of which this would take {then:g}")
    return row


def _plus(size: Size, more: int) -> Size:
    if isinstance(size, Bounds):
        return Bounds(size.minimum + more, max(size.maximum, size.minimum + more))
    return size + more


def _own_size(target: Target, present: Present) -> Size:
    """What there is when a plan first comes along: of an autoscaler, both of its bounds."""
    return present.size if present.bounds is None or target.kind is Kind.NODE_POOL else present.bounds


def _comparable(target: Target, present: Present, wanted: Size) -> tuple[Size, Size]:
    """Return what is and what should be in the same terms: two numbers, or two ranges."""
    if present.bounds is None:
        if isinstance(wanted, Bounds):
            return present.size, min(max(present.size, wanted.minimum), wanted.maximum)
        return present.size, wanted
    if target.kind is Kind.NODE_POOL:
        return (present.bounds if isinstance(wanted, Bounds) else present.size), wanted
    if isinstance(wanted, Bounds):
        return present.bounds, wanted
    # Of an autoscaler, a number is the lower bound. The upper one is never raised by that.
    return present.bounds, Bounds(wanted, max(wanted, present.bounds.maximum))


def _stepped(before: Size, wanted: Size, step: int | None) -> Size:
    if step is None:
        return wanted
    if isinstance(before, Bounds) and isinstance(wanted, Bounds):
        low = _step(before.minimum, wanted.minimum, step)
        return Bounds(low, max(low, _step(before.maximum, wanted.maximum, step)))
    return _step(least(before), least(wanted), step)


def _step(before: int, wanted: int, step: int) -> int:
    return before + max(-step, min(step, wanted - before))


def _beyond(target: Target, present: Present, asked: Size) -> tuple[str, ...]:
    """What a number may not become, because of bounds that it leaves as they are."""
    bounds = present.bounds
    if bounds is None or isinstance(asked, Bounds):
        return ()
    if asked > bounds.maximum:
        return (f"{asked} is above its maximum of {bounds.maximum}",)
    if target.kind is Kind.NODE_POOL and asked < bounds.minimum and not present.owner:
        return (f"{asked} is below its minimum of {bounds.minimum}",)
    return ()


def _within_budget(plan: Plan, rows: list[Row], now_costs: float) -> list[Row]:
    then = now_costs + sum(row.cost for row in rows if not row.blockers)
    if plan.budget is None or then <= plan.budget:
        return rows
    why = f"the plan's budget of {plan.budget:g} an hour, of which this would take {then:g}"
    return [row.blocked(why) if row.cost > 0 and not row.blockers else row for row in rows]


def _weight(size: Size) -> tuple[int, int]:
    return (size.minimum, size.maximum) if isinstance(size, Bounds) else (size, size)


# --- shown ------------------------------------------------------------------------------------------------------------


def markdown(proposal: Proposal) -> str:
    """Return the proposal as a page for whoever approves it: what is blocked, what changes, and what it costs."""
    shown = [*proposal.blocked, *proposal.changes]
    same = len(proposal.rows) - len(shown)
    head = [
        f"## Plan {cell(proposal.plan)} at {proposal.at:%Y-%m-%d %H:%M %Z}",
        "",
        f"{len(proposal.changes)} to change, {len(proposal.blocked)} blocked, {same} as they should be.",
    ]
    if proposal.frozen:
        head.append(f"Nothing is changed: freeze {cell(proposal.frozen)}.")
    if proposal.warning:
        head.append(f"Take care: {proposal.warning}.")
    if proposal.cost_now or proposal.cost_then:
        head.append(f"Cost an hour: {proposal.cost_now:g} now, {proposal.cost_then:g} then.")
    if not shown:
        return "\n".join(head)
    rest = ["", f"and {more} more."] if (more := len(shown) - _MOST_SHOWN) > 0 else []
    return "\n".join([*head, "", *table(row.line for row in shown[:_MOST_SHOWN]), *rest])
