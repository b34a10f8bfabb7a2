from __future__ import annotations

import base64
import datetime as dt
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tke_provider.domain.repositories import (
    HELM_RELEASE,
    Retention,
    TaggedImage,
    helm_manifests,
    images_in,
    is_helm_release,
    name_in,
    plan,
)
from tke_provider.exceptions import InputError

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.timezone.utc)


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def image(number: int, *, days: float | None = None, tag: str = "", index: bool = False) -> TaggedImage:
    pushed = None if days is None else NOW - dt.timedelta(days=days)
    return TaggedImage(tag or f"t{number}", digest(number), pushed, index)


def fates(*images: TaggedImage, uses=None, newest: int = 0, days: float = 0, tags=(), platforms=None) -> dict[str, str]:
    planned = plan(images, uses or {}, Retention(newest, days, tags), NOW, platforms or {})
    return {"+".join(fate.tags): fate.why for fate in planned}


def test_what_nothing_needs_goes():
    assert fates(image(1, days=40), image(2, days=50)) == {"t1": "", "t2": ""}


@pytest.mark.parametrize("name", [digest(1), "t1", digest(9)])
def test_what_is_used_by_digest_tag_or_platform_stays(name):
    kept = fates(image(1, days=400, index=True), uses={name: "Pod a/b uses it"}, platforms={digest(1): [digest(9)]})
    assert kept == {"t1": "Pod a/b uses it"}


def test_an_image_stays_with_all_its_tags_when_one_of_them_is_kept():
    same = (image(1, days=40, tag="a"), image(1, days=40, tag="v1"), image(2, days=40))
    assert fates(*same, tags=("v*",)) == {"a+v1": "its tag is like v*", "t2": ""}


def test_the_newest_and_the_young_stay():
    images = [image(number, days=number) for number in (1, 5, 10, 20)]
    assert fates(*images, newest=1, days=7) == {
        "t1": "it is among the newest 1",
        "t5": "it is 5.0 days old, not yet 7",
        "t10": "",
        "t20": "",
    }


def test_what_cannot_be_judged_stays():
    assert fates(image(1), image(2, days=400)) == {"t1": "its age is unknown", "t2": ""}


@given(
    st.lists(st.tuples(st.integers(1, 9), st.floats(0, 900)), max_size=20),
    st.sets(st.integers(1, 9)),
    st.integers(0, 5),
    st.floats(0, 500),
)
def test_nothing_that_is_used_ever_goes(pushed, used, newest, days):
    images = [image(number, days=age, tag=f"{number}-{place}") for place, (number, age) in enumerate(pushed)]
    planned = plan(images, {digest(each): "used" for each in used}, Retention(newest, days), NOW, {})
    assert not {fate.digest for fate in planned if not fate.why} & {digest(each) for each in used}
    assert {fate.digest for fate in planned} == {each.digest for each in images}


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("2022-08-06T07:31:01.207374Z", True),
        ("2022-08-06T07:31:01.207374123Z", True),
        ("2022-08-06T07:31:01+08:00", True),
        ("2022-08-06T07:31:01", False),
        ("yesterday", False),
        ("", False),
    ],
)
def test_a_time_in_a_form_that_is_not_known_is_no_time(text, known):
    row = {"ImageVersion": "a", "Digest": digest(1), "UpdateTime": text}
    assert (TaggedImage.parse(row).pushed is not None) is known


@pytest.mark.parametrize(
    ("named", "by"),
    [
        (f"demo.tencentcloudcr.com/test/web@{digest(1)}", digest(1)),
        (f"demo-vpc.tencentcloudcr.com/test/web:v1@{digest(1)}", digest(1)),
        (f"docker-pullable://127.0.0.1:5050/test/web@{digest(1)}", digest(1)),
        ("127.0.0.1:5050/test/web:v1", "v1"),
        ("localhost/test/web", "latest"),
        ("test/web:v2", "v2"),
        ("demo.tencentcloudcr.com/test/webs:v1", ""),
        ("demo.tencentcloudcr.com/other/test/web:v1", ""),
        (digest(1), ""),
    ],
)
def test_an_image_is_known_by_whichever_host_it_is_named(named, by):
    assert name_in("test/web", named) == by


def test_every_image_of_an_object_is_found_wherever_it_stands():
    pod = {
        "spec": {
            "containers": [{"image": "a"}],
            "initContainers": [{"image": "b"}],
            "ephemeralContainers": [{"image": "c"}],
        },
        "status": {"containerStatuses": [{"image": "a:1", "imageID": "d"}]},
    }
    assert sorted(images_in(pod)) == ["a", "a:1", "b", "c", "d"]


def test_a_helm_release_is_read_and_one_that_cannot_be_read_is_no_empty_one():
    packed = base64.b64encode(gzip.compress(json.dumps({"manifest": "image: a"}).encode()))
    meta = {"namespace": "shop", "name": "sh.helm.release.v1.web.v1"}
    secret = {"type": HELM_RELEASE, "metadata": meta, "data": {"release": base64.b64encode(packed).decode()}}
    assert is_helm_release(secret)
    assert helm_manifests(secret) == "image: a"
    with pytest.raises(InputError, match=r"shop/sh\.helm\.release\.v1\.web\.v1"):
        helm_manifests({**secret, "data": {"release": "bm9uZQ=="}})
    damaged = bytearray(base64.b64decode(packed))
    damaged[10] = 0xFF  # no kind of block
    twice = base64.b64encode(base64.b64encode(damaged)).decode()
    with pytest.raises(InputError, match="cannot be read: error"):
        helm_manifests({**secret, "data": {"release": twice}})


def test_a_retention_below_nothing_is_refused():
    with pytest.raises(InputError):
        Retention(-1, 0)
