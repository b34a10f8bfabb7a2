"""One command at a time at something that two checkouts, or two terminals, share."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from local.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock while the block runs; it dies with its holder.

    :param path: names the lock: a folder, or a file in one that exists.
    :param what: what another command may be doing meanwhile, as in "compile Kubernetes".
    """
    lock = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDONLY | os.O_CREAT)
    try:
        with progress(f"waiting for another command to {what}"):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
