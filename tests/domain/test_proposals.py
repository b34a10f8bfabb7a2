"""From what there is and what should be to what would be changed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tke_provider.domain.plans import Freeze, Kind, Percent, Plan, PlanWindow, Target
from tke_provider.domain.proposals import Began, Present, Row, markdown, propose, stand_in
from tke_provider.domain.scaling import Bounds
from tke_provider.domain.windows import Recurring

NOW = datetime(2026, 11, 23, 4, tzinfo=timezone.utc)
ALWAYS = Recurring(zone="UTC", cron="0 * * * *", duration=timedelta(hours=2))


def plan(wanted, budget: float | None = None, frozen: bool = False, **target) -> Plan:
    """A plan that wants this of web, at any time; nothing: the usual size."""
    web = Target(**{"name": "web", "kind": Kind.SERVICE, **target})
    windows = [PlanWindow("always", ALWAYS, {"web": wanted})] if wanted is not None else []
    freezes = [Freeze("audit", ALWAYS)] if frozen else []
    return Plan(name="p", zone="UTC", targets={"web": web}, windows=windows, freezes=freezes, budget=budget)


def present(size: int = 2, **more) -> Present:
    return Present(**{"target": "web", "ref": "Deployment shop/web", "size": size, **more})


def row(of: Plan, there: Present):
    (only,) = propose(of, NOW, [there]).rows
    return only


@pytest.mark.parametrize(
    ("wanted", "there", "change"),
    [
        (5, present(2), (2, 5)),
        (5, present(5), (5, 5)),
        (Bounds(3, 6), present(2), (2, 3)),
        (Bounds(3, 6), present(4), (4, 4)),
        (Bounds(3, 6), present(9), (9, 6)),
        (Percent(200), present(2), (2, 4)),
        (Percent(200), present(4, recorded=2), (4, 4)),
        (None, present(4, recorded=2), (4, 2)),
        (None, present(4), (4, 4)),
    ],
)
def test_a_service_goes_from_its_size_to_the_wanted_one(wanted, there, change):
    found = row(plan(wanted), there)
    assert (found.before, found.after) == change


@pytest.mark.parametrize(
    ("wanted", "after"),
    [(3, Bounds(3, 8)), (Bounds(2, 20), Bounds(2, 20)), (Percent(50), Bounds(1, 4)), (None, Bounds(2, 8))],
)
def test_an_autoscaler_gets_bounds(wanted, after):
    assert row(plan(wanted, kind=Kind.HPA), present(2, bounds=Bounds(2, 8))).after == after


@pytest.mark.parametrize(
    ("wanted", "before", "after"), [(3, 2, 3), (Bounds(3, 20), Bounds(1, 10), Bounds(3, 20)), (Percent(200), 2, 4)]
)
def test_a_node_pool_gets_a_size_or_bounds(wanted, before, after):
    found = row(plan(wanted, kind=Kind.NODE_POOL, usual=2), present(2, bounds=Bounds(1, 10)))
    assert (found.before, found.after) == (before, after)


@pytest.mark.parametrize(
    ("kind", "wanted", "told"),
    [
        (Kind.NODE_POOL, 11, "11 is above its maximum of 10"),
        (Kind.NODE_POOL, 0, "0 is below its minimum of 1"),
        (Kind.HPA, 11, "11 is above its maximum of 10"),
    ],
)
def test_a_number_outside_bounds_that_it_does_not_change_is_blocked(kind, wanted, told):
    found = row(plan(wanted, kind=kind, usual=2), present(2, bounds=Bounds(1, 10)))
    assert found.blockers == (told,)


def test_one_run_takes_no_bigger_step_than_the_plan_allows():
    found = row(plan(9, step=3), present(2))
    assert (found.after, found.wanted, found.reason) == (5, 9, "window always, 9 in steps")
    assert row(plan(0, step=3), present(5)).after == 2


@pytest.mark.parametrize(
    ("there", "began", "after"),
    [
        (2, None, 5),
        (5, Began(2), 5),
        (3, Began(2), 5),
        (1, Began(2), 4),  # somebody else has moved it: no bigger step even so
        (20, Began(2), 17),
        (Bounds(2, 8), None, Bounds(5, 11)),
        (Bounds(5, 11), Began(2, Bounds(2, 8)), Bounds(5, 11)),
    ],
)
def test_a_retry_goes_to_where_its_first_try_went(there, began, after):
    if isinstance(there, Bounds):
        found = row(plan(Bounds(9, 20), kind=Kind.HPA, step=3), present(there.minimum, bounds=there, began=began))
    else:
        found = row(plan(9, step=3), present(there, began=began))
    assert (found.before, found.after) == (there, after)


@given(size=st.integers(0, 60), wanted=st.integers(0, 60), step=st.integers(1, 20))
def test_steps_arrive_and_never_overshoot(size, wanted, step):
    runs = 0
    while (found := row(plan(wanted, step=step), present(size))).direction != "none":
        assert min(size, wanted) <= found.after <= max(size, wanted)
        assert abs(found.after - size) <= step
        size = found.after
        runs += 1
    assert size == wanted
    assert runs <= 60


@given(size=st.integers(0, 60), wanted=st.integers(0, 60))
def test_what_was_applied_needs_no_more_change(size, wanted):
    after = row(plan(wanted), present(size)).after
    assert row(plan(wanted), present(after, recorded=size)).direction == "none"


def test_in_a_freeze_every_change_is_blocked_and_nothing_else():
    assert row(plan(5, frozen=True), present(2)).blockers == ("freeze audit",)
    assert row(plan(2, frozen=True), present(2)).blockers == ()


@pytest.mark.parametrize(("wanted", "told"), [(5, "no quota"), (1, None), (2, None)])
def test_what_stands_against_growing_does_not_keep_from_shrinking(wanted, told):
    there = present(2, growth_blockers=("no quota",))
    assert row(plan(wanted), there).blockers == ((told,) if told else ())


def test_over_the_budget_nothing_grows_and_what_shrinks_shrinks():
    found = propose(plan(5, budget=8, price=1), NOW, [present(2), present(9, ref="Deployment shop/api")])
    grows, shrinks = found.rows
    assert grows.blockers == ("the plan's budget of 8 an hour, of which this would take 10",)
    assert shrinks.blockers == ()
    assert (found.cost_now, found.cost_then) == (11, 7)


def test_the_page_for_approval_shows_what_is_blocked_first_and_what_it_costs():
    found = propose(
        plan(5, price=0.5), NOW, [present(2), present(3, ref="Deployment shop/a|b", blockers=("held",), owner="HPA x")]
    )
    page = markdown(found).splitlines()
    assert page[0] == "## Plan p at 2026-11-23 04:00 UTC"
    assert "1 to change, 1 blocked, 0 as they should be." in page
    assert "Cost an hour: 2.5 now, 4 then." in page
    assert page[-2:] == [
        "| Deployment shop/a\\|b | 3 | 5 | window always | HPA x | held | +1 |",
        "| Deployment shop/web | 2 | 5 | window always |  |  | +1.5 |",
    ]


def test_a_page_of_a_thousand_objects_stays_readable():
    page = markdown(propose(plan(5), NOW, [present(2, ref=f"Deployment shop/{n}") for n in range(1000)]))
    assert page.count("\n| Deployment") == 200
    assert page.endswith("and 800 more.")


@pytest.mark.parametrize(
    ("wanted", "free", "told"),
    [
        (5, 2, ("quota team (cpu 3 of 4) has room for 2 pods more",)),
        (5, 3, ()),
        (1, 0, ()),
        (Percent(100), 0, ()),
    ],
)
def test_what_a_quota_has_no_room_for_is_blocked_and_nothing_else(wanted, free, told):
    there = present(2, room=(free, "quota team (cpu 3 of 4)"))
    assert row(plan(wanted), there).blockers == told


# --- standing in ------------------------------------------------------------------------------------------------------


def lent(after: int | Bounds, missing: int, *, before: int | Bounds = 1, budget: float | None = None, **spare) -> Row:
    """The row of pool spare that stands in for so many nodes of pool web."""
    web = Target(name="web", kind=Kind.NODE_POOL, usual=1, price=1)
    other = Target(**{"name": "spare", "kind": Kind.NODE_POOL, "usual": 1, **spare})
    whole = Plan(name="p", zone="UTC", targets={"web": web, "spare": other}, windows=[], budget=budget)
    short = Row(target="web", ref="web", before=1, after=5, wanted=5, usual=1)
    own = Row(target="spare", ref="spare", before=before, after=after, wanted=after, usual=1)
    proposal = propose(whole, NOW, [])
    return stand_in(whole, proposal, own, missing, short)


@pytest.mark.parametrize(
    ("after", "more", "gets"),
    [
        (1, {}, 4),
        (1, {"maximum": 3}, 3),
        (1, {"step": 2}, 3),
        (Bounds(1, 2), {"before": Bounds(1, 2)}, Bounds(4, 4)),
        (Bounds(1, 9), {"before": Bounds(1, 9)}, Bounds(4, 9)),
    ],
)
def test_a_pool_brings_the_missing_nodes_besides_its_own_within_its_guards(after, more, gets):
    found = lent(after, 3, **more)
    assert (found.after, found.stands_in_for) == (gets, "web")
    assert found.reason.endswith("standing in for web")


def test_a_stand_in_that_would_cost_too_much_is_blocked():
    assert not lent(1, 3, price=2, budget=3).blockers, "what the others would have cost is spared"
    assert lent(1, 3, price=3, budget=3).blockers == ("the plan's budget of 3 an hour, of which this would take 6",)
