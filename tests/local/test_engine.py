from __future__ import annotations

import subprocess
import sys

import pytest

from local.engine import _forget_dead
from local.process import read_stat, wait_until


@pytest.fixture
def pid_file(tmp_path):
    return tmp_path / "docker.pid"


def test_a_pid_file_of_the_dead_is_deleted_even_before_they_are_reaped(pid_file):
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        wait_until(lambda: read_stat(dead.pid).state == "Z", "it has ended", timeout=60)
        pid_file.write_text(str(dead.pid))
        _forget_dead(pid_file)
    assert not pid_file.exists()


def test_a_pid_file_of_the_living_stays(pid_file, make_daemon):
    daemon = make_daemon()
    daemon.start()
    pid_file.write_text(str(daemon.pid()))
    _forget_dead(pid_file)
    assert pid_file.exists()


def test_a_pid_file_that_is_not_there_is_no_trouble(pid_file):
    _forget_dead(pid_file)
