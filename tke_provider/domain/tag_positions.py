"""Which images of a repository are news: those that came after a position, each of them once.

Registries tell when a tag was pushed, to the second at best, and may list a tag a little after that. So a position is
the newest time that was seen, together with what was told of the minutes before it.
"""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tke_provider.domain.repositories import TaggedImage

_UNKNOWN = datetime.min.replace(tzinfo=timezone.utc)
OVERLAP = timedelta(minutes=10)
"""How late a registry may list what was pushed."""


@dataclasses.dataclass(frozen=True, slots=True)
class TagPosition:
    """How far a repository was told of.

    :param since: the newest push; ``None`` in an empty repository.
    :param told: digest and time by tag, of what was pushed in the ``OVERLAP`` before; and of all whose time the
        registry does not tell, under ``None``.
    """

    since: datetime | None = None
    told: Mapping[str, tuple[str, datetime | None]] = dataclasses.field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> TagPosition:
        """Read what ``str`` wrote."""
        read = json.loads(text)
        return cls(_time(read["since"]), {tag: (digest, _time(at)) for tag, (digest, at) in read["told"].items()})

    def __str__(self) -> str:
        """Return it as text, for where positions are kept."""
        told = {tag: (digest, _text(at)) for tag, (digest, at) in sorted(self.told.items())}
        return json.dumps({"since": _text(self.since), "told": told})

    def after(self, image: TaggedImage) -> TagPosition:
        """Return the position behind an image."""
        since = max(filter(None, (self.since, image.pushed)), default=None)
        told = {**self.told, image.tag: (image.digest, image.pushed)}
        return TagPosition(since, {tag: each for tag, each in told.items() if _recent(each[1], since)})

    def is_news(self, image: TaggedImage) -> bool:
        """Whether an image is behind this position and was not told."""
        told = self.told.get(image.tag)
        return _recent(image.pushed, self.since) and (told is None or told[0] != image.digest)


def first(images: Iterable[TaggedImage]) -> TagPosition:
    """Return the position behind everything that is there."""
    position = TagPosition()
    for image in _ordered(images):
        position = position.after(image)
    return position


def news(images: Iterable[TaggedImage], position: TagPosition) -> Iterator[tuple[TagPosition, TaggedImage]]:
    """Yield what is new, oldest first, each with the position behind it."""
    for image in _ordered(filter(position.is_news, images)):
        position = position.after(image)
        yield position, image


def _ordered(images: Iterable[TaggedImage]) -> list[TaggedImage]:
    return sorted(images, key=lambda each: (each.pushed or _UNKNOWN, each.tag))


def _recent(at: datetime | None, since: datetime | None) -> bool:
    return at is None or since is None or at >= since - OVERLAP


def _text(at: datetime | None) -> str:
    return at.isoformat() if at else ""


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
