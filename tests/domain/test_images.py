from __future__ import annotations

import dataclasses

import pytest

from tke_provider.domain.images import (
    BUILD_KEY,
    REVISION,
    SOURCE,
    Build,
    Image,
    is_for_platform,
    release_tag,
    split_host,
)
from tke_provider.exceptions import InputError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DIGEST = "sha256:" + "5" * 64
BUILD = Build("demo.tencentcloudcr.com/test/web", COMMIT, "https://git.example/web", build_args={"BASE": "alpine:3"})


@pytest.mark.parametrize(
    "change",
    [
        {"commit": "f" * 40},
        {"source": "https://git.example/other"},
        {"subdirectory": "web"},
        {"dockerfile": "Dockerfile.test"},
        {"build_args": {"BASE": "alpine:4"}},
        {"build_args": {}},
        {"target": "test"},
        {"platform": "linux/arm64"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_input_is_another_build(change):
    other = dataclasses.replace(BUILD, **change)
    assert other.key != BUILD.key
    assert other.tag != BUILD.tag


def test_the_same_inputs_are_the_same_build_wherever_it_is_pushed_and_however_the_arguments_are_ordered():
    one = dataclasses.replace(BUILD, build_args={"A": "1", "B": "2"})
    other = dataclasses.replace(BUILD, repository="127.0.0.1:5000/x", build_args={"B": "2", "A": "1"})
    assert one.key == other.key


def test_the_tag_begins_with_the_commit_and_is_one_that_registries_take():
    assert BUILD.tag == f"{COMMIT[:12]}-{BUILD.key[:8]}"


def test_the_labels_say_where_the_image_came_from():
    labels = BUILD.labels(1767225600)
    assert labels[REVISION] == COMMIT
    assert labels[SOURCE] == "https://git.example/web"
    assert BUILD.is_origin_of(labels)


def test_an_image_that_somebody_else_gave_the_tag_is_not_taken_for_this_build():
    assert not BUILD.is_origin_of({REVISION: COMMIT})
    assert not BUILD.is_origin_of({BUILD_KEY: dataclasses.replace(BUILD, target="test").key})


def test_a_folder_is_never_taken_for_built_because_no_commit_vouches_for_it():
    folder = Build("demo.tencentcloudcr.com/test/web")
    assert folder.tag.startswith("local-")
    assert not folder.is_origin_of(folder.labels(1767225600))
    assert not dataclasses.replace(folder, commit=COMMIT).tag.startswith(COMMIT[:12])


@pytest.mark.parametrize("commit", ["", "main", COMMIT[:12], COMMIT.upper()])
def test_only_a_full_commit_is_built(commit):
    with pytest.raises(InputError, match="no full commit SHA"):
        dataclasses.replace(BUILD, commit=commit)


@pytest.mark.parametrize(
    "repository", ["web", "Demo.tencentcloudcr.com/Web", "demo.tencentcloudcr.com/web:tag", "a/b@c"]
)
def test_a_repository_that_no_registry_takes_is_refused(repository):
    with pytest.raises(InputError, match="no image repository"):
        dataclasses.replace(BUILD, repository=repository)


def test_an_image_is_named_by_its_digest_in_every_form_it_travels_in():
    image = Image("demo.tencentcloudcr.com/test/web", DIGEST, COMMIT)
    assert Image.parse(image.as_dict()) == image
    assert Image.parse(str(image)) == dataclasses.replace(image, commit="")
    assert (image.host, image.path) == ("demo.tencentcloudcr.com", "test/web")


@pytest.mark.parametrize("value", ["demo.tencentcloudcr.com/web:latest", "", {"repository": "a/b"}, None, 3])
def test_a_tag_or_nothing_is_no_image(value):
    with pytest.raises(InputError):
        Image.parse(value)


def test_two_images_never_want_the_same_release_tag():
    image = Image("demo.tencentcloudcr.com/test/web", DIGEST, COMMIT)
    other = dataclasses.replace(image, digest="sha256:" + "6" * 64)
    assert release_tag(image) == "0123456789ab-555555555555"
    assert release_tag(image) != release_tag(other)
    assert release_tag(dataclasses.replace(image, commit="")) == "555555555555"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("demo.tencentcloudcr.com/test/web", ("demo.tencentcloudcr.com", "test/web")),
        ("127.0.0.1:5050/test/web:1", ("127.0.0.1:5050", "test/web:1")),
        ("localhost/web", ("localhost", "web")),
        ("test/web", ("", "test/web")),
        ("web", ("", "web")),
    ],
)
def test_a_registry_is_told_from_a_namespace(name, parts):
    assert split_host(name) == parts


@pytest.mark.parametrize(
    ("asked", "made", "expected"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/x86_64", "linux/amd64", True),
        ("arm64", "linux/arm64/v8", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm64", "linux/amd64", False),
        ("linux/arm/v6", "linux/arm/v7", False),
    ],
)
def test_an_image_is_of_the_platform_that_was_asked_for_or_not(asked, made, expected):
    assert is_for_platform(asked, made) is expected
