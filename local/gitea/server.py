"""The Git host as a part of the stack: loopback only, one user, its repositories under ``.local/``."""

from __future__ import annotations

import getpass
import json
import os
import re
import secrets
import shutil
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar

from local import StackError
from local import endpoints as at
from local.golang import Source, compiled, module_folder
from local.packages import need
from local.part import Part
from local.process import Daemon, run, wait_until
from local.registry import write_secret

SOURCE = Source(
    name="gitea",
    version="v1.24.6",
    module=Path(__file__).parent,
    packages=("code.gitea.io/gitea",),
    ldflags="",
    links={},
    minutes=4,
    # Its database is SQLite, whose driver is written in C.
    tags=("sqlite", "sqlite_unlock_notify"),
    needs=("gcc", "libc6-dev"),
)
_CONFIG = """\
APP_NAME = Local
RUN_USER = {user}
RUN_MODE = prod
WORK_PATH = {folder}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
HTTP_ADDR = {address}
HTTP_PORT = {port}
ROOT_URL = {url}/
STATIC_ROOT_PATH = {static}
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_START_SERVER = false
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
[repository]
ROOT = {folder}/repositories
DEFAULT_BRANCH = main
[security]
INSTALL_LOCK = true
SECRET_KEY = {secret_key}
INTERNAL_TOKEN = {internal_token}
PASSWORD_COMPLEXITY = lower,upper,digit
[service]
DISABLE_REGISTRATION = true
[webhook]
ALLOWED_HOST_LIST = loopback
[session]
PROVIDER = memory
[indexer]
ISSUE_INDEXER_TYPE = db
[cron.update_checker]
ENABLED = false
[actions]
ENABLED = false
[packages]
ENABLED = false
[log]
LEVEL = Warn
MODE = console
"""


class Gitea(Part):
    """Gitea without its web pages, which its Go module does not hold: API, git over HTTP and webhooks."""

    name: ClassVar[str] = "gitea"

    def answers(self) -> bool:
        return _answers()

    def start(self) -> None:
        need("git")
        program = compiled(SOURCE) / "gitea"
        config = self._configure()
        self._make_user(program, config)
        daemon = self._daemon()
        daemon.start()
        wait_until(_answers, "Gitea answers", daemons=[daemon])

    def stop(self) -> None:
        self._daemon().stop()

    def _daemon(self) -> Daemon:
        argv = [str(SOURCE.programs / "gitea"), "web", "--config", str(self._config)]
        return Daemon(self.name, argv, self.log, self.folder, env=self._environment())

    @property
    def _config(self) -> Path:
        return self.folder / "app.ini"

    def _environment(self) -> dict[str, str]:
        """Return an environment without the git settings of whoever starts the stack."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT")}
        return {**kept, "HOME": str(self.folder), "GITEA_WORK_DIR": str(self.folder)}

    def _configure(self) -> Path:
        """Write its configuration, and lay its texts beside it: the compiler's cache may be emptied any time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        static = self.folder / "static"
        if not static.exists():
            module = module_folder(SOURCE, SOURCE.packages[0])
            partial = self.folder / "static.new"
            shutil.rmtree(partial, ignore_errors=True)
            for name in ("options", "templates", "public"):
                shutil.copytree(module / name, partial / name)
            partial.rename(static)
        if not self._config.exists():
            values = {"folder": self.folder, "static": static, "url": at.GITEA_URL, "user": getpass.getuser()}
            tokens = {"secret_key": secrets.token_hex(32), "internal_token": secrets.token_hex(52)}
            text = _CONFIG.format(address="127.0.0.1", port=at.GITEA_PORT, **values, **tokens)
            write_secret(self._config, text)
        return self._config

    def _make_user(self, program: Path, config: Path) -> None:
        """Make the database and its one user, once."""
        if at.GITEA_PASSWORD_FILE.exists():
            return
        (self.folder / "gitea.db").unlink(missing_ok=True)  # of a start that was broken off: nobody knows its password
        env = self._environment()
        run([program, "migrate", "--config", config], "making Gitea's database", env=env)
        names = ("--username", at.GITEA_USER, "--email", f"{at.GITEA_USER}@example.com")
        user = ("admin", "user", "create", "--admin", "--must-change-password=false", *names)
        # Gitea makes the password up and says it: one that it is given stands in the list of processes.
        made_up = ("--random-password", "--random-password-length", "32")
        said = run([program, *user, *made_up, "--config", config], "making Gitea's user", env=env)
        write_secret(at.GITEA_PASSWORD_FILE, _password(said))


def _password(said: str) -> str:
    found = re.search(r"^generated random password is '(.+)'$", said, re.MULTILINE)
    if found is None:
        raise StackError("Gitea did not say the password of its user")
    return found[1]


def _answers() -> bool:
    try:
        with urllib.request.urlopen(f"{at.GITEA_URL}/api/healthz", timeout=5) as response:  # noqa: S310 - loopback
            return bool(response.status == HTTPStatus.OK and json.load(response)["status"] == "pass")
    except (OSError, ValueError, KeyError, urllib.error.HTTPError):
        return False
