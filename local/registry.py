"""Debian's image registry, standing where TCR stands: password on, deletes on, loopback only."""

from __future__ import annotations

import base64
import os
import secrets
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

from local.endpoints import REGISTRY_HOST, REGISTRY_PASSWORD_FILE, REGISTRY_USER
from local.packages import need
from local.part import Part
from local.process import Daemon, run, wait_until

if TYPE_CHECKING:
    from pathlib import Path

_CONFIG = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {data}}}
  delete: {{enabled: true}}
  cache: {{blobdescriptor: inmemory}}
http: {{addr: {host}, secret: {secret}}}
auth:
  htpasswd: {{realm: local, path: {htpasswd}}}
"""


class Registry(Part):
    """``docker-registry`` with its images under ``.local/``, where they outlive ``down``."""

    name: ClassVar[str] = "registry"

    def answers(self) -> bool:
        return status_of("") == HTTPStatus.OK

    def start(self) -> None:
        need("docker-registry", "apache2-utils")
        config = self._configure()
        daemon = self._daemon(config)
        daemon.start()
        wait_until(self.answers, "the registry answers", daemons=[daemon])

    def stop(self) -> None:
        self._daemon(self.folder / "config.yml").stop()

    def _daemon(self, config: Path) -> Daemon:
        return Daemon(self.name, ["docker-registry", "serve", str(config)], self.log, self.folder)

    def _configure(self) -> Path:
        """Write its configuration; the password is made once, so that those who hold it need not ask again."""
        if not REGISTRY_PASSWORD_FILE.exists():
            write_secret(REGISTRY_PASSWORD_FILE, secrets.token_urlsafe(24))
        hashed = run(
            ["htpasswd", "-nBi", REGISTRY_USER],
            "hashing the registry's password",
            text=REGISTRY_PASSWORD_FILE.read_text(),
        )
        htpasswd = self.folder / "htpasswd"
        write_secret(htpasswd, hashed)
        config = self.folder / "config.yml"
        values = {"data": self.folder / "data", "host": REGISTRY_HOST, "htpasswd": htpasswd}
        write_secret(config, _CONFIG.format(secret=secrets.token_hex(16), **values))
        return config


def status_of(path: str, accept: str = "*/*") -> int | None:
    """The HTTP status of a path below ``/v2/`` for our user; None when nobody answers."""
    try:
        password = REGISTRY_PASSWORD_FILE.read_text()
    except FileNotFoundError:
        return None
    login = base64.b64encode(f"{REGISTRY_USER}:{password}".encode()).decode()
    request = urllib.request.Request(
        f"http://{REGISTRY_HOST}/v2/{path}", headers={"Authorization": f"Basic {login}", "Accept": accept}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
            return int(response.status)
    except urllib.error.HTTPError as e:
        return e.code
    except OSError:
        return None


def write_secret(file: Path, text: str) -> None:
    """Write a file that only we can read, whole or not at all."""
    partial = file.with_name(file.name + ".new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    partial.replace(file)
