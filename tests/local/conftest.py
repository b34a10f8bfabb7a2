"""What the tests of the stack's frame share: daemons that are ended whatever happens."""

from __future__ import annotations

import sys

import pytest

from local.process import Daemon

#: Ends only when it is told to.
SLEEP = "import signal; signal.pause()"


@pytest.fixture
def make_daemon(tmp_path):
    """Make daemons of Python programs; all are ended after the test."""
    made = []

    def make(program: str = SLEEP, name: str = "sleeper", **more) -> Daemon:
        daemon = Daemon(name, [sys.executable, "-c", program], tmp_path / f"{name}.log", tmp_path, **more)
        made.append(daemon)
        return daemon

    yield make
    for daemon in made:
        daemon.stop(timeout=0.1)
