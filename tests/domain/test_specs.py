from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tke_provider.domain.specs import Spec, load
from tke_provider.exceptions import ManifestError

SHOP = """\
application: shop
git: {url: https://example.com/shop.git}
environments:
  - {name: test, namespace: shop-test, repositories: test}
  - {name: live, namespace: shop-live, repositories: production}
services:
  prices:
    path: prices
    manifests: prices/manifests.yaml
  shop:
    path: shop
    depends_on: [prices]
    workload: {}
"""


def mistakes(text: str) -> list[str]:
    """What is wrong, each with its line."""
    with pytest.raises(ManifestError) as caught:
        load(text, "shop.yaml")
    assert caught.value.problem.startswith("shop.yaml has ")
    return caught.value.cause.split("; ")


def test_what_is_not_said_has_the_default():
    shop = load(SHOP).services[1]
    assert (shop.port, shop.container, shop.strategy.type, shop.workload["test"].replicas) == (80, "shop", "rolling", 2)


def test_services_are_undone_alone_unless_it_says_together():
    assert load(SHOP).undo == "alone"
    assert load("undo: together\n" + SHOP).undo == "together"
    assert "write alone or together" in mistakes("undo: all\n" + SHOP)[0]


def test_one_path_of_manifests_is_that_of_every_environment():
    assert load(SHOP).services[0].manifests == {"test": "prices/manifests.yaml", "live": "prices/manifests.yaml"}


def test_services_come_after_those_that_they_depend_on():
    swapped = SHOP.replace("depends_on: [prices]", "").replace(
        "path: prices\n", "path: prices\n    depends_on: [shop]\n"
    )
    assert [each.name for each in load(swapped).services] == ["shop", "prices"]


def test_an_environment_lays_its_values_over_the_short_form():
    text = SHOP.replace("workload: {}", 'workload: {replicas: 2, env: {A: "1", B: "1"}, env_from: [a]}').replace(
        "repositories: production}",
        'repositories: production, values: {shop: {replicas: 5, env: {B: "2"}, env_from: [b]}}}',
    )
    workload = load(text).services[1].workload
    assert (workload["test"].replicas, workload["live"].replicas) == (2, 5)
    assert workload["live"].env == {"A": "1", "B": "2"}
    assert workload["live"].env_from == ("b",)


def test_services_may_share_what_they_have_in_common():
    text = SHOP.replace("  prices:\n", "  prices: &common\n    port: 81\n    dockerfile: Dockerfile.dev\n").replace(
        "  shop:\n    path: shop\n    depends_on: [prices]\n    workload: {}\n",
        "  shop:\n    <<: *common\n    path: shop\n    port: 82\n",
    )
    prices, shop = load(text).services
    assert (shop.path, shop.port, shop.dockerfile) == ("shop", 82, "Dockerfile.dev")
    assert (prices.path, prices.port) == ("prices", 81)


