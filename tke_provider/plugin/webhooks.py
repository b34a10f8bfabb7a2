"""The receiver: one address a source, ``POST /tke/webhooks/<connection id>``.

A delivery is measured, its sender authenticated over the raw bytes, and only then read. What it asks for is kept before
it is answered, so that an answer of 202 means that the commit is not lost; the run is started after the answer.

The same body starts one run, whatever its headers say: hosts sign the body, and the delivery's id is a header that
whoever repeats a delivery can change. The run is found by its id in Airflow's database, so that holds over restarts and
for any number of API servers. Rates are counted in each API server.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tke_provider.domain.pushes import line_of, run_id_of
from tke_provider.domain.senders import SENDERS, is_authentic, payload_of
from tke_provider.exceptions import InputError, NotFoundError, TkeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import APIRouter
    from starlette.requests import Request
    from starlette.responses import Response

    from tke_provider.domain.pushes import Push
    from tke_provider.hooks.webhooks import Source
    from tke_provider.plugin.deliveries import Starter

MAX_BODY = 1 << 20
"""Bytes. GitHub sends up to 25 MB for pushes of thousands of commits; those are refused, and said in the log."""
MAX_HEADERS = 16 << 10
"""Bytes of all headers. Those of hosts are a tenth of it."""
PATIENCE = 10.0
"""Seconds that a body may take to arrive; what hosts wait for an answer."""
AT_ONCE = 128
"""Deliveries that are read at a time, each up to the size above."""
THREADS = 8
_LONGEST_LINE = 500
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What the sender gets, and the one line that the log gets."""

    status: HTTPStatus
    said: str
    runs: tuple[str, ...] = ()
    retry_after: int = 0

    def told(self) -> dict[str, object]:
        """Return what a stranger may know: how this Airflow is set up is for the log."""
        if self.status is HTTPStatus.SERVICE_UNAVAILABLE:
            return {"said": "the receiver is not set up for this"}
        return {"said": self.said, "runs": self.runs}

    def log(self, source: str) -> None:
        """Leave one line, whatever the sender wrote into it."""
        level = logging.INFO if self.status < HTTPStatus.MULTIPLE_CHOICES else logging.WARNING
        said = " ".join(f"{self.said} {' '.join(self.runs)}".split())[:_LONGEST_LINE]
        log.log(level, "Delivery from %r: %d, %s", source[:64], self.status, ascii(said)[1:-1])


