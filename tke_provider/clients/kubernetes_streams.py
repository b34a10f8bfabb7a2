"""What a pod streams both ways: a command in one of its containers, and a connection to one of its ports.

The API server speaks WebSocket (RFC 6455) here, each message's first byte being its channel (``v4.channel.k8s.io``):
https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-api. The connection is the cluster's own, so
credentials, certificates and refusals are the same as everywhere.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import os
import struct
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from tke_provider.exceptions import InputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tke_provider.clients.kubernetes import Cluster

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_FINAL, _MASKED = 0x80, 0x80
_CHUNK = 2**16
_MESSAGE_LIMIT = 2**24
_OUT, _ERR, _STATUS = 1, 2, 3
_SWITCHING_PROTOCOLS = 101
_IDLE_SECONDS = 3600.0  # whoever waits has a limit of their own


class Stream(Protocol):
    """A connection, as httpx hands it over."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what came, nothing at the end."""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send it all."""


@dataclasses.dataclass(frozen=True, slots=True)
class Executed:
    """How a command ended.

    :param out: what it printed, as far as it was kept; ``err`` likewise.
    :param whole: whether all of it was kept.
    """

    exit_code: int
    out: bytes
    err: bytes
    whole: bool


class Channels:
    """Messages over a WebSocket, each on a numbered channel.

    :param stream: the connection, after its upgrade.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def send(self, channel: int, data: bytes) -> None:
        """Send one message."""
        await self._frame(_BINARY, bytes([channel]) + data)

    async def receive(self) -> tuple[int, bytes] | None:
        """Return the next message and its channel, or None when the other side has closed."""
        with contextlib.suppress(EOFError):
            return await self._message()
        return None

    async def _message(self) -> tuple[int, bytes] | None:
        message = bytearray()
        while True:
            first, body = await self._next()
            kind = first & 0x0F
            if kind == _CLOSE:
                return None
            if kind == _PING:
                await self._frame(_PONG, body)
            elif kind != _PONG:
                message += body
                if first & _FINAL and message:
                    return message[0], bytes(message[1:])

    async def _next(self) -> tuple[int, bytes]:
        first, second = await self._take(2)
        size = second & 0x7F
        if size == 126:  # noqa: PLR2004  # RFC 6455, 5.2
            (size,) = struct.unpack("!H", await self._take(2))
        elif size == 127:  # noqa: PLR2004
            (size,) = struct.unpack("!Q", await self._take(8))
        if size > _MESSAGE_LIMIT:
            raise UnavailableError(f"The cluster sent a message of {size} bytes", way_out="try again")
        return first, await self._take(size)

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            chunk = await self._stream.read(_CHUNK, _IDLE_SECONDS)
            if not chunk:
                raise EOFError
            self._buffer += chunk
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _frame(self, kind: int, body: bytes) -> None:
        head = bytes([_FINAL | kind])
        if len(body) < 126:  # noqa: PLR2004
            head += bytes([_MASKED | len(body)])
        else:
            head += bytes([_MASKED | 127]) + struct.pack("!Q", len(body))
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(body))
        await self._stream.write(head + mask + masked, _IDLE_SECONDS)


class Forward:
    """A connection to a port of a pod."""

    def __init__(self, channels: Channels, where: str) -> None:
        self._channels = channels
        self._where = where
        self._begun: set[int] = set()

    async def read(self) -> bytes:
        """Return what came, nothing at the end.

        :raises UnavailableError: when nothing listens there, in the kubelet's words.
        """
        while message := await self._channels.receive():
            channel, data = message
            if channel not in self._begun:
                self._begun.add(channel)
                data = data[2:]  # each channel begins with the port's number
            if channel == 1 and data:
                raise UnavailableError(
                    f"{self._where} takes no connection",
                    cause=data.decode(errors="replace"),
                    way_out="look at what listens in the pod",
                )
            if data:
                return data
        return b""

    async def write(self, data: bytes) -> None:
        """Send it all."""
        for start in range(0, len(data), _CHUNK):
            await self._channels.send(0, data[start : start + _CHUNK])


async def execute(
    cluster: Cluster,
    namespace: str,
    pod: str,
    container: str,
    command: Sequence[str],
    *,
    limit: int = 2**20,
    timeout: float = 60.0,
) -> Executed:
    """Run a command in a running container to its end.

    :param container: empty for the pod's default.
    :param limit: bytes of the output that are kept.
    :param timeout: seconds for all of it. The command itself is not stopped then: Kubernetes has no way to.
    :raises NotFoundError: when there is no such pod.
    :raises InputError: when the container has no such program.
    :raises UnavailableError: when it did not end in time, or the connection broke.
    """
    query = [("stdout", "true"), ("stderr", "true"), *(("command", word) for word in command)]
    query += [("container", container)] if container else []
    where = f"{command[0]} in pod {pod}"
    try:
        return await asyncio.wait_for(_execute(cluster, namespace, pod, urlencode(query), where, limit), timeout)
    except asyncio.TimeoutError as error:
        raise UnavailableError(f"{where} did not end within {timeout:g} s", way_out="make it quicker") from error


async def _execute(cluster: Cluster, namespace: str, pod: str, query: str, where: str, limit: int) -> Executed:
    kept = {_OUT: bytearray(), _ERR: bytearray()}
    whole = True
    async with _channels(cluster, namespace, pod, "exec", query) as channels:
        while message := await channels.receive():
            channel, data = message
            if channel == _STATUS:
                return Executed(_exit_code(json.loads(data), where), bytes(kept[_OUT]), bytes(kept[_ERR]), whole)
            if channel in kept:
                room = limit - len(kept[channel])
                kept[channel] += data[:room]
                whole = whole and len(data) <= room
    raise UnavailableError(f"{where} ended without saying how", way_out="try again; its container may be gone")


def _exit_code(status: dict[str, Any], where: str) -> int:
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    words = str(status.get("message", ""))
    if "executable file not found" in words or "no such file or directory" in words:
        raise InputError(f"{where} cannot be run", cause=words, way_out="name a program that the container has")
    raise UnavailableError(f"{where} was not run", cause=words, way_out="try again; its container may be gone")


@contextlib.asynccontextmanager
async def forward(cluster: Cluster, namespace: str, pod: str, port: int) -> AsyncIterator[Forward]:
    """Connect to a port of a pod, from within the pod itself: whether others may is not asked.

    :raises NotFoundError: when there is no such pod.
    """
    async with _channels(cluster, namespace, pod, "portforward", urlencode({"ports": port})) as channels:
        yield Forward(channels, f"Port {port} of pod {pod}")


@contextlib.asynccontextmanager
async def _channels(cluster: Cluster, namespace: str, pod: str, what: str, query: str) -> AsyncIterator[Channels]:
    import httpcore

    headers = {
        "Accept": "*/*",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": "v4.channel.k8s.io",
    }
    async with contextlib.aclosing(await cluster.open(pod, namespace, what, query, headers)) as response:
        if response.status_code != _SWITCHING_PROTOCOLS:
            raise UnavailableError(
                f"The way to cluster {cluster.name} lets no WebSocket through: HTTP {response.status_code}",
                way_out="reach the API server directly, or let the proxy before it pass upgrades",
            )
        try:
            yield Channels(response.extensions["network_stream"])
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as error:
            raise cluster.unreachable(error) from error
