from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tke_provider.domain.changes import affected, touched

NAMES = st.sampled_from("abcdefgh")
GRAPHS = st.dictionaries(NAMES, st.sets(NAMES, max_size=3)).map(
    # Each needs only what comes before it in the alphabet, so there is no circle.
    lambda graph: {
        name: {other for other in others if other < name and other in graph} for name, others in graph.items()
    }
)


@pytest.mark.parametrize(
    ("paths", "changed", "found"),
    [
        (["shop"], ["shop/app.py"], "shop/app.py"),
        (["shop"], ["shop2/app.py", "README.md"], None),
        (["shop/"], ["shop/a/b.py"], "shop/a/b.py"),
        (["./shop"], ["shop/a.py"], "shop/a.py"),
        (["."], ["README.md"], "README.md"),
        (["."], [], None),
        (["shop", "libs/money"], ["libs/money/round.py"], "libs/money/round.py"),
        (["libs/money.py"], ["libs/money.py"], "libs/money.py"),
        (["shop/manifests.yaml"], ["shop/manifests.yaml.bak"], None),
    ],
)
def test_a_service_is_touched_by_what_lies_in_its_paths(paths, changed, found):
    assert touched(paths, changed) == found


def test_those_that_depend_on_a_changed_service_are_built_too():
    needs = {"prices": [], "stock": [], "shop": ["prices", "stock"], "front": ["shop"], "mail": []}
    assert affected(needs, {"prices": "changed"}) == {
        "prices": "changed",
        "shop": "depends on prices, which is built",
        "front": "depends on shop, which is built",
    }


@given(GRAPHS, st.data())
def test_exactly_what_changed_and_what_needs_it_is_built(graph, data):
    changed = data.draw(st.sets(st.sampled_from(sorted(graph))) if graph else st.just(set()))
    built = affected(graph, dict.fromkeys(changed, "changed"))

    def needs_changed(name: str) -> bool:
        return name in changed or any(needs_changed(other) for other in graph[name])

    assert set(built) == {name for name in graph if needs_changed(name)}


@given(GRAPHS, st.data())
def test_a_larger_change_never_builds_less(graph, data):
    names = st.sets(st.sampled_from(sorted(graph))) if graph else st.just(set())
    few, more = data.draw(names), data.draw(names)
    assert affected(graph, dict.fromkeys(few, "")).keys() <= affected(graph, dict.fromkeys(few | more, "")).keys()


@given(GRAPHS, st.data())
def test_what_is_built_because_of_the_built_is_built_already(graph, data):
    changed = data.draw(st.sets(st.sampled_from(sorted(graph))) if graph else st.just(set()))
    built = affected(graph, dict.fromkeys(changed, ""))
    assert affected(graph, built) == built