class Rates:
    """How many deliveries each source may still make: a bucket that fills with time. Only genuine ones are counted."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, name: str, per_minute: int) -> int:
        """Take one; return 0, or the seconds after which there will be one."""
        now = self._clock()
        level, at = self._levels.get(name, (float(per_minute), now))
        level = min(float(per_minute), level + (now - at) * per_minute / 60)
        if level < 1:
            return max(1, round((1 - level) * 60 / per_minute))
        self._levels[name] = (level - 1, now)
        return 0


def router(starter: Starter) -> APIRouter:
    """Return the routes of the receiver.

    :param starter: starts what was taken, after the answer.
    """
    from anyio import CapacityLimiter, to_thread
    from fastapi import APIRouter
    from starlette.background import BackgroundTask
    from starlette.responses import JSONResponse

    # Threads of its own: a flood of deliveries leaves Airflow its own.
    routes, rates, threads = APIRouter(), Rates(), CapacityLimiter(THREADS)
    reading = 0

    async def answered(source: str, request: Request) -> Answer:
        nonlocal reading
        if reading >= AT_ONCE:
            return Answer(HTTPStatus.TOO_MANY_REQUESTS, "too many deliveries at once", retry_after=1)
        reading += 1
        try:
            body = _unreadable(request) or await _body(request)
            if isinstance(body, Answer):
                return body
            headers = {name.lower(): value for name, value in request.headers.items()}
            with starter.answering():
                return await to_thread.run_sync(answer_to, source, headers, body, rates, limiter=threads)
        finally:
            reading -= 1

    async def receive(source: str, request: Request) -> Response:
        answer = await answered(source, request)
        answer.log(source)
        more = {"Retry-After": str(answer.retry_after)} if answer.retry_after else None
        after = BackgroundTask(starter.wake) if answer.status < HTTPStatus.MULTIPLE_CHOICES else None
        return JSONResponse(answer.told(), answer.status, more, background=after)

    # Not by decorator: the annotations of a nested function are text that FastAPI could not resolve.
    receive.__annotations__ = {"source": str, "request": _request_type()}
    routes.add_api_route("/webhooks/{source}", receive, methods=["POST"], include_in_schema=False)
    return routes


def _request_type() -> type[Any]:
    from starlette.requests import Request

    return Request


def answer_to(name: str, headers: dict[str, str], body: bytes, rates: Rates) -> Answer:
    """Judge one delivery, and keep what it asks for. Every way out is an answer."""
    try:
        return _judged(name, headers, body, rates)
    except TkeError as error:
        ours = isinstance(error, NotFoundError) or not isinstance(error, InputError)
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE if ours else HTTPStatus.BAD_REQUEST, str(error))
    except Exception as error:
        # The door to strangers: whatever breaks behind it, such as the database, is nothing for them to read.
        log.exception("A delivery could not be judged")
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{type(error).__name__}, see above")


def _judged(name: str, headers: dict[str, str], body: bytes, rates: Rates) -> Answer:
    from tke_provider.hooks.webhooks import WebhookHook

    try:
        source = WebhookHook(name).source()
    except NotFoundError:
        return Answer(HTTPStatus.NOT_FOUND, "there is no such source")
    except InputError as error:
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
    if not is_authentic(source.sender, source.secret, headers, body, time.time()):
        return Answer(HTTPStatus.UNAUTHORIZED, "its signature is missing, wrong or too old")
    if wait := rates.take(name.lower(), source.per_minute):
        said = f"more than {source.per_minute} deliveries a minute"
        return Answer(HTTPStatus.TOO_MANY_REQUESTS, said, retry_after=wait)
    return _accepted(source, headers, body)


def _accepted(source: Source, headers: dict[str, str], body: bytes) -> Answer:
    from tke_provider.plugin.deliveries import Intent, accept

    pushes = SENDERS[source.sender].read(headers, payload_of(headers, body))
    if isinstance(pushes, str):
        return Answer(HTTPStatus.OK, f"nothing to build: {pushes}")
    wanted = [(push, source.wanted.conf(push)) for push in pushes]
    confs = {push: conf for push, conf in wanted if not isinstance(conf, str)}
    if not confs:
        return Answer(HTTPStatus.OK, f"nothing to build: {wanted[0][1]}")
    delivery, dag_id, by = hashlib.sha256(body).hexdigest()[:32], source.wanted.dag_id, f"webhook:{source.name}"
    intents = {
        (run_id := run_id_of(source.name, push, delivery)): Intent(dag_id, run_id, conf, by, _line(source, push))
        for push, conf in confs.items()
    }
    new, waits = accept(list(intents.values()))
    if not new:
        return Answer(HTTPStatus.OK, "it was delivered before")
    said = "accepted; the run waits, for the DAG is paused" if waits else "accepted"
    return Answer(HTTPStatus.ACCEPTED, said, tuple(each.run_id for each in new))


def _line(source: Source, push: Push) -> str:
    """Return which runs make way for that of a push."""
    return line_of(source.name, push) if source.build == "latest" and push.branch else ""


def _unreadable(request: Request) -> Answer | None:
    """Return the answer to what need not be read, going by its headers."""
    if sum(len(name) + len(value) for name, value in request.headers.raw) > MAX_HEADERS:
        return Answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the headers are larger than {MAX_HEADERS} bytes")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        # What is signed is what was packed; and a small body may be a large one.
        return Answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body is compressed")
    if int(request.headers.get("content-length") or 0) > MAX_BODY:
        return Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MAX_BODY} bytes")
    return None


async def _body(request: Request) -> bytes | Answer:
    """Return the raw body, or the answer to one that is too large, too slow or breaks off."""
    from starlette.requests import ClientDisconnect

    async def read() -> bytes | Answer:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MAX_BODY} bytes")
        return bytes(body)

    try:
        return await asyncio.wait_for(read(), PATIENCE)
    except asyncio.TimeoutError:
        return Answer(HTTPStatus.REQUEST_TIMEOUT, f"the body took more than {PATIENCE:g} seconds")
    except ClientDisconnect:
        return Answer(HTTPStatus.BAD_REQUEST, "the sender hung up")
