"""A Docker engine: builds and pushes images, and runs their tests.

Its documentation: https://docs.docker.com/engine/api/.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import io
import re
import tarfile
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from tke_provider.exceptions import (
    BuildError,
    CredentialError,
    DeadlineError,
    ForbiddenError,
    InputError,
    NotFoundError,
    TkeError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from docker import APIClient

    from tke_provider.clients.tcr import RegistryLogin
    from tke_provider.domain.images import Build, Image

    Say = Callable[[str], None]
    Login = Callable[[], Awaitable[RegistryLogin | None]]

T = TypeVar("T")

OPERATION_LABEL = "tke.airflow/operation"
"""Label of a container: the operation that started it, by which a retry finds what a killed worker left."""
_REPORT_LIMIT = 16 * 2**20
_PROCESSES = 4096
_DENIED = re.compile(r"denied|forbidden|requested access", re.IGNORECASE)
_UNAUTHORIZED = re.compile(r"unauthorized|authentication required|no basic auth", re.IGNORECASE)
_ABSENT = re.compile(r"manifest unknown|not found|does not exist", re.IGNORECASE)
_STEP = re.compile(r"^Step \d+/\d+ : ")


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """A command to run in a container.

    :param operation: id of the operation that runs it.
    :param command: program and arguments; empty for the image's own.
    :param environment: variables. They are visible to whoever may ask the engine: no secrets.
    :param report: path of the file to bring back from the container; empty for none.
    :param timeout: seconds until it is killed.
    :param memory: limit as the engine writes it, such as ``2g``; swap is not given on top.
    :param cpus: limit in CPUs.
    :param network: the engine's network to join; ``none`` for no network but loopback.
    """

    operation: str
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    report: str = ""
    timeout: float = 1800.0
    memory: str = "2g"
    cpus: float = 1.0
    network: str = "none"

    def __post_init__(self) -> None:
        """Refuse a limit that the engine's client would only stumble over later.

        :raises InputError: when ``memory`` is none.
        """
        from docker.errors import DockerException
        from docker.utils import parse_bytes

        try:
            parse_bytes(self.memory)
        except DockerException as error:
            raise InputError(
                f"memory is {self.memory!r}", cause=str(error), way_out="write it as 512m or 2g"
            ) from error


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended.

    :param out_of_memory: whether the kernel killed a process of it because of its memory limit.
    :param report: the file that was asked for; None when there is none.
    """

    exit_code: int
    out_of_memory: bool
    report: bytes | None


