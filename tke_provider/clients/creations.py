"""Asking for what must not be asked for twice: look, ask, and look again where the answer was lost."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, TypeVar

from tke_provider.exceptions import ThrottledError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

T = TypeVar("T")


async def asked_once(
    look: Callable[[], Awaitable[T | None]],
    ask: Callable[[], Awaitable[object]],
    what: str,
    *,
    patience: float,
    poll_interval: float,
) -> T:
    """Return what is there, or ask for it; in one call at most that may have been executed.

    :param look: for what this operation asked for.
    :param ask: asks the cloud for it.
    :param what: for errors: ``the creation of cluster shop``.
    :param patience: seconds in which the effect must be seen.
    :raises UnavailableError: when it is not to be seen. Whether the cloud did it is not known, so it is not asked again
        here: a retry looks first.
    """
    if there := await look():
        return there
    lost: UnavailableError | None = None
    try:
        await ask()
    except ThrottledError:
        raise  # certainly not executed
    except UnavailableError as error:
        log.warning("%s Looking at what became of it.", error)
        lost = error
    until = time.monotonic() + patience
    while True:
        if there := await look():
            return there
        if time.monotonic() > until:
            break
        await asyncio.sleep(poll_interval)
    raise lost or UnavailableError(
        f"The cloud took {what}, and shows nothing of it", way_out="wait until it does; a retry looks first"
    )
