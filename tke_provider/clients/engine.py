"""A Docker engine: builds and pushes images, and runs their tests.

Its documentation: https://docs.docker.com/engine/api/.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import re
import tarfile
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from tke_provider.domain.build_failures import build_failure, is_login_refused, registry_failure
from tke_provider.domain.images import is_for_platform
from tke_provider.domain.runs import REPORT_LIMIT, Ended, too_large
from tke_provider.exceptions import BuildError, DeadlineError, InputError, NotFoundError, TkeError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from docker import APIClient

    from tke_provider.clients.tcr import RegistryLogin
    from tke_provider.domain.images import Build, Image
    from tke_provider.domain.runs import Run

    Say = Callable[[str], None]
    Login = Callable[[], Awaitable[RegistryLogin | None]]

T = TypeVar("T")

OPERATION_LABEL = "tke.airflow/operation"
"""Label of a container: the operation that started it, by which a retry finds what a killed worker left."""
_LINE_LIMIT = 2**16
_PROCESSES = 4096
_KILLED = 137
_LATE = 2  # seconds
_NO_REGULAR_FILE = 0x8F28_0000  # https://pkg.go.dev/io/fs#ModeType
_STEP = re.compile(r"^Step \d+/\d+ : ")


class Engine:
    """A Docker engine.

    :param api: speaks to it.
    :param login: returns a login to the registry that images are pulled from and pushed to, or None. Asked whenever
        one is needed, because that of TCR ends after an hour.
    """

    def __init__(self, api: APIClient, login: Login) -> None:
        self._api = api
        self._login = login

    async def build(self, context: Path, build: Build, say: Say, created: int | None = None) -> str:
        """Build a folder into an image, push it under the build's tag, and return its digest.

        :param say: gets each line that the builder prints.
        :param created: when the commit was made, in seconds since the epoch; default: now.
        :raises BuildError: with the step that fails, and its last line.
        :raises CredentialError: when the registry refuses the login; nothing was built then.
        """
        await self._log_in()
        labels = build.labels(int(time.time()) if created is None else created)
        await _abandonable(lambda: self._build(context, build, labels, say))
        await self._log_in()
        return await _abandonable(lambda: self._push(build, say))

    async def run(self, image: Image, run: Run, say: Say) -> Ended:
        """Run a command in a new container of an image; the container is removed, however this ends.

        A container that an earlier try of the same operation left is removed first.

        :param say: gets each line that the command prints.
        :raises NotFoundError: when the registry does not have the image.
        :raises InputError: when the engine cannot start the command.
        :raises DeadlineError: when the command was killed because its time was over.
        """
        await self._remove(run.operation)
        await self._pull(image)
        try:
            container = await _whole(lambda: self._start(image, run))
            return await self._follow(container, image, run, say)
        finally:
            await self._remove(run.operation)

    # --- building -------------------------------------------------------------------------------------------------

    def _build(self, context: Path, build: Build, labels: Mapping[str, str], say: Say) -> None:
        with _explained(f"Building {build.repository}"):
            stream = self._api.build(
                path=str(context),
                dockerfile=build.dockerfile,
                tag=f"{build.repository}:{build.tag}",
                buildargs=dict(build.build_args),
                labels=dict(labels),
                target=build.target or None,
                platform=build.platform or None,
                rm=True,
                forcerm=True,
                decode=True,
            )
            _read_build(stream, build, say)
            self._check_platform(build)

    def _check_platform(self, build: Build) -> None:
        """Refuse an image of another platform than was asked for.

        The engine takes base images and cached steps of any platform, and says nothing of it.
        """
        if not build.platform:
            return
        image = self._api.inspect_image(f"{build.repository}:{build.tag}")  # type: ignore[no-untyped-call]  # docker's
        made = "/".join(filter(None, (image["Os"], image["Architecture"], image.get("Variant"))))
        if not is_for_platform(build.platform, made):
            raise BuildError(
                f"{build.repository} was to be for {build.platform}, and the engine made it for {made}",
                cause="its base image, or a step in the engine's cache, is of that platform",
                way_out="name a base image that has the platform, or use builder='buildkit'; nothing was pushed",
            )

    def _push(self, build: Build, say: Say) -> str:
        digest = error = ""
        with _explained(f"Pushing {build.repository}"):
            for message in self._api.push(build.repository, build.tag, stream=True, decode=True):
                if "id" not in message and message.get("status"):
                    say(message["status"])
                error = message.get("error", error)
                digest = (message.get("aux") or {}).get("Digest", digest)
        if error:
            raise registry_failure(f"{build.repository} was built and cannot be pushed", error)
        if not digest:
            raise UnavailableError(
                f"The engine pushed {build.repository}:{build.tag} without saying under which digest",
                way_out="retry; if it stays so, look at the engine's log",
            )
        return digest

    async def _log_in(self) -> None:
        login = await self._login()
        if login:
            with _explained(f"Logging in to {login.host}"):
                await asyncio.to_thread(
                    self._api.login, login.username, login.password, registry=login.host, reauth=True
                )

    # --- running --------------------------------------------------------------------------------------------------

    async def _pull(self, image: Image) -> None:
        from docker.errors import NotFound

        try:
            await asyncio.to_thread(self._api.inspect_image, str(image))
        except NotFound:
            await self._log_in()
            await _abandonable(lambda: self._pull_now(image))

    def _pull_now(self, image: Image) -> None:
        error = ""
        with _explained(f"Pulling {image}"):
            for message in self._api.pull(image.repository, image.digest, stream=True, decode=True):
                error = message.get("error", error)
        if error:
            raise registry_failure(f"{image} cannot be pulled", error)

    def _start(self, image: Image, run: Run) -> str:
        with _explained(f"Starting {' '.join(run.command) or 'the command'} in {image}"):
            container = self._api.create_container(
                str(image),
                # The image's own entrypoint starts the service, not its tests.
                entrypoint=list(run.command[:1]) or None,
                command=list(run.command[1:]) or None,
                environment=dict(run.environment),
                labels={OPERATION_LABEL: run.operation},
                host_config=self._api.create_host_config(
                    mem_limit=run.memory_bytes,
                    memswap_limit=run.memory_bytes,
                    nano_cpus=int(run.cpus * 1e9),
                    network_mode=run.network,
                    pids_limit=_PROCESSES,
                    security_opt=["no-new-privileges"],
                ),
            )["Id"]
            self._api.start(container)
        return str(container)

    async def _follow(self, container: str, image: Image, run: Run, say: Say) -> Ended:
        try:
            # Not left behind when this is cancelled: the container's removal would end it in an error for nobody.
            await asyncio.wait_for(_abandonable(lambda: self._print(container, say)), run.timeout)
        except asyncio.TimeoutError as error:
            raise DeadlineError(
                f"{' '.join(run.command) or 'The command'} in {image} was killed after {run.timeout:g} s",
                way_out="make it quicker, or raise the timeout",
            ) from error
        return await asyncio.to_thread(self._ended, container, run)

    def _print(self, container: str, say: Say) -> None:
        with _explained("Reading the container's output", started=True):
            pending = b""
            for chunk in self._output(container):
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    say(line.decode(errors="replace").rstrip("\r"))
                if len(pending) > _LINE_LIMIT:  # a progress bar, or no text at all
                    say(pending.decode(errors="replace"))
                    pending = b""
            if pending:
                say(pending.decode(errors="replace"))

    def _output(self, container: str) -> Iterator[bytes]:
        """Yield what a container prints. The engine may end the stream before the last words, so they are asked for."""
        seen = 0
        for chunk in self._api.logs(container, stream=True, follow=True):
            seen += len(chunk)
            yield chunk
        self._api.wait(container)
        for chunk in self._api.logs(container, stream=True, follow=False):
            if rest := chunk[seen:]:
                yield rest
            seen = max(0, seen - len(chunk))

    def _ended(self, container: str, run: Run) -> Ended:
        with _explained("Reading how the container ended", started=True):
            exit_code = self._api.wait(container)["StatusCode"]
            out_of_memory = self._ran_out_of_memory(container, exit_code)
            reports = {path: content for path in run.reports if (content := self._copy(container, path)) is not None}
            return Ended(exit_code, out_of_memory, reports)

    def _ran_out_of_memory(self, container: str, exit_code: int) -> bool:
        """Say whether the kernel killed it for its memory.

        The engine's own flag is not set when it hears of the kill after the end, as happens on a busy machine.
        """
        if self._api.inspect_container(container)["State"]["OOMKilled"]:
            return True
        if exit_code != _KILLED:
            return False
        kills = self._api.events(
            since=1, until=int(time.time()) + _LATE, filters={"container": container, "event": "oom"}, decode=True
        )
        try:
            return any(True for _ in kills)
        finally:
            kills.close()

    def _copy(self, container: str, path: str) -> bytes | None:
        """Return a file of a stopped container; None when there is none, or something else of that name.

        Asked for before it is fetched: the engine keeps a container that is being read from, so what is begun has to
        be read to its end.
        """
        where = f"{self._api.base_url}/v{self._api.api_version}/containers/{container}/archive"
        known = self._api.head(where, params={"path": path}, timeout=self._api.timeout)
        if known.status_code == HTTPStatus.NOT_FOUND:
            return None
        known.raise_for_status()
        stat = json.loads(base64.b64decode(known.headers["X-Docker-Container-Path-Stat"]))
        if stat["mode"] & _NO_REGULAR_FILE:
            return None
        if stat["size"] > REPORT_LIMIT:
            raise too_large(path, stat["size"])
        chunks, _ = self._api.get_archive(container, path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = archive.next()
            content = archive.extractfile(member) if member else None
            return content.read() if content else None

    async def _remove(self, operation: str) -> None:
        with _explained("Removing the container"):
            await asyncio.to_thread(self._remove_all, operation)

    def _remove_all(self, operation: str) -> None:
        for container in self._api.containers(all=True, filters={"label": f"{OPERATION_LABEL}={operation}"}):
            self._remove_one(container["Id"])

    def _remove_one(self, container: str) -> None:
        from docker.errors import APIError

        try:
            self._api.remove_container(container, force=True, v=True)
        except APIError as error:
            # It is gone, or goes: whoever else removes it, such as a killed try, has not finished yet.
            if error.status_code not in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
                raise


def _read_build(stream: Iterable[dict[str, Any]], build: Build, say: Say) -> None:
    """Read what the builder prints to its end, for only then is the connection free; then raise what went wrong."""
    step = said = error = ""
    for message in stream:
        error = message.get("error", error)
        for line in filter(str.strip, (message.get("stream") or "").splitlines()):
            if _STEP.match(line):
                step, said = line.strip(), ""
            else:
                said = line.strip()
            say(line)
    if error:
        cause = f"{error}{f' ({said})' if said else ''}"
        raise build_failure(build, step, step.partition(" : ")[2], cause)


class _explained(contextlib.AbstractContextManager[None]):  # noqa: N801  # reads as what it does
    """Turns the engine's errors into ours.

    :param started: whether it is about a container that was there, so that one that is missing has been removed.
    """

    def __init__(self, what: str, *, started: bool = False) -> None:
        self.what = what
        self.started = started

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError

        if isinstance(error, APIError):
            raise self._refused(error, str(error.explanation or error)) from error
        if isinstance(error, (DockerException, RequestException, HTTPError)):
            raise UnavailableError(
                f"{self.what} failed: the Docker engine does not answer",
                cause=str(error),
                way_out="check that it runs (docker_url); the task may be retried",
            ) from error

    def _refused(self, error: Any, cause: str) -> TkeError:
        problem = f"{self.what} failed"
        if is_login_refused(cause):
            return registry_failure(problem, cause)
        if self.started and error.status_code == HTTPStatus.NOT_FOUND:
            return UnavailableError(
                f"{problem}: somebody removed the container",
                cause=cause,
                way_out="run the task again, and look what removes it",
            )
        if error.status_code == HTTPStatus.NOT_FOUND:
            return NotFoundError(problem, cause=cause, way_out="check the name and the digest")
        if error.is_client_error():
            return InputError(problem, cause=cause, way_out="correct what it names")
        return registry_failure(problem, cause)


async def _whole(work: Callable[[], T]) -> T:
    """Run blocking work in a thread; a cancellation waits until it is done, so that its outcome can be undone."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait({working})
        raise


async def _abandonable(work: Callable[[], T]) -> T:
    """Run blocking work that cannot be stopped in a thread that nobody waits for once the task is cancelled.

    The engine stops a build, push or pull when its caller is gone, which is when this process ends. A thread of
    ``asyncio.to_thread`` would keep the process until the build is over.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # T may be None

    def run() -> None:
        try:
            outcome = (work(), None)
        except BaseException as error:  # noqa: BLE001  # handed to whoever waits
            outcome = (None, error)  # type: ignore[assignment]
        with contextlib.suppress(RuntimeError):  # the loop has gone, and everybody who waited with it
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name="engine", daemon=True).start()
    return await future