def test_the_example_is_read():
    text = (Path(__file__).parents[2] / "dags" / "release_spec.yaml").read_text()
    assert [each.name for each in load(text).services] == ["prices", "stock", "shop"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "    path: shop\n",
            "    path: shop\n    prot: 80\n",
            "line 12: nothing is called 'prot' here: did you mean 'port'?",
        ),
        (
            "    path: shop\n",
            "    path: shop\n    port: eighty\n",
            "line 12: 'services.shop.port' is \"eighty\": write a port",
        ),
        ("    path: shop\n", "", "line 10: 'path' is missing"),
        ("path: shop", "path: ../shop", "line 11: 'services.shop.path' is \"../shop\": write a path within"),
        ("depends_on: [prices]", "depends_on: [price]", "line 12: there is no service 'price': did you mean 'prices'?"),
        ("workload: {}", "workload: {}\n    manifests: a", "line 10: service shop needs either manifests or workload"),
        ("    workload: {}\n", "", "line 10: service shop needs either manifests or workload"),
        ("workload: {}", "manifests: {test: a, prod: b}", "line 13: there is no environment 'prod': known: live, test"),
        ("workload: {}", "manifests: {test: a}", "line 13: environment live has no manifests of shop"),
        ("workload: {}", "workload: {env: {A: 1}}", "line 13: 1 is not understood: write text (a number in quotes)"),
        ("workload: {}", "workload: {volumes: [{path: /a}]}", "line 13: a volume has exactly one of size, claim"),
        (
            "workload: {}",
            "workload: {volumes: [{path: /a, size: 10Gi, shared: true}]}",
            "line 13: a disk (storage class cbs) cannot be shared",
        ),
        (
            "workload: {}",
            "workload: {}\n    strategy: canry",
            "line 14: 'services.shop.strategy' is \"canry\": write rolling",
        ),
        ("workload: {}", "workload: {}\n    strategy: {type: canary, keep: 5}", "line 14: canary has no keep"),
        (
            "workload: {}",
            "workload: {}\n    strategy: {type: blue-green, traffic: clb}",
            "line 14: blue-green has no traffic",
        ),
        (
            "workload: {}",
            "workload: {}\n    strategy: {type: canary, traffic: pods}",
            "line 14: 'services.shop.strategy.traffic' is \"pods\": write replicas, ingress or clb",
        ),
        (
            "workload: {}",
            "workload: {ingress: {host: a}}\n    strategy: {type: canary, traffic: ingress}",
            "line 14: shop has no ingress with the class_name of ingress-nginx",
        ),
        (
            "workload: {}",
            "workload: {ingress: {host: a, class_name: nginx, subnet: b}}",
            "line 13: an ingress of class nginx has no subnet",
        ),
        (
            "workload: {}",
            "workload: {ingress: {host: a, class_name: nginx}}\n    strategy: {type: canary, traffic: clb}",
            "line 14: shop has neither a load_balancer nor an ingress of class qcloud",
        ),
        (
            "workload: {}",
            "workload: {load_balancer: {}}\n    strategy: {type: canary, traffic: clb}",
            "line 14: the pods of shop do not say what they weigh: give pod_annotations service.cloud.tencent.com/",
        ),
        (
            "workload: {}",
            "workload: {}\n    strategy: {type: canary, steps: [50, 20]}",
            "line 14: each step has to be larger than the one before",
        ),
        (
            "workload: {}",
            "workload: {volumes: [{path: /a, size: 10Gi}]}\n    strategy: blue-green",
            "line 13: shop has a disk for each pod, so it can only roll",
        ),
        ("name: live", "name: test", "line 5: a second environment is called 'test'"),
        ("name: live", "name: shop", "line 10: another part of the DAG is called 'shop', too"),
        ("namespace: shop-live", "namespace: shop-test", "line 5: another environment is in namespace shop-test, too"),
        (
            "repositories: production}",
            "repositories: production, values: {shpo: {}}}",
            "line 5: there is no service 'shpo': did you mean 'shop'?",
        ),
        (
            "repositories: production}",
            "repositories: production, smoke_tests: [{service: shpo}]}",
            "line 5: there is no service 'shpo': did you mean 'shop'?",
        ),
        (
            "repositories: production}",
            "repositories: production, values: {prices: {}}}",
            "line 5: service prices has no workload, its short form",
        ),
        (
            "repositories: production}",
            "repositories: production, values: {shop: {volumes: [{path: /a}]}}}",
            "line 5: a volume has exactly one of size",
        ),
        (
            "repositories: production}",
            "repositories: production, freezes: [{name: a, zone: Asia/Shanghai, cron: 0 18 * * 5}]}",
            "line 5: a freeze has either from and until, or cron and hours",
        ),
        (
            "repositories: production}",
            "repositories: production, freezes: [{name: a, zone: Asia/Nowhere, cron: 0 18 * * 5, hours: 60}]}",
            "line 5: 'Asia/Nowhere' is no time zone",
        ),
        (
            "workload: {}",
            "workload: {}\n    strategy: {type: canary, gates: [{name: a, query: b}]}",
            "line 14: Gate 'a'",
        ),
        (
            "workload: {}",
            "workload: {}\n    strategy: {type: canary, gates: [{name: a, query: \"up{app='{srvice}'}\", at_most: 1}]}",
            "line 14: Nobody fills in",
        ),
        ("application: shop", "application: shop\napplication: web", "line 2: says 'application' a second time"),
        (
            "workload: {}",
            "workload: {}\n    test: {command: a, min_coverage: 80}",
            "line 14: it needs coverage, the path of the report",
        ),
        (
            "workload: {}",
            "workload: {}\n    test: {command: a, min_coverage: 0.8, coverage: /tmp/c.xml}",
            "line 14: 'services.shop.test.min_coverage' is 0.8: write a percentage",
        ),
        (
            "workload: {}",
            "workload: {}\n    test: {command: a, secrets: [db]}",
            "line 14: the engine has no secrets: write runner: pod",
        ),
        (
            "workload: {}",
            "workload: {}\n    test: {command: a, quarantine: [{test: '*', reason: x, until: 2030-12-31}]}",
            "line 14: The quarantine entry '*' means every test",
        ),
        (
            "repositories: production}",
            "repositories: production, watch: {gates: [{name: a, query: up, at_most_times_baseline: 2}]}}",
            "line 5: the old version has gone by then: give a baseline",
        ),
        (
            "repositories: production}",
            "repositories: production, watch: {gates: [{name: a, query: \"up{pod='{pods}'}\", at_most: 2}]}}",
            "line 5: Nobody fills in",
        ),
        (
            "url: https://example.com/shop.git}",
            "url: git@example.com:shop.git}\nbuildkit: {image: moby/buildkit}",
            "line 2: BuildKit fetches the commit itself",
        ),
        (
            "application: shop\n",
            "application: shop\nplatform: linux/amd64,linux/arm64\n",
            "line 2: the engine builds for one platform: add buildkit",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(old, new, told):
    assert SHOP.count(old) >= 1
    assert any(each.startswith(told) for each in mistakes(SHOP.replace(old, new, 1)))


def test_all_mistakes_are_told_at_once():
    text = SHOP.replace("path: prices\n", "paht: prices\n").replace(
        "workload: {}", "port: 0\n    workload: {replicas: 0}"
    )
    assert [each.partition(":")[0] for each in mistakes(text)] == ["line 7", "line 8", "line 13", "line 14"]


def test_services_that_wait_for_one_another_are_told_with_the_circle():
    text = SHOP.replace("    path: prices\n", "    path: prices\n    depends_on: [shop]\n")
    assert mistakes(text) == ["line 9: each waits for the next, none can be first: prices → shop → prices"]


@pytest.mark.parametrize("kind", ["workload", "service", "environment"])
def test_what_is_no_mapping_is_refused(kind):
    with pytest.raises(ManifestError):
        load({"workload": SHOP.replace("{}", "5"), "service": "services: 5", "environment": "[]"}[kind])


EVERYTHING = """\
application: shop
git: {url: https://example.com/shop.git, connection: git}
base_image: python
build_args: {A: b}
platform: linux/amd64,linux/arm64
buildkit: {image: moby/buildkit, secrets: {npmrc: npm}, attestations: {provenance: mode=max}}
reports: {path: "s3://reports", url: https://reports.example.com}
concurrency: 4
environments:
  - name: test
    namespace: shop-test
    repositories: test
    isolation: {quota: {pods: 5}, allow_from: [10.0.0.0/8]}
    smoke_tests: [{service: shop, contains: tea}]
    values: {shop: {volumes: [{path: /a, memory: 1Mi}], env: {A: "1"}}}
  - name: live
    namespace: shop-live
    repositories: production
    approval: {approvers: [ann]}
    scan: {limits: {critical: 0, high: 1}}
    freezes: [{name: night, zone: Asia/Shanghai, cron: 0 18 * * *, hours: 12}]
    watch: {looks: 3, gates: [{name: errors, query: up, at_most: 1}]}
services:
  prices:
    path: prices
    manifests: {test: a, live: b}
    inputs: [libs]
    test:
      command: [pytest, -q]
      coverage: /tmp/c.xml
      min_coverage: 80
      quarantine: [{test: a::b, reason: SHOP-7, until: 2030-12-31}]
      runner: pod
      secrets: [db]
  shop:
    path: shop
    depends_on: [prices]
    strategy: {type: canary, steps: [10, 50], gates: [{name: errors, query: up, at_most: 1}], smoke_tests: [{path: /a}]}
    workload: {env: {B: {secret: a, key: b}}, autoscaling: {max: 3}, ingress: {host: a.example.com}}
"""
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=8),
    st.floats(allow_nan=False),
    st.lists(st.text(max_size=3), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def places(value: object, path: tuple = ()):
    """Every place in a document."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in entries:
        yield from places(each, (*path, key))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_whatever_is_written_is_read_or_refused(data):
    content = yaml.safe_load(EVERYTHING)
    *above, last = data.draw(st.sampled_from([path for path in places(content) if path]))
    holder = content
    for key in above:
        holder = holder[key]
    if data.draw(st.booleans()) or not isinstance(holder, dict):
        holder[last] = data.draw(JUNK)
    else:
        del holder[last]
    try:
        assert isinstance(load(yaml.safe_dump(content)), Spec)
    except ManifestError as error:
        assert "line " in error.cause  # noqa: PT017  # both ends are good


def test_a_spec_can_be_built_without_yaml():
    whole = load(SHOP)
    assert dataclasses.replace(whole, application="web") != whole
    assert isinstance(whole, Spec)
    assert json.dumps(dataclasses.asdict(whole))
