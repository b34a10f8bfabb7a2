"""One command at a time at something that two checkouts, or two terminals, share."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from local.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def locked(file: Path, what: str) -> Iterator[None]:
    """Hold a lock while the block runs; it dies with its holder.

    :param file: names the lock; its folder exists.
    :param what: what another command may be doing meanwhile, as in "compile Kubernetes".
    """
    with file.open("w") as lock:
        with progress(f"waiting for another command to {what}"):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
