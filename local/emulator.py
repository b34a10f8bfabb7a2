"""The emulator: a Tencent Cloud on this machine, in front of the real cluster and registry."""

from __future__ import annotations

import secrets
import sys
import urllib.request
from http import HTTPStatus
from typing import ClassVar

from local import ROOT
from local import endpoints as at
from local.helm import program as helm
from local.part import Part
from local.process import Daemon, wait_until
from local.registry import write_secret


def secret_key() -> str:
    """The SecretKey that belongs to ``endpoints.SECRET_ID``, made once."""
    if not at.SECRET_KEY_FILE.exists():
        at.SECRET_KEY_FILE.parent.mkdir(parents=True, exist_ok=True)
        write_secret(at.SECRET_KEY_FILE, secrets.token_hex(16))
    return at.SECRET_KEY_FILE.read_text()


class Emulator(Part):
    """``tke_provider.emulator`` as a process of its own; its state is a file, so that it survives a restart."""

    name: ClassVar[str] = "emulator"
    needs: ClassVar[tuple[str, ...]] = ("registry", "kubernetes")

    def answers(self) -> bool:
        return self._daemon().running() and _answers()

    def start(self) -> None:
        secret_key()
        daemon = self._daemon()
        daemon.start()
        wait_until(_answers, "the emulator answers", daemons=[daemon])

    def stop(self) -> None:
        self._daemon().stop()

    def _daemon(self) -> Daemon:
        argv = [sys.executable, "-m", "tke_provider.emulator", "--port", str(at.EMULATOR_PORT)]
        argv += ["--secret-id", at.SECRET_ID, "--secret-key-file", str(at.SECRET_KEY_FILE)]
        argv += ["--kubeconfig", str(at.kubeconfig(self.settings)), "--state", str(self.folder / "state.json")]
        argv += ["--helm", str(helm.program())]
        argv += ["--registry", f"http://{at.REGISTRY_HOST}", "--registry-user", at.REGISTRY_USER]
        argv += ["--registry-password-file", str(at.REGISTRY_PASSWORD_FILE)]
        return Daemon(self.name, argv, self.log, self.folder, cwd=ROOT)


def _answers() -> bool:
    try:
        with urllib.request.urlopen(f"{at.EMULATOR_URL}/_emulator", timeout=5) as response:  # noqa: S310 - loopback
            return bool(response.status == HTTPStatus.OK)
    except OSError:
        return False
