"""Asks a running service one question: over HTTP, TCP, gRPC, or by a command in one of its pods.

A service of a cluster is reached through the API server, which needs no route to the pods: HTTP by its proxy, all else
by a port-forward or an exec in one of the ready pods, in turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from tke_provider.clients.kubernetes_streams import execute, forward
from tke_provider.clients.tls import trusted
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.smoke_tests import (
    Answer,
    backends,
    judge_command,
    judge_health,
    judge_http,
    judge_tcp,
    target_port,
)
from tke_provider.exceptions import NotFoundError, TkeError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.smoke_tests import SmokeTest

    Read = Callable[[], Awaitable[bytes]]

T = TypeVar("T")

_SECONDS = 10.0
_LIMIT = 2**20
# The kubelet connects to the pod's own loopback, and says at once when nothing listens there, but never when it did.
_REFUSAL_SECONDS = 1.0
_CHECK = "/grpc.health.v1.Health/Check"


async def ask_url(test: SmokeTest) -> Answer:
    """Ask an address as its users do.

    :raises UnavailableError: when it does not answer.
    """
    assert test.url  # noqa: S101  # what makes it this question
    parts = urlsplit(test.url)
    if test.probe == "http":
        return judge_http(test, *await _within(test.url, _get(test.url)))
    host, port = str(parts.hostname), parts.port or 0
    if test.probe == "tcp":
        return judge_tcp(test, await _dial(host, port, test.contains))
    return await _health(f"{f'[{host}]' if ':' in host else host}:{port}", test.grpc_service, parts.scheme == "grpcs")


async def ask_service(cluster: Cluster, test: SmokeTest, turn: int) -> Answer | None:
    """Ask a service, or return None when it is there and nothing ready stands behind it.

    :param turn: which of the ready pods to ask, for what is asked of one pod.
    :raises NotFoundError: when there is no such service.
    :raises InputError: when it cannot be asked like this.
    :raises UnavailableError: when it does not answer.
    """
    if test.probe == "http":
        answer = await _proxied(cluster, test)
        return judge_http(test, *answer) if answer else None
    service = await cluster.get(ObjectRef("v1", "Service", test.namespace, test.service))
    if service is None:
        raise NotFoundError(f'services "{test.service}" not found', way_out="check namespace and name")
    pods = backends(service, await cluster.list("v1", "Pod", test.namespace))
    if not pods:
        return None
    pod = pods[turn % len(pods)]
    name = pod["metadata"]["name"]
    if test.probe == "exec":
        done = await execute(cluster, test.namespace, name, test.container, test.command, timeout=_SECONDS)
        return judge_command(test, done.exit_code, (done.out + done.err).decode(errors="replace"))
    return await _ask_port(cluster, test, service, pod)


async def _ask_port(cluster: Cluster, test: SmokeTest, service: Manifest, pod: Manifest) -> Answer:
    name, port = pod["metadata"]["name"], target_port(service, test.port, pod)
    if test.probe == "tcp":
        async with forward(cluster, test.namespace, name, port) as connection:
            patience = _SECONDS if test.contains else _REFUSAL_SECONDS
            return judge_tcp(test, await _greeting(connection.read, test.contains, patience))
    async with _bridged(cluster, test.namespace, name, port) as address:
        return await _health(address, test.grpc_service, secure=False)


async def _proxied(cluster: Cluster, test: SmokeTest) -> tuple[int, str] | None:
    try:
        asked = cluster.proxy(test.namespace, test.service, test.port, test.path, _SECONDS, _LIMIT)
        return await _within(test.where, asked)
    except NotFoundError:
        # The proxy says the same of a new service, whose endpoints a controller is about to add.
        name = test.service.rpartition(":")[2]  # "https:web" has the proxy speak TLS to web
        if await cluster.get(ObjectRef("v1", "Service", test.namespace, name)):
            return None
        raise


async def _within(where: str, answer: Awaitable[T]) -> T:
    """Wait for the whole of an answer: the limits of a connection are for each part of it."""
    try:
        return await asyncio.wait_for(answer, _SECONDS)
    except asyncio.TimeoutError as error:
        raise _late(where) from error


async def _get(url: str) -> tuple[int, str]:
    import httpx

    try:
        async with (
            httpx.AsyncClient(timeout=_SECONDS, verify=trusted()) as http,
            http.stream("GET", url) as answer,
        ):
            body = bytearray()
            async for chunk in answer.aiter_bytes(_LIMIT):
                body += chunk
                if len(body) >= _LIMIT:
                    break
            return answer.status_code, body.decode(errors="replace")
    except httpx.TimeoutException as error:
        raise _late(url) from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise _silent(url, str(error) or type(error).__name__) from error


async def _dial(host: str, port: int, contains: str | None) -> bytes:
    where = f"tcp://{host}:{port}"
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _SECONDS)
    except asyncio.TimeoutError as error:
        raise _late(where) from error
    except OSError as error:
        raise _silent(where, error.strerror or str(error)) from error
    try:
        return await _greeting(lambda: reader.read(_LIMIT), contains, _SECONDS) if contains else b""
    except OSError as error:
        raise _silent(where, error.strerror or str(error)) from error
    finally:
        writer.close()


async def _greeting(read: Read, contains: str | None, seconds: float) -> bytes:
    """Read until the text is there, the other side is silent for too long, or it has closed."""
    said = bytearray()

    async def listen() -> None:
        while chunk := await read():
            said.extend(chunk)
            if not contains or contains.encode() in said or len(said) > _LIMIT:
                return

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(listen(), seconds)
    return bytes(said)


@contextlib.asynccontextmanager
async def _bridged(cluster: Cluster, namespace: str, pod: str, port: int) -> AsyncIterator[str]:
    """Yield a socket of this process alone that leads to a port of a pod, for a library that dials by itself."""
    refused: list[TkeError] = []
    bridges: set[asyncio.Task[None] | None] = set()

    async def bridge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def down(data: bytes) -> None:
            writer.write(data)

        bridges.add(asyncio.current_task())
        try:
            async with forward(cluster, namespace, pod, port) as connection:
                await _until_one_ends(
                    _pump(lambda: reader.read(_LIMIT), connection.write), _pump(connection.read, down)
                )
        except TkeError as error:
            refused.append(error)
        finally:
            writer.close()

    with tempfile.TemporaryDirectory(prefix="tke-") as folder:  # nobody else may enter it
        path = Path(folder, "port")
        server = await asyncio.start_unix_server(bridge, path)
        try:
            yield f"unix:{path}"
        except UnavailableError as error:
            raise (refused[0] if refused else error) from error
        finally:
            server.close()
            for task in filter(None, bridges):
                task.cancel()
            await asyncio.gather(*filter(None, bridges), return_exceptions=True)


async def _until_one_ends(*pumps: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in ended:
            each.result()
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(read: Read, write: Callable[[bytes], Awaitable[None]]) -> None:
    while data := await read():
        await write(data)


async def _health(address: str, service: str, secure: bool) -> Answer:
    """Ask for the health of a gRPC service: https://github.com/grpc/grpc/blob/master/doc/health-checking.md."""
    import grpc

    name = service.encode()
    request = b"\x0a" + bytes([len(name)]) + name if name else b""

    def call() -> bytes:
        options = [("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        opened = grpc.secure_channel(address, grpc.ssl_channel_credentials(), options) if secure else None
        with opened or grpc.insecure_channel(address, options) as channel:
            method = channel.unary_unary(_CHECK, request_serializer=bytes, response_deserializer=bytes)
            answer: bytes = method(request, timeout=_SECONDS)
            return answer

    try:
        answer = await asyncio.to_thread(call)
    except grpc.RpcError as error:
        code, details = error.code(), error.details() or ""
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise _silent("The gRPC server", f"{code.name}: {details}") from error
        seen = f"answered {code.name}: {details}"
        return Answer(seen, seen)
    # HealthCheckResponse: field 1 is the status, and 0 is left out.
    return judge_health(answer[1] if answer[:1] == b"\x08" else 0)


def _late(where: str) -> UnavailableError:
    return _silent(where, f"no answer within {_SECONDS:g} s")


def _silent(where: str, cause: str) -> UnavailableError:
    return UnavailableError(f"{where} does not answer", cause=cause, way_out="look at the service's logs")
