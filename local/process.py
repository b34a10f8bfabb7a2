"""Processes that outlive the command which started them, and the wait until they answer."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from local import StackError
from local.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Stat(NamedTuple):
    """The fields of ``/proc/<pid>/stat`` that tell one process from another (proc(5))."""

    state: str
    group: int
    session: int
    started: int


def read_stat(pid: int) -> Stat | None:
    """What the kernel knows about a process, or None when there is none with this pid."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The program's name, in parentheses, may itself contain spaces and parentheses.
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(state=fields[0], group=int(fields[2]), session=int(fields[3]), started=int(fields[19]))


def members(leader: int, *, session: bool) -> list[int]:
    """Pids of the live processes in the process group that ``leader`` leads, or led; or in its whole session."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    stats = ((pid, stat) for pid in pids if (stat := read_stat(pid)) and stat.state != "Z")
    return [pid for pid, stat in stats if stat.group == leader or (session and stat.session == leader)]


@dataclass(frozen=True)
class Daemon:
    """One long-running process, known by its pid and the moment it started.

    The pid file holds both, so that a pid which the kernel has given to somebody else since is never signalled.

    :param name: names the pid file and the process in messages.
    :param argv: program and arguments.
    :param log: file its output is appended to.
    :param state_dir: folder of the pid file ``<name>.pid``.
    :param env: its whole environment; None inherits ours.
    :param cwd: its working directory; None inherits ours.
    :param user: name of the user it runs as; None for the one we run as.
    :param stop_signal: what asks it to end.
    :param whole_session: whether everything it started ends with it, or only its own process group; containerd's
        shims, for one, keep their containers alive while containerd is replaced.
    """

    name: str
    argv: Sequence[str]
    log: Path
    state_dir: Path
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    whole_session: bool = True

    @property
    def pid_file(self) -> Path:
        """Where pid and start time are kept while it runs."""
        return self.state_dir / f"{self.name}.pid"

    def running(self) -> bool:
        """Whether the very process that was started is still alive."""
        return self.pid() is not None

    def pid(self) -> int | None:
        """Its pid, or None when it does not run."""
        recorded = self._recorded()
        if recorded is None:
            return None
        pid, started = recorded
        stat = read_stat(pid)
        return pid if stat and stat.started == started and stat.state != "Z" else None

    def start(self) -> None:
        """Start it detached from us, unless it runs; what a killed predecessor left behind is ended first."""
        if self.running():
            return
        self.stop()
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            try:
                process = subprocess.Popen(
                    list(self.argv),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self.env,
                    cwd=self.cwd,
                    start_new_session=True,
                    **_identity(self.user),
                )
            except OSError as e:
                raise StackError(f"{self.name} cannot be started: {e}") from e
        stat = read_stat(process.pid)
        # It is meant to outlive us: without a return code, Popen would warn about that.
        process.returncode = 0
        if stat:
            partial = self.pid_file.with_suffix(".new")
            partial.write_text(f"{process.pid} {stat.started}\n")
            partial.replace(self.pid_file)

    def stop(self, timeout: float = 20.0) -> None:
        """Ask it and what it started to end; kill what has not after ``timeout`` seconds."""
        recorded = self._recorded()
        if recorded is None:
            return
        leader, started = recorded
        if self._is_ours(leader, started):
            for sign, patience in ((self.stop_signal, timeout), (signal.SIGKILL, 5.0)):
                if self._end(leader, sign, patience):
                    break
            else:
                raise StackError(f"{self.name} (pid {leader}) survives SIGKILL: look at /proc/{leader}/stack")
        self.pid_file.unlink(missing_ok=True)

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        return tail(self.log, lines)

    def _recorded(self) -> tuple[int, int] | None:
        try:
            pid, started = self.pid_file.read_text().split()
            return int(pid), int(started)
        except (FileNotFoundError, ValueError):
            return None

    @staticmethod
    def _is_ours(leader: int, started: int) -> bool:
        # A pid is not given out again while a group or session of that number lives; a leader of another age
        # means that all of ours have gone and the number is somebody else's.
        stat = read_stat(leader)
        return stat is None or stat.started == started

    def _end(self, leader: int, sign: signal.Signals, patience: float) -> bool:
        for pid in members(leader, session=self.whole_session):
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
        deadline = time.monotonic() + patience
        while members(leader, session=self.whole_session):
            if time.monotonic() > deadline:
                return False
            _reap(leader)
            time.sleep(0.05)
        _reap(leader)
        return True


def stop_all(daemons: Sequence[Daemon]) -> None:
    """Stop them side by side: together they take as long as the slowest."""
    with ThreadPoolExecutor(max(len(daemons), 1)) as pool:
        list(pool.map(Daemon.stop, daemons))


def _reap(pid: int) -> None:
    """Collect our own child, if it is one, so that it does not stay a zombie while we run."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def _identity(user: str | None) -> _Identity:
    """What makes a child another user with nothing of ours; nothing, for the user we are."""
    if user is None:
        return {}
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log; empty when it does not exist."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def wait_until(predicate: Callable[[], bool], what: str, timeout: float = 60.0, daemons: Sequence[Daemon] = ()) -> None:
    """Wait until ``predicate`` holds, saying so after two seconds.

    :param predicate: asked ten times a second.
    :param what: what is waited for, as in "the registry answers".
    :param timeout: seconds to wait.
    :param daemons: the processes it depends on: one that dies ends the wait at once.
    :raises StackError: with the last lines of the logs concerned.
    """
    deadline = time.monotonic() + timeout
    with progress(f"waiting until {what}"):
        while not predicate():
            for daemon in daemons:
                if not daemon.running():
                    raise StackError(f"{daemon.name} ended before {what}; {daemon.log} says:\n{daemon.tail()}")
            if time.monotonic() > deadline:
                logs = "\n".join(f"{daemon.log} says:\n{daemon.tail()}" for daemon in daemons)
                raise StackError(f"Waited {timeout:.0f} s in vain until {what}. {logs}".rstrip())
            time.sleep(0.1)


def run(
    argv: Sequence[str | Path],
    what: str,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    text: str | None = None,
    user: str | None = None,
) -> str:
    """Run a command to its end and return what it wrote to stdout, saying so after two seconds.

    :param what: what it does, as in "compiling Kubernetes".
    :param text: its standard input.
    :raises StackError: when it fails, with the last lines it wrote.
    """
    with progress(what):
        try:
            done = subprocess.run(
                [str(word) for word in argv],
                check=False,
                capture_output=True,
                text=True,
                input=text,
                stdin=subprocess.DEVNULL if text is None else None,
                env=env,
                cwd=cwd,
                **_identity(user),
            )
        except OSError as e:
            raise StackError(f"{what} failed: {e}") from e
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-10:])
        raise StackError(f"{what} failed with exit code {done.returncode}: {said or 'it said nothing'}")
    return done.stdout
