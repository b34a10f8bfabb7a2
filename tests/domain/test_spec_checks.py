"""The order of services that depend on one another."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tke_provider.domain.spec_checks import circular, in_order

NAMES = st.sampled_from("abcdefg")
GRAPHS = st.dictionaries(NAMES, st.lists(NAMES, max_size=3)).map(
    lambda graph: {name: [other for other in others if other in graph] for name, others in graph.items()}
)


@given(GRAPHS)
def test_whatever_is_no_circle_can_be_ordered(graph):
    circle = circular(graph)
    if circle:
        assert circle[0] == circle[-1]
        assert all(after in graph[before] for before, after in itertools.pairwise(circle))
        return
    order = in_order(graph)
    assert sorted(order) == sorted(graph)
    assert all(order.index(other) < order.index(name) for name, others in graph.items() for other in others)
