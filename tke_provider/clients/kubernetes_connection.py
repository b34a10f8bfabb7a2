"""The way to a Kubernetes cluster: one request, sent with the kubeconfig's login, and its answer or our error.

The wire is httpx, which Airflow has: the generated clients would add 75 MB and more than a second to every task, for
models of kinds that no manifest is read into.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from tke_provider.clients.kubeconfig import Access, parse
from tke_provider.clients.kubernetes_errors import refusal, untrusted
from tke_provider.exceptions import TkeError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from types import TracebackType

    import httpx
    from typing_extensions import Self

TIMEOUT = 30.0
"""Seconds to wait for a connection, and between two parts of an answer."""
JSON = "application/json"

_ATTEMPTS = 4
_METHODS = {"create": "POST", "patch": "PATCH", "delete": "DELETE"}


class Request(NamedTuple):
    """One call, and how to name it in a sentence: the verb and resource are those of RBAC."""

    verb: str
    resource: str
    namespace: str
    name: str
    path: str
    query: Mapping[str, str] = {}
    body: object = None
    content: str = JSON
    timeout: float = TIMEOUT
    headers: Mapping[str, str] = {}

    def __str__(self) -> str:
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{f' {self.name}' if self.name else ''}{where}"


class ClusterConnection:
    """Sends requests to one cluster; what may be asked is :class:`~tke_provider.clients.kubernetes.Cluster`'s.

    :param kubeconfig: its text; kept in memory only.
    :param name: how errors name the cluster; default: the address of its API server.
    :param renew: called once when the cluster no longer knows the credentials; returns a new kubeconfig.
    """

    def __init__(self, kubeconfig: str, *, name: str = "", renew: Callable[[], Awaitable[str]] | None = None) -> None:
        self._access: Access = parse(kubeconfig)
        self.name = name or self._access.server
        self._renew = renew
        self._session: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        """Open the connection pool; nothing is sent yet."""
        self._session = self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        if self._session:
            await self._session.aclose()
            self._session = None
            await asyncio.sleep(0)  # the loop closes the sockets in its next pass, and may be about to end

    async def _json(self, request: Request) -> dict[str, Any]:
        answer = decode(await self._text(request))
        if not isinstance(answer, dict):
            raise UnavailableError(f"Cluster {self.name} answered no JSON object to {request}", way_out="try again")
        return answer

    async def _text(self, request: Request) -> str:
        """Send and read whole; where nothing can happen twice, try again for a few seconds."""
        from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

        attempts = 1 if request.verb == "create" else _ATTEMPTS
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(UnavailableError),
            stop=stop_after_attempt(attempts),
            wait=wait_random_exponential(multiplier=0.5, max=4),
            reraise=True,
        ):
            with attempt:
                async with aclosing(await self._send(request)) as response:
                    return await self._read(response)
        raise AssertionError("tenacity returns or raises")

    async def _send(self, request: Request, *, check: bool = True) -> httpx.Response:
        response = await self._exchange(request)
        if response.status_code == HTTPStatus.UNAUTHORIZED and self._renew:
            await response.aclose()
            await self._login(await self._renew())
            response = await self._exchange(request)
        if check and response.is_error:
            async with aclosing(response):
                raise self._refused(request, response.status_code, decode(await self._read(response)))
        return response

    async def _exchange(self, request: Request) -> httpx.Response:
        """Send, and return when the answer has begun: its body is still to be read."""
        import httpx

        if self._session is None:
            raise RuntimeError("Cluster is used outside of `async with`")
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in request.query.items())
        sent = self._session.build_request(
            _METHODS.get(request.verb, "GET"),
            self._access.server + request.path + (f"?{query}" if query else ""),
            content=None if request.body is None else json.dumps(request.body),
            headers={"Content-Type": request.content, "Accept": JSON, **request.headers},
            timeout=httpx.Timeout(request.timeout, connect=TIMEOUT),
        )
        try:
            return await self._session.send(sent, stream=True)
        except (httpx.HTTPError, OSError) as error:
            raise self.unreachable(error) from error

    async def _read(self, response: httpx.Response, limit: float = float("inf")) -> str:
        import httpx

        body = bytearray()
        try:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > limit:
                    break
        except (httpx.HTTPError, OSError) as error:
            raise self.unreachable(error) from error
        return body.decode(response.encoding or "utf-8", errors="replace")

    async def _lines(self, response: httpx.Response) -> AsyncIterator[str]:
        import httpx

        try:
            async for line in response.aiter_lines():
                yield line
        except (httpx.HTTPError, OSError) as error:
            raise self.unreachable(error) from error

    def _open(self) -> httpx.AsyncClient:
        import httpx

        return httpx.AsyncClient(verify=self._access.tls, headers=self._access.headers)

    async def _login(self, kubeconfig: str) -> None:
        stale, self._access = self._session, parse(kubeconfig)
        self._session = self._open()
        if stale:
            await stale.aclose()

    # --- errors ---------------------------------------------------------------------------------------------------

    def unreachable(self, error: BaseException) -> UnavailableError:
        """Return what a broken connection is to us."""
        way_out = "check that this machine reaches the cluster's endpoint, internal or external"
        if untrusted(error):
            way_out = "use the kubeconfig that holds the cluster's own authority"
        cause = str(error) or f"{type(error).__name__}, no answer in time"
        return UnavailableError(f"Cluster {self.name} is out of reach", cause=cause, way_out=way_out)

    def _refused(self, request: Request, code: int, status: object) -> TkeError:
        words = str(status.get("message", "")) if isinstance(status, dict) else str(status or "")[:500]
        return refusal(code, words, self.name, request.verb, request.resource, str(request))


def decode(text: str) -> object:
    """Read JSON; what is none stays as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text
