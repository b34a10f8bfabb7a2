"""The real helm on the real cluster: what TKE's release API does behind the curtain."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

    from tke_provider.emulator.models import Json

_SECONDS = 600
_DOWNLOAD_SECONDS = 30


class HelmError(Exception):
    """What helm said instead of doing it."""


class Helm:
    """Runs helm: reads at once, changes in a thread each.

    :param program: Its path, or a name on ``PATH``.
    :param kubeconfig: The real cluster's.
    """

    def __init__(self, program: str, kubeconfig: Path) -> None:
        self._program = program
        self._kubeconfig = kubeconfig
        # Its caches and repositories, with their logins, instead of those that the user keeps.
        self._home = tempfile.TemporaryDirectory(prefix="tke-emulator-helm-")
        self._running: set[subprocess.Popen[str]] = set()
        self._threads: list[threading.Thread] = []

    @property
    def missing(self) -> str:
        """Why there is no helm to run; empty when there is."""
        return "" if shutil.which(self._program) else f"there is no program {self._program} on this machine"

    def read(self, *argv: str) -> Any:
        """What helm answers as JSON.

        :raises HelmError: It refused.
        """
        return json.loads(self._run([*argv, "--output", "json"]))

    def change(self, argv: list[str], chart: Json | None, values: str, done: Callable[[str], None]) -> None:
        """Run helm in a thread of its own, and say how it went: an empty string when well, else in helm's words.

        :param chart: The request's parameters about the chart, if helm needs one.
        :param values: YAML or JSON that overrides the chart's values.
        """

        def run() -> None:
            try:
                with tempfile.TemporaryDirectory(dir=self._home.name) as folder:
                    given = self._chart(chart, Path(folder)) if chart else []
                    self._run([*argv, *given, *(["--values", "-"] if values else [])], values)
            except HelmError as e:
                done(str(e))
            else:
                done("")

        thread = threading.Thread(target=run, name=f"helm {argv[0]}", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def close(self) -> None:
        """End what runs, and forget every login."""
        for process in list(self._running):
            process.terminate()
        for thread in self._threads:
            thread.join()
        self._home.cleanup()

    def _chart(self, given: Json, folder: Path) -> list[str]:
        """Where helm finds the chart: a file that was fetched, or a repository that was made known to it."""
        name, user, password = given["Chart"], given.get("Username", ""), given.get("Password", "")
        if name.endswith(".tgz"):
            return [str(_download(name, (user, password) if user else None, folder))]
        login = ["--username", user, "--password-stdin"] if user else []
        # A name of its own: two changes at the same time may use two logins.
        repository = folder.name
        self._run(["repo", "add", repository, given["ChartRepoURL"], *login], password)
        version = ["--version", given["ChartVersion"]] if given.get("ChartVersion") else []
        return [f"{repository}/{name}", *version]

    def _run(self, argv: list[str], given: str = "") -> str:
        home = self._home.name
        process = subprocess.Popen(
            [self._program, *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                "HOME": home,
                "PATH": "/usr/bin:/bin",
                "KUBECONFIG": str(self._kubeconfig.resolve()),
                **{f"HELM_{kind}_HOME": f"{home}/{kind.lower()}" for kind in ("CACHE", "CONFIG", "DATA")},
            },
        )
        self._running.add(process)
        try:
            output, errors = process.communicate(given, timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise HelmError(f"helm {argv[0]} did not end within {_SECONDS} seconds") from None
        finally:
            self._running.discard(process)
        if process.returncode:
            raise HelmError(_words(errors) or f"helm {argv[0]} ended with status {process.returncode}")
        return output


def _download(url: str, login: tuple[str, str] | None, folder: Path) -> Path:
    """The chart's archive. A redirect is refused, as the parameter's description has it ([M] Chart)."""
    try:
        answer = httpx.get(url, auth=login, timeout=_DOWNLOAD_SECONDS, follow_redirects=False, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as e:
        raise HelmError(f"failed to fetch {url} : {e}") from e
    if not answer.is_success or answer.is_redirect:
        raise HelmError(f"failed to fetch {url} : {answer.status_code} {answer.reason_phrase}")
    file = folder / "chart.tgz"
    file.write_bytes(answer.content)
    return file


def _words(errors: str) -> str:
    """Helm's error without its banner, and without warnings about the machine's own files."""
    lines = [line for line in errors.splitlines() if line and not line.startswith("WARNING:")]
    return "\n".join(lines).removeprefix("Error: ").strip()
