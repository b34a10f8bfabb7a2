"""Debian's PostgreSQL, for an Airflow that keeps its state as people run it."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

from local import RUN, StackError
from local.mounts import unmount_below
from local.packages import need
from local.process import Daemon, run, wait_until
from local.registry import write_secret

PORT = 15432
USER = "airflow"
#: It refuses to run as root.
ACCOUNT = "postgres"


class Postgres:
    """One server with a password, on loopback; its data stays in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # The account may not be able to enter the checkout (/root is closed to it), so root mounts the folder
        # at a place that it can reach.
        self.home = RUN / "postgres" if os.geteuid() == 0 else folder
        self.account = ACCOUNT if os.geteuid() == 0 else None

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder.parent / "postgres.log"

    def url(self) -> str:
        """The database in SQLAlchemy's form."""
        password = (self.folder / "password").read_text()
        # The database that every server has from the start.
        return f"postgresql+psycopg2://{USER}:{password}@127.0.0.1:{PORT}/postgres"

    def answers(self) -> bool:
        """Whether it takes connections."""
        if not self._daemon_file().exists():
            return False
        question: list[str | Path] = [_programs() / "pg_isready", "--quiet", "--host", self.home, "--port", str(PORT)]
        return subprocess.run(question, check=False).returncode == 0

    def start(self) -> None:
        """Start it, on new data when there are none."""
        need("postgresql")
        self._reach()
        if not (self.folder / "data").exists():
            self._create()
        daemon = self._daemon()

        def attempt() -> bool:
            # For a moment after the death of a predecessor it refuses to start, and ends: then once more.
            daemon.start()
            return self.answers()

        wait_until(attempt, f"PostgreSQL answers (its log is {self.log})", timeout=20)

    def stop(self) -> None:
        """Stop it; open connections are ended."""
        if not self._daemon_file().exists():
            return
        self._daemon().stop()
        if self.home != self.folder:
            unmount_below(self.home)
            self.home.rmdir()

    def _daemon_file(self) -> Path:
        return self.folder.parent / "postgres.pid"

    def _daemon(self) -> Daemon:
        # Nothing here has to survive a power cut.
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": PORT,
            "unix_socket_directories": self.home,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        argv = [str(_programs() / "postgres"), "-D", str(self.home / "data")]
        argv += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Daemon(
            "postgres",
            argv,
            log=self.log,
            state_dir=self.folder.parent,
            cwd=Path("/"),
            user=self.account,
            # SIGTERM would wait until every client has gone by itself.
            stop_signal=signal.SIGINT,
        )

    def _reach(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.account is None:
            return
        account = pwd.getpwnam(self.account)
        os.chown(self.folder, account.pw_uid, account.pw_gid)
        self.home.mkdir(parents=True, exist_ok=True)
        if not self.home.is_mount():
            run(["mount", "--bind", self.folder, self.home], "giving PostgreSQL its folder")

    def _create(self) -> None:
        password = self.home / "password"
        write_secret(password, secrets.token_urlsafe(24))
        if self.account is not None:
            account = pwd.getpwnam(self.account)
            os.chown(password, account.pw_uid, account.pw_gid)
        partial = self.home / "data.new"
        shutil.rmtree(partial, ignore_errors=True)
        argv: list[str | Path] = [
            _programs() / "initdb",
            "--pgdata",
            partial,
            "--username",
            USER,
            "--pwfile",
            password,
            "--no-sync",
        ]
        argv += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]
        run(argv, "making a PostgreSQL database", user=self.account, cwd=Path("/"))
        partial.rename(self.home / "data")


def _programs() -> Path:
    """The newest release's programs, which Debian keeps off PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        raise StackError("PostgreSQL's programs are not under /usr/lib/postgresql; run: apt-get install postgresql")
    return found[-1]
