"""Nodes that the cloud does not have: what a plan falls back to, and in whose words it says so."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.operators.test_plan_pools import joined
from tests.operators.test_plans import NIGHT, apply, states

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("clouds")]

SET_SIZE = "ModifyNodePoolDesiredCapacityAboutAsg"
WORDS = "S5 is sold out in zone 3"


def plan(fallback: str = "", *, spare: str = "usual: 1", more: str = "", wanted: int = 4) -> str:
    said = f", fallback: {fallback}" if fallback else ""
    return f"""\
name: nodes
time_zone: Asia/Shanghai
targets:
  nodes: {{node_pool: web, usual: 1{said}}}
  spare: {{node_pool: native, {spare}}}
windows:
  - {{name: day, cron: "0 8 * * *", duration: 12h, sizes: {{nodes: {wanted}}}}}
{more}
"""


def sold_out(clouds, *, available: int = 0, **more: Any) -> None:
    clouds.trouble("sold_out", SET_SIZE, **{"available": available, "message": WORDS, "count": None, **more})


def sizes(clouds) -> tuple[int, int]:
    return clouds.pool()["desired"], clouds.pool("native")["desired"]


async def test_without_a_fallback_the_size_stays_asked_for_and_the_task_fails(clouds):
    sold_out(clouds, available=1)
    with pytest.raises(AirflowFailException, match=WORDS):
        await apply(plan("keep"))
    assert sizes(clouds) == (4, 1)


async def test_partial_makes_do_with_what_came_and_says_why(clouds):
    sold_out(clouds, available=1)
    (row,) = (await apply(plan("partial")))["rows"]
    assert (row["state"], sizes(clouds)) == ("fell back", (2, 1))
    pool = f"node pool {clouds.pool()['id']}"
    assert row["reason"] == f"{pool} falls back to 2 nodes, 2 fewer than planned: {WORDS}"
    assert len(joined(clouds)) == 2
    clouds._ask("DELETE", "trouble", {})
    (row,) = (await apply(plan("partial"), run="later"))["rows"]
    assert (row["state"], sizes(clouds)) == ("done", (4, 1)), "the next run tries again"


async def test_another_pool_stands_in_for_as_long_as_it_has_to(clouds):
    sold_out(clouds, available=1)
    told = plan("{other_pool: spare}")
    result = await apply(told)
    web, native = (f"node pool {clouds.pool(name)['id']} ({name})" for name in ("web", "native"))
    assert (states(result), sizes(clouds)) == ({web: "fell back", native: "done"}, (2, 3))
    clouds._ask("DELETE", "trouble", {})
    sold_out(clouds)
    assert (await apply(told, run="again"))["rows"][0]["state"] == "fell back"
    assert sizes(clouds) == (2, 3), "it neither shrinks nor grows while the cloud still has no more"
    clouds._ask("DELETE", "trouble", {})
    assert states(await apply(told, run="later")) == {web: "done", native: "done"}
    assert sizes(clouds) == (4, 1), "it goes once the pool has its own"
    await apply(told, NIGHT, "night")
    assert sizes(clouds) == (1, 1)


async def test_a_stand_in_keeps_to_its_guards_and_to_the_plan_s_budget(clouds):
    sold_out(clouds)
    guarded = plan("{other_pool: spare}", spare="usual: 1, guards: {max: 3}", wanted=9)
    await apply(guarded)
    assert sizes(clouds) == (1, 3)
    await apply(guarded, NIGHT, "night")
    priced = plan("{other_pool: spare}", spare="usual: 1, price: 5", more="guards: {budget: 12}")
    with pytest.raises(AirflowFailException, match="the plan's budget of 12 an hour"):
        await apply(priced, run="priced")
    assert sizes(clouds) == (1, 1)


async def test_a_quota_that_refuses_the_write_itself_is_a_shortage_too(clouds):
    clouds.trouble("error", SET_SIZE, code="LimitExceeded.QuotaLimit", message="quota of 1 CVM is used up", count=None)
    told = plan("{other_pool: spare}", wanted=3)
    result = await apply(told)
    assert sizes(clouds) == (1, 3)
    assert "quota of 1 CVM is used up" in result["rows"][0]["reason"]


async def test_nodes_that_are_on_their_way_are_no_shortage(clouds):
    clouds._ask("POST", "clock", {"node": {"mode": "told"}})
    with pytest.raises(AirflowFailException, match="has 1 of 4 nodes ready"):
        await apply(plan("partial"), pool_timeout=1)
    assert sizes(clouds) == (4, 1)
