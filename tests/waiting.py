"""Waiting for what another thread or process does; for coroutines there is ``live_cluster.until``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def until(holds: Callable[[], T], seconds: float, claim: str, *, pause: float = 0.01) -> T:
    """Look until something holds, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {claim}"
        time.sleep(pause)  # between two looks: another process has nothing here to wait on
    return found
