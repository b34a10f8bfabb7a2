"""Numbers and lists as people say them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def count(number: int, noun: str) -> str:
    """Return so many of something."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def some(things: Sequence[str], most: int, between: str = ", ") -> str:
    """Return the first of many things, and how many more there are.

    :param most: how many are named.
    """
    more = f" and {len(things) - most} more" if len(things) > most else ""
    return between.join(things[:most]) + more
