"""What the person in front of the terminal is told while something takes longer than two seconds."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds of silence before the first line, and between the lines after it.
PATIENCE = 2.0
INTERVAL = 15.0


def say(line: str) -> None:
    """Write one whole line to stderr at once, so that parts starting side by side do not mix theirs."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Say what is going on, and for how long already, while the block runs longer than two seconds."""
    started = time.monotonic()
    done = threading.Event()

    def speak() -> None:
        silence = PATIENCE
        while not done.wait(silence):
            say(f"  … {what} ({time.monotonic() - started:.0f} s)")
            silence = INTERVAL

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    try:
        yield
    finally:
        done.set()
        speaker.join()
