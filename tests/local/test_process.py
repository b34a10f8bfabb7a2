from __future__ import annotations

import os
import signal
import sys

import pytest

from local import StackError
from local.process import Daemon, read_stat, run, stop_all, tail, wait_until

PARENT = """
import signal, subprocess, sys
program = "import os, signal; {first}; print('child', os.getpid(), flush=True); signal.pause()"
subprocess.Popen([sys.executable, "-c", program])
signal.pause()
"""


def child_of(daemon: Daemon) -> int:
    wait_until(lambda: "child" in tail(daemon.log), "the daemon has a child", timeout=60)
    return int(tail(daemon.log).split()[-1])


def gone(pid: int) -> bool:
    stat = read_stat(pid)
    return stat is None or stat.state == "Z"


def kill(daemon: Daemon) -> int:
    pid = daemon.pid()
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: gone(pid), "it is killed", timeout=60)
    return pid


def test_a_daemon_runs_until_it_is_stopped_and_leaves_no_pid_file(make_daemon):
    daemon = make_daemon()
    daemon.start()
    pid = daemon.pid()
    assert pid
    daemon.stop()
    assert gone(pid)
    assert not daemon.running()
    assert not daemon.pid_file.exists()


def test_another_command_finds_the_daemon_again(make_daemon):
    first = make_daemon()
    first.start()
    second = make_daemon()
    second.start()
    assert second.pid() == first.pid()


def test_a_daemon_is_not_in_our_session(make_daemon):
    daemon = make_daemon()
    daemon.start()
    assert read_stat(daemon.pid()).session == daemon.pid() != os.getsid(0)


def test_a_killed_daemon_does_not_run_and_is_started_again(make_daemon):
    daemon = make_daemon()
    daemon.start()
    killed = kill(daemon)
    assert not daemon.running()
    daemon.start()
    assert daemon.pid() not in {None, killed}


def test_a_pid_that_was_given_to_somebody_else_since_is_left_alone(make_daemon):
    somebody = make_daemon(name="somebody")
    somebody.start()
    ours = make_daemon(name="ours")
    ours.pid_file.write_text(f"{somebody.pid()} {read_stat(somebody.pid()).started - 1}\n")
    assert not ours.running()
    ours.stop()
    assert somebody.running()
    assert not ours.pid_file.exists()


@pytest.mark.parametrize("text", ["", "no numbers", "12"])
def test_a_damaged_pid_file_names_nobody(make_daemon, text):
    daemon = make_daemon()
    daemon.pid_file.write_text(text)
    assert not daemon.running()
    daemon.stop()


@pytest.mark.parametrize("first", ["pass", "os.setpgrp()"], ids=["same process group", "process group of its own"])
def test_children_end_with_their_daemon(make_daemon, first):
    daemon = make_daemon(PARENT.format(first=first))
    daemon.start()
    child = child_of(daemon)
    daemon.stop()
    assert gone(child)


def test_children_of_a_killed_daemon_end_before_it_is_started_again(make_daemon):
    daemon = make_daemon(PARENT.format(first="os.setpgrp()"))
    daemon.start()
    child = child_of(daemon)
    kill(daemon)
    assert not gone(child)
    daemon.start()
    assert gone(child)


def test_children_that_are_to_stay_stay(make_daemon):
    daemon = make_daemon(PARENT.format(first="os.setpgrp()"), whole_session=False)
    daemon.start()
    child = child_of(daemon)
    daemon.stop()
    try:
        assert not gone(child)
    finally:
        os.kill(child, signal.SIGKILL)


def test_one_that_ignores_the_request_to_end_is_killed(make_daemon):
    daemon = make_daemon(
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('child 0', flush=True)\n"
        "while True: signal.pause()"
    )
    daemon.start()
    child_of(daemon)
    pid = daemon.pid()
    daemon.stop(timeout=0.2)
    assert gone(pid)


def test_several_are_stopped_together(make_daemon):
    daemons = [make_daemon(name=name) for name in ("one", "two")]
    for daemon in daemons:
        daemon.start()
    stop_all(daemons)
    assert not any(daemon.running() for daemon in daemons)


def test_a_program_that_is_not_there_is_named(make_daemon, tmp_path):
    daemon = Daemon("ghost", [str(tmp_path / "no-such-program")], tmp_path / "log", tmp_path)
    with pytest.raises(StackError, match=r"ghost cannot be started: .*no-such-program"):
        daemon.start()


def test_a_daemon_that_dies_ends_the_wait_with_its_last_words(make_daemon):
    daemon = make_daemon("import sys; sys.exit('port is taken')")
    daemon.start()
    with pytest.raises(StackError, match=r"sleeper ended before it answers(.|\n)*port is taken"):
        wait_until(lambda: False, "it answers", timeout=60, daemons=[daemon])


def test_a_wait_in_vain_says_what_for(make_daemon):
    daemon = make_daemon("import signal; print('still loading', flush=True); signal.pause()")
    daemon.start()
    wait_until(lambda: "loading" in daemon.tail(), "it speaks", timeout=60)
    with pytest.raises(StackError, match=r"in vain until it answers(.|\n)*still loading"):
        wait_until(lambda: False, "it answers", timeout=0.2, daemons=[daemon])


def test_a_command_that_fails_says_so_in_its_own_words():
    with pytest.raises(StackError, match=r"asking failed with exit code 3: no such thing"):
        run([sys.executable, "-c", "import sys; print('no such thing', file=sys.stderr); sys.exit(3)"], "asking")


def test_a_command_gets_its_input_and_returns_its_output():
    assert run(["cat"], "copying", text="words") == "words"


def test_a_command_that_is_not_there_is_named():
    with pytest.raises(StackError, match=r"asking failed: .*no-such-program"):
        run(["no-such-program"], "asking")
