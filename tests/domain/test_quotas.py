from __future__ import annotations

from decimal import Decimal

import pytest

from tke_provider.domain.quotas import amount, room


def quota(hard: dict, used: dict, **spec) -> dict:
    return {"metadata": {"name": "team"}, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used}}


def container(requests: dict | None = None, limits: dict | None = None) -> dict:
    return {"resources": {"requests": requests or {}, "limits": limits or {}}}


POD = {"containers": [container({"cpu": "250m", "memory": "1Gi"}, {"cpu": "1"}), container({"cpu": "250m"})]}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", "2"),
        ("500m", "0.5"),
        ("1.5", "1.5"),
        ("2k", "2000"),
        ("1Ki", "1024"),
        ("1.5Gi", str(3 * 2**29)),
        ("1e3", "1000"),
        ("3n", "0.000000003"),
        (4, "4"),
    ],
)
def test_a_quantity_is_read_as_kubernetes_writes_it(text, number):
    assert amount(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "two", "1 Gi", "5Qi", None])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="is no quantity"):
        amount(text)


@pytest.mark.parametrize(
    ("hard", "used", "allowed"),
    [
        ({"pods": "10"}, {"pods": "8"}, (2, "quota team (pods 8 of 10)")),
        ({"count/pods": "10"}, {}, (10, "quota team (count/pods 0 of 10)")),
        ({"requests.cpu": "4"}, {"requests.cpu": "2500m"}, (3, "quota team (requests.cpu 2500m of 4)")),
        ({"cpu": "4"}, {"cpu": "3"}, (2, "quota team (cpu 3 of 4)")),
        ({"requests.memory": "8Gi"}, {"requests.memory": "6Gi"}, (2, "quota team (requests.memory 6Gi of 8Gi)")),
        ({"limits.cpu": "2"}, {"limits.cpu": "2"}, (0, "quota team (limits.cpu 2 of 2)")),
        ({"pods": "4"}, {"pods": "5"}, (0, "quota team (pods 5 of 4)")),
        ({"pods": "50", "cpu": "1"}, {"pods": "0", "cpu": "0"}, (2, "quota team (cpu 0 of 1)")),
        ({"limits.memory": "1Gi"}, {}, None),
        ({"requests.storage": "1Gi", "services": "1"}, {}, None),
    ],
)
def test_the_scarcest_resource_says_how_many_pods_more_there_may_be(hard, used, allowed):
    assert room([quota(hard, used)], POD) == allowed


def test_a_limit_without_a_request_counts_as_the_request():
    pod = {"containers": [container(limits={"memory": "2Gi"})]}
    assert room([quota({"requests.memory": "5Gi"}, {})], pod) == (2, "quota team (requests.memory 0 of 5Gi)")


def test_what_runs_before_the_containers_counts_where_it_asks_for_more():
    pod = {**POD, "initContainers": [container({"cpu": "2"})]}
    assert room([quota({"cpu": "5"}, {})], pod) == (2, "quota team (cpu 0 of 5)")


def test_a_quota_of_certain_pods_and_one_not_counted_yet_say_nothing():
    assert room([quota({"pods": "0"}, {}, scopes=["BestEffort"])], POD) is None
    assert room([{"metadata": {"name": "new"}, "spec": {"hard": {"pods": "0"}}}], POD) is None
    assert room([], POD) is None
