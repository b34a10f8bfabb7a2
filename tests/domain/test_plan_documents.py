from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import jsonschema
import pytest

from tke_provider.domain.documents import schema_of
from tke_provider.domain.plan_documents import SCHEMA, parse
from tke_provider.domain.plans import Kind, Percent
from tke_provider.domain.scaling import Bounds
from tke_provider.exceptions import ManifestError

PLAN = """\
name: shop
time_zone: Asia/Shanghai
cluster: cls-12345678
calendar:
  holidays: CN
  days_off: [2026-12-31]
targets:
  shop:
    service: {namespace: production, name: shop}
    guards: {min: 1, max: 40, step: 10}
  nodes:
    node_pool: web
    usual: 2
    lead: 15m
    price: 1.5
  load:
    hpa: {namespace: production, name: shop}
windows:
  - name: working hours
    cron: "0 8 * * *"
    duration: 12h
    only_on: {days: workdays}
    sizes:
      shop: 150%
      nodes: 5
      load: {min: 2, max: 9}
  - name: sale
    priority: 10
    from: 2026-11-10 20:00
    until: 2026-11-12 02:00
    sizes: {shop: 30}
freezes:
  - {name: audit, cron: "0 0 1 * *", duration: 1d}
guards: {budget: 100}
"""


def changed(*changes: tuple[str, str]) -> str:
    """The plan with other words in some places, each of which it has."""
    plan = PLAN
    for old, new in changes:
        assert old in plan
        plan = plan.replace(old, new, 1)
    return plan


def mistakes(plan: str) -> str:
    with pytest.raises(ManifestError) as refused:
        parse(plan)
    return str(refused.value)


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema_of(SCHEMA))


def test_a_plan_says_what_is_sized_when_and_within_what():
    plan = parse(PLAN)
    shop, nodes, load = plan.targets.values()
    assert (shop.kind, shop.cluster, shop.minimum, shop.maximum, shop.step) == (Kind.SERVICE, "cls-12345678", 1, 40, 10)
    assert (nodes.kind, nodes.usual, nodes.lead.total_seconds(), nodes.price) == (Kind.NODE_POOL, 2, 900, 1.5)
    assert str(load) == "HPA production/shop"
    assert plan.windows[0].sizes == {"shop": Percent(150), "nodes": 5, "load": Bounds(2, 9)}
    assert (plan.windows[1].priority, plan.budget, plan.freezes[0].name) == (10, 100, "audit")


@pytest.mark.parametrize(
    ("at", "pods", "nodes"),
    [
        ("2026-10-10 09:00", 6, 5),  # a Saturday that is worked for the National Day's week
        ("2026-10-01 09:00", 4, 2),  # a Thursday, and National Day
        ("2026-12-31 09:00", 4, 2),  # the company's own day off
        ("2026-11-23 07:50", 4, 5),  # nodes come first
        ("2026-11-11 09:00", 30, 5),
    ],
)
def test_an_instant_gives_the_sizes_that_should_hold(at, pods, nodes):
    now = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo("Asia/Shanghai"))
    sizes = parse(PLAN).sizes(now, {"shop": 4, "load": Bounds(1, 4)})
    assert (sizes["shop"], sizes["nodes"]) == (pods, nodes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("time_zone: Asia/Shanghai\n", ""), "line 1: 'time_zone' is missing"),
        (("Asia/Shanghai", "Asia/Peking"), "line 2: 'Asia/Peking' is no time zone"),
        (("holidays: CN", "holidays: XX"), "line 4: The package holidays knows no XX"),
        (("2026-12-31", "2026-12-32"), "line 4: day is out of range"),
        (("[2026-12-31]", "[2026-12-31..2026-12-30]"), "line 4: 2026-12-31..2026-12-30 ends before it starts"),
        (("    service:", "    servce:"), "line 9: nothing is called 'servce' here: did you mean 'service'?"),
        (("    service: {", "    node_pool: x\n    service: {"), "line 8: only one of"),
        (("    usual: 2\n", ""), "'usual' is missing: the cloud has no place where node pool web's could be recorded"),
        (("lead: 15m", "lead: 25h"), "line 14: a lead is 24h at most"),
        (("lead: 15m", "lead: soon"), "write a time as in 90m, 12h or 1d6h"),
        (("{min: 1, max: 40", "{min: 50, max: 40"), "line 10: the guards of shop hold no size"),
        (("0 8 * * *", "0 25 * * *"), "line 20: '0 25 * * *' is no cron expression that ever fires"),
        (("    duration: 12h\n", ""), "line 19: 'duration' is missing"),
        (("duration: 12h", "duration: 0m"), "give it a duration above zero"),
        (("duration: 12h", "duration: 400d"), "A window lasts 400d; 366d at most, or write from and until"),
        (("duration: 12h", "duration: 99999999999999d"), "line 20: A window lasts 99999999999999d"),
        (("lead: 15m", "lead: 99999999999999d"), "line 14: a lead is 24h at most"),
        (("shop: 150%", "shp: 150%"), "line 24: there is no target 'shp': did you mean 'shop'?"),
        (("shop: 150%", "shop: lots"), 'line 24: "lots" is not understood'),
        (("shop: 150%", "shop: -1"), "line 24: -1 is not understood"),
        (("{min: 2, max: 9}", "{min: 9, max: 2}"), "line 26: Bounds from 9 to 2 hold no size"),
        (("{shop: 30}", "{shop: 50}"), "line 31: 50 for shop is above its max of 40"),
        (("{shop: 30}", "{shop: 0}"), "line 31: 0 for shop is below its min of 1"),
        (("name: sale", "name: working hours"), "line 27: two windows are called 'working hours'"),
        (
            ("2026-11-12 02:00", "2026-11-10 02:00"),
            "line 29: A window ends at 2026-11-10 02:00:00, not after its start",
        ),
        (("{days: workdays}", "{weekdays: [monday]}"), "'monday' is not one of"),
    ],
)
def test_a_mistake_is_told_with_its_line(change, told):
    assert told in mistakes(changed(change))


