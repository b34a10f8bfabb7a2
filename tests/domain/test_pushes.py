"""Which pushes start what."""

from __future__ import annotations

import pytest

from tke_provider.domain.pushes import Push, Wanted, same_place
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


@pytest.mark.parametrize("wrong", [{"commit": "main"}, {"commit": "c" * 39}, {"digest": "sha256:x"}, {"urls": ()}])
def test_what_cannot_be_built_is_refused(wrong):
    with pytest.raises(InputError):
        push(**wrong)


@pytest.mark.parametrize("wrong", [{"dag_id": ""}, {"repositories": ()}, {"params": {"x": "payload"}}])
def test_a_setting_that_starts_nothing_is_refused(wrong):
    with pytest.raises(InputError):
        wanted(**wrong)