class Engine:
    """A Docker engine.

    :param api: speaks to it.
    :param login: returns a login to the registry that images are pulled from and pushed to, or None. Asked whenever
        one is needed, because that of TCR ends after an hour.
    """

    def __init__(self, api: APIClient, login: Login) -> None:
        self._api = api
        self._login = login

    async def build(self, context: Path, build: Build, say: Say) -> str:
        """Build a folder into an image, push it under the build's tag, and return its digest.

        :param say: gets each line that the builder prints.
        :raises BuildError: with the step that fails, and its last line.
        :raises CredentialError: when the registry refuses the login; nothing was built then.
        """
        await self._log_in()
        await _abandonable(lambda: self._build(context, build, say))
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

    def _build(self, context: Path, build: Build, say: Say) -> None:
        created = dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")
        with _explained(f"Building {build.repository}"):
            stream = self._api.build(
                path=str(context),
                dockerfile=build.dockerfile,
                tag=f"{build.repository}:{build.tag}",
                buildargs=dict(build.build_args),
                labels=build.labels(created),
                target=build.target or None,
                platform=build.platform or None,
                rm=True,
                forcerm=True,
                decode=True,
            )
            _read_build(stream, build, say)

    def _push(self, build: Build, say: Say) -> str:
        digest = error = ""
        with _explained(f"Pushing {build.repository}"):
            for message in self._api.push(build.repository, build.tag, stream=True, decode=True):
                if "id" not in message and message.get("status"):
                    say(message["status"])
                error = message.get("error", error)
                digest = (message.get("aux") or {}).get("Digest", digest)
        if error:
            raise _registry_error(f"{build.repository} was built and cannot be pushed", error)
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
            raise _registry_error(f"{image} cannot be pulled", error)

    def _start(self, image: Image, run: Run) -> str:
        with _explained(f"Starting {' '.join(run.command) or 'the command'} in {image}"):
            container = self._api.create_container(
                str(image),
                command=list(run.command) or None,
                environment=dict(run.environment),
                labels={OPERATION_LABEL: run.operation},
                host_config=self._api.create_host_config(
                    mem_limit=run.memory,
                    memswap_limit=run.memory,
                    nano_cpus=int(run.cpus * 1e9),
                    network_mode=run.network,
                    pids_limit=_PROCESSES,
                    security_opt=["no-new-privileges"],
                ),
            )["Id"]
            self._api.start(container)
        return str(container)

    async def _follow(self, container: str, image: Image, run: Run, say: Say) -> Ended:
        output = asyncio.ensure_future(_abandonable(lambda: self._print(container, say)))
        done, _ = await asyncio.wait({output}, timeout=run.timeout)
        if not done:
            output.cancel()
            raise DeadlineError(
                f"{' '.join(run.command) or 'The command'} in {image} was killed after {run.timeout:g} s",
                way_out="make it quicker, or raise the timeout",
            )
        await output
        return await asyncio.to_thread(self._ended, container, run)

    def _print(self, container: str, say: Say) -> None:
        with _explained("Reading the container's output"):
            pending = b""
            for chunk in self._api.logs(container, stream=True, follow=True):
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    say(line.decode(errors="replace").rstrip("\r"))
            if pending:
                say(pending.decode(errors="replace"))

    def _ended(self, container: str, run: Run) -> Ended:
        with _explained("Reading how the container ended"):
            exit_code = self._api.wait(container)["StatusCode"]
            out_of_memory = self._api.inspect_container(container)["State"]["OOMKilled"]
            return Ended(exit_code, out_of_memory, self._copy(container, run.report) if run.report else None)

    def _copy(self, container: str, path: str) -> bytes | None:
        """Return a file of a stopped container; None when there is none, or something else of that name."""
        from docker.errors import NotFound

        try:
            chunks, stat = self._api.get_archive(container, path)
        except NotFound:
            return None
        if stat["size"] > _REPORT_LIMIT:
            raise InputError(
                f"{path} has {stat['size']} bytes, and a report may have {_REPORT_LIMIT}",
                way_out="keep the tests' output out of the report",
            )
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = archive.next()
            content = archive.extractfile(member) if member and member.isreg() else None
            return content.read() if content else None

    async def _remove(self, operation: str) -> None:
        with _explained("Removing the container"):
            await asyncio.to_thread(self._remove_all, operation)

    def _remove_all(self, operation: str) -> None:
        from docker.errors import NotFound

        for container in self._api.containers(all=True, filters={"label": f"{OPERATION_LABEL}={operation}"}):
            with contextlib.suppress(NotFound):
                self._api.remove_container(container["Id"], force=True, v=True)


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
        raise _build_error(build, step, said, error)


def _build_error(build: Build, step: str, said: str, error: str) -> TkeError:
    if not step.partition(" : ")[2].upper().startswith("FROM"):
        return BuildError(
            f"{build.dockerfile} of {build.source or 'the context'} does not build"
            + (f" at {build.commit[:12]}" if build.commit else "")
            + (f"; {step}" if step else ""),
            cause=f"{error}{f' ({said})' if said else ''}",
            way_out="correct the Dockerfile or the code; the task's log has the whole output",
        )
    problem = f"{build.dockerfile}; {step}: its base image cannot be pulled"
    mapped = _registry_error(problem, error)
    return BuildError(problem, cause=error, way_out=mapped.way_out) if isinstance(mapped, NotFoundError) else mapped


def _registry_error(problem: str, cause: str) -> TkeError:
    if _UNAUTHORIZED.search(cause):
        return CredentialError(
            problem, cause=cause, way_out="give registry_id or docker_conn_id with a login of that registry"
        )
    if _DENIED.search(cause):
        return ForbiddenError(problem, cause=cause, way_out="grant the login pull and push on that repository")
    if _ABSENT.search(cause):
        return NotFoundError(problem, cause=cause, way_out="check the name and the digest")
    return UnavailableError(
        problem, cause=cause, way_out="check that the engine reaches the registry; the task may be retried"
    )


class _explained(contextlib.AbstractContextManager[None]):  # noqa: N801  # reads as what it does
    """Turns the engine's errors into ours."""

    def __init__(self, what: str) -> None:
        self.what = what

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
        if _UNAUTHORIZED.search(cause) or _DENIED.search(cause):
            return _registry_error(problem, cause)
        if error.status_code == 404:  # noqa: PLR2004
            return NotFoundError(problem, cause=cause, way_out="check the name and the digest")
        if error.is_client_error():
            return InputError(problem, cause=cause, way_out="correct what it names")
        return _registry_error(problem, cause)


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

    threading.Thread(target=run, daemon=True).start()
    return await future