def test_every_mistake_is_told_at_once_in_the_order_of_the_lines():
    told = mistakes(changed(("name: shop", "name: My Shop"), ("duration: 12h", "duration: 12 hours"), ("2\n", "-2\n")))
    assert told.startswith("The plan has 3 mistakes: ")
    assert [int(line) for line in re.findall(r"line (\d+): ", told)] == [1, 13, 21]


def test_two_targets_that_are_one_object_are_refused():
    twin = "  twin:\n    service: {namespace: production, name: shop}\nwindows:"
    assert "twin is service production/shop like shop: name it once" in mistakes(changed(("windows:", twin)))


def test_a_key_that_yaml_takes_for_a_word_is_told():
    assert "nothing is called" in mistakes(changed(("only_on:", "on:")))


# --- what pools fall back to, and HorizontalPodCronscalers ------------------------------------------------------------

SPARE = "  spare: {node_pool: spare, usual: 0}\n"
NODES = "    node_pool: web\n"
HOURS = "  hours: {cron_scaler: {namespace: production, name: hours, rule: morning}}\n"


def falling_back(to: str, *, more: str = SPARE) -> str:
    return changed((NODES, f"{NODES}    fallback: {to}\n"), ("  load:\n", f"{more}  load:\n"))


def test_a_pool_says_what_it_falls_back_to():
    assert parse(PLAN).targets["nodes"].fallback == "keep"
    assert parse(falling_back("partial")).targets["nodes"].fallback == "partial"
    nodes = parse(falling_back("{other_pool: spare}")).targets["nodes"]
    assert (nodes.fallback, nodes.other_pool) == ("other_pool", "spare")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (falling_back("{other_pool: spar}"), "there is no target 'spar': did you mean 'spare'"),
        (falling_back("{other_pool: nodes}"), "nodes is no other node pool"),
        (falling_back("{other_pool: shop}"), "shop is no other node pool"),
        (falling_back("later"), "keep, partial, or as in {other_pool: spare}"),
        (
            falling_back("{other_pool: spare}", more="  spare: {node_pool: s, usual: 0, cluster: cls-87654321}\n"),
            "spare is a pool of another cluster",
        ),
        (
            falling_back(
                "{other_pool: spare}", more="  spare: {node_pool: s, usual: 0, fallback: {other_pool: nodes}}\n"
            ),
            "spare falls back to another pool itself",
        ),
        (
            changed(("    guards: {min: 1, max: 40, step: 10}\n", "    fallback: partial\n")),
            "only node pools fall back: pods wait for nodes",
        ),
    ],
)
def test_a_fallback_that_is_none_is_told_with_its_line(text, told):
    with pytest.raises(ManifestError, match=rf"line \d+: .*{re.escape(told)}"):
        parse(text)


def test_a_horizontal_pod_cronscaler_or_one_rule_of_it_is_a_target():
    hours = parse(changed(("  load:\n", f"{HOURS}  load:\n"))).targets["hours"]
    assert (hours.kind, hours.object_name, hours.rule) == (Kind.CRON_SCALER, "hours", "morning")
    assert str(hours) == "HorizontalPodCronscaler production/hours rule morning"
