"""Each image of a repository is news once, whatever the registry's clock and listing do."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from tke_provider.domain.repositories import TaggedImage
from tke_provider.domain.tag_positions import OVERLAP, TagPosition, first, news

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def image(tag: str, minute: float | None = 0, digest: str = "a") -> TaggedImage:
    pushed = None if minute is None else NOON + timedelta(minutes=minute)
    return TaggedImage(tag, f"sha256:{digest * 64}", pushed, False)


def tell(images: list[TaggedImage], position: TagPosition) -> tuple[list[str], TagPosition]:
    """Look once, through the text in which positions are kept."""
    told = list(news(images, TagPosition.parse(str(position))))
    return [each.tag for _, each in told], told[-1][0] if told else position


def test_what_is_there_at_first_is_remembered_and_what_comes_is_told_oldest_first():
    there = [image("v1", 0), image("v2", 1), image("unknown", None)]
    said, position = tell([*there, image("v4", 3), image("v3", 2)], first(there))
    assert said == ["v3", "v4"]
    assert tell([*there, image("v3", 2), image("v4", 3)], position)[0] == []


def test_what_comes_into_an_empty_repository_is_told():
    assert tell([image("v1")], first([]))[0] == ["v1"]


def test_what_is_pushed_in_the_same_second_and_what_is_listed_late_is_told():
    position = first([image("v1", 5)])
    assert tell([image("v1", 5), image("same", 5), image("late", 0)], position)[0] == ["late", "same"]


def test_a_tag_is_told_again_when_it_stands_for_another_image():
    position = first([image("latest", 0)])
    said, position = tell([image("latest", 1, "b")], position)
    assert said == ["latest"]
    assert tell([image("latest", 2, "a")], position)[0] == ["latest"]


def test_a_position_stays_small():
    position = first([image(f"v{minute}", minute) for minute in range(1000)])
    assert len(position.told) == OVERLAP // timedelta(minutes=1) + 1


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)), max_size=40))
def test_each_image_is_told_once_when_its_listing_is_late(pushes):
    """Pushes come in the order of their times, each listed up to nine minutes late."""
    position, told = first([]), []
    listed_at = sorted((minute + late, f"v{number}", minute) for number, (minute, late) in enumerate(pushes))
    for now in range(45):
        listed = [image(tag, minute) for at, tag, minute in listed_at if at <= now]
        said, position = tell(listed, position)
        told += said
    assert sorted(told) == sorted(tag for _, tag, _ in listed_at)
