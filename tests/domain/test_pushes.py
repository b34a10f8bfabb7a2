"""Which pushes start what."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tke_provider.domain.pushes import Move, Push, Wanted, line_of, run_id_of, same_place, superseded
from tke_provider.exceptions import InputError

URL = "https://git.example/team/shop.git"
COMMIT = "c" * 40


def push(**more: object) -> Push:
    return Push(**{"urls": (URL,), "branch": "main", "commit": COMMIT} | more)


def wanted(**more: object) -> Wanted:
    return Wanted(**{"dag_id": "ci_cd", "repositories": (URL,)} | more)


def test_a_run_gets_our_address_and_the_commit_of_the_push():
    assert wanted().conf(push(urls=("ssh://git@GIT.example:2222/team/shop",))) == {"git_url": URL, "commit": COMMIT}


@pytest.mark.parametrize(
    "url",
    [
        "git@git.example:team/shop.git",
        "ssh://git@git.example:2222/team/shop",
        "https://user:token@git.example/team/shop/",
        "http://git.example:3000/Team/Shop.git",
        "git.example/team/shop",
    ],
)
def test_the_same_repository_by_another_address(url):
    assert same_place(url) == same_place(URL)


@pytest.mark.parametrize("url", ["https://git.example.evil/team/shop", "https://evil/git.example/team/shop", "", "[::"])
def test_another_repository(url):
    assert same_place(url) != same_place(URL)
    assert wanted().conf(push(urls=(url, "x"))) == "repository is not on the list"


@pytest.mark.parametrize(
    ("settings", "change", "reason"),
    [
        ({}, {"branch": "feature"}, "branch is not wanted"),
        ({"branches": ("release/*",)}, {"branch": "release/1"}, None),
        ({}, {"branch": "", "tag": "v1"}, "tag is not wanted"),
        ({"tags": ("v*",)}, {"branch": "", "tag": "v1"}, None),
        ({"paths": ("shop/*",)}, {"paths": ("docs/a.md",)}, "no wanted file changed"),
        ({"paths": ("shop/*",)}, {"paths": ("shop/a/b.py",)}, None),
        ({"paths": ("shop/*",)}, {"paths": None}, None),
    ],
)
def test_filters(settings, change, reason):
    conf = wanted(**settings).conf(push(**change))
    assert (conf if isinstance(conf, str) else None) == reason


def test_parameters_are_filled_as_configured_and_with_nothing_else():
    image = push(branch="", commit="", tag="v1", digest="sha256:" + "a" * 64)
    params = {"image": "repository", "digest": "digest", "commit": "commit"}
    assert wanted(tags=("*",), params=params).conf(image) == {"image": URL, "digest": image.digest}


@pytest.mark.parametrize(
    "wrong",
    [
        {"commit": "main"},
        {"commit": "c" * 39},
        {"commit": ""},
        {"digest": "sha256:x"},
        {"commit": "\ud800", "digest": "sha256:" + "a" * 64},  # a part of the run's id, whatever else there is
        {"branch": "a\x00b"},  # which no database keeps
        {"branch": "", "tag": "v\ud800"},
        {"urls": ()},
    ],
)
def test_what_cannot_be_built_is_refused(wrong):
    with pytest.raises(InputError):
        push(**wrong)


@pytest.mark.parametrize("wrong", [{"dag_id": ""}, {"repositories": ()}, {"params": {"x": "payload"}}])
def test_a_setting_that_starts_nothing_is_refused(wrong):
    with pytest.raises(InputError):
        wanted(**wrong)


def waiting(moves: list[tuple[str, str]], arrival: list[int]) -> list[Move]:
    """Return what is left of moves of a branch that arrive one by one while nothing begins."""
    arrived: list[Move] = []
    skipped: set[str] = set()
    for number in arrival:
        arrived.append(Move(str(number), *moves[number]))
        skipped |= set(superseded(arrived))
    return [each for each in arrived if each.run_id not in skipped]


@given(st.permutations(range(5)))
def test_of_heads_that_wait_the_last_is_built_alone_in_whatever_order_they_are_delivered(arrival):
    moves = list(itertools.pairwise("abcdef"))
    assert [each.after for each in waiting(moves, arrival)] == ["f"]


@given(st.lists(st.sampled_from("abcd"), min_size=2, max_size=9))
def test_the_last_head_is_built_though_the_branch_went_there_and_back(heads):
    moves = [(before, after) for before, after in itertools.pairwise(heads) if before != after]
    left = waiting(moves, list(range(len(moves))))
    assert [each.after for each in left][-1:] == [after for _, after in moves][-1:]


def test_what_is_not_certain_is_built():
    assert len(waiting([("a", "b"), ("c", "d")], [0, 1])) == 2
    assert len(waiting([("a", "b"), ("b", "a")], [0, 1])) == 2
    assert len(waiting([("", "a"), ("", "b")], [0, 1])) == 2


def test_the_id_of_a_run_tells_its_move_and_no_other_id_does():
    push = Push(("https://git.example/a.git",), branch="main", commit="b" * 40, before="a" * 40)
    run_id = run_id_of("shop", push, "0" * 32)
    assert run_id.startswith(line_of("shop", push))
    assert Move.read(run_id) == (run_id, "a" * 10, "b" * 10)
    assert re.fullmatch(r"[A-Za-z0-9_.~:+-]{1,250}", run_id_of("x" * 150, push, "0" * 32))
    assert Move.read("manual__2026-01-01T00:00:00+00:00") is None


@given(st.text(), st.text())
def test_no_text_breaks_the_comparison_of_addresses(ours, theirs):
    push = Push((theirs or "x",), branch="main", commit="a" * 40)
    Wanted("dag", (ours,)).conf(push)


def test_two_addresses_that_cannot_be_read_are_not_the_same():
    push = Push(("http://[",), branch="main", commit="a" * 40)
    assert Wanted("dag", ("https://[",)).conf(push) == "repository is not on the list"
