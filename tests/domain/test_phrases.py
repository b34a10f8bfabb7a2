from __future__ import annotations

from tke_provider.domain.phrases import count, some


def test_one_of_something_is_not_many():
    assert [count(number, "node") for number in (0, 1, 2)] == ["0 nodes", "1 node", "2 nodes"]


def test_of_many_things_the_first_are_named_and_the_others_counted():
    assert some(["a", "b"], 2) == "a, b"
    assert some(["a", "b", "c", "d"], 2, "; ") == "a; b and 2 more"
    assert some([], 2) == ""
