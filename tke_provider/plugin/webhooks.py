"""The receiver: one address a source, ``POST /tke/webhooks/<connection id>``.

A delivery is measured, its sender authenticated over the raw bytes, and only then read. It starts a run before it is
answered, so that an answer of 202 means that the commit is not lost; the pipeline's work begins later, elsewhere.

The same body starts one run, whatever its headers say: hosts sign the body, and the delivery's id is a header that
whoever repeats a delivery can change. The run is found by its id in Airflow's database, so that holds over restarts and
for any number of API servers. Rates are counted in each API server.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tke_provider.domain.senders import SENDERS, is_authentic, payload_of
from tke_provider.exceptions import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import APIRouter
    from starlette.requests import Request
    from starlette.responses import Response

    from tke_provider.domain.pushes import Push
    from tke_provider.hooks.webhooks import Source

MAX_BODY = 1 << 20
"""Bytes. GitHub sends up to 25 MB for pushes of thousands of commits; those are refused, and said in the log."""
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


def router() -> APIRouter:
    """Return the routes of the receiver."""
    from fastapi import APIRouter
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse

    routes, rates = APIRouter(), Rates()

    async def receive(source: str, request: Request) -> Response:
        body = await _body(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        if body is None:
            answer = Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MAX_BODY} bytes")
        else:
            answer = await run_in_threadpool(answer_to, source, headers, body, rates)
        level = logging.INFO if answer.status < HTTPStatus.MULTIPLE_CHOICES else logging.WARNING
        log.log(level, "Delivery from %r: %d, %s %s", source[:64], answer.status, answer.said, " ".join(answer.runs))
        more = {"Retry-After": str(answer.retry_after)} if answer.retry_after else None
        return JSONResponse(answer.told(), answer.status, more)

    # Not by decorator: the annotations of a nested function are text that FastAPI could not resolve.
    receive.__annotations__ = {"source": str, "request": _request_type()}
    routes.add_api_route("/webhooks/{source}", receive, methods=["POST"], include_in_schema=False)
    return routes


def _request_type() -> type[Any]:
    from starlette.requests import Request

    return Request


def answer_to(name: str, headers: dict[str, str], body: bytes, rates: Rates) -> Answer:
    """Judge one delivery, and start what it asks for. Every way out is an answer."""
    from tke_provider.hooks.webhooks import WebhookHook

    try:
        source = WebhookHook(name).source()
    except NotFoundError:
        return Answer(HTTPStatus.NOT_FOUND, "there is no such source")
    except InputError as error:
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
    if not is_authentic(source.sender, source.secret, headers, body, time.time()):
        return Answer(HTTPStatus.UNAUTHORIZED, "its signature is missing, wrong or too old")
    if wait := rates.take(name, source.per_minute):
        return Answer(
            HTTPStatus.TOO_MANY_REQUESTS, f"more than {source.per_minute} deliveries a minute", retry_after=wait
        )
    try:
        return _started(source, headers, body)
    except NotFoundError as error:
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
    except InputError as error:
        return Answer(HTTPStatus.BAD_REQUEST, str(error))


def _started(source: Source, headers: dict[str, str], body: bytes) -> Answer:
    pushes = SENDERS[source.sender].read(headers, payload_of(headers, body))
    if isinstance(pushes, str):
        return Answer(HTTPStatus.OK, f"nothing to build: {pushes}")
    wanted = [(push, source.wanted.conf(push)) for push in pushes]
    runs = {push: conf for push, conf in wanted if not isinstance(conf, str)}
    if not runs:
        return Answer(HTTPStatus.OK, f"nothing to build: {wanted[0][1]}")
    digest = hashlib.sha256(body).hexdigest()[:32]
    new = tuple(run for push, conf in runs.items() if (run := _run(source, push, conf, digest)))
    return Answer(HTTPStatus.ACCEPTED, "started", new) if new else Answer(HTTPStatus.OK, "it was delivered before")


def _run(source: Source, push: Push, conf: dict[str, str], digest: str) -> str:
    """Start the run of one push; return its id, or nothing where it was started before."""
    from tke_provider.plugin import runs

    # Runs of one branch share their beginning, so that a newer one finds the older ones.
    line = f"push__{source.name}__{_short(*push.urls, push.branch, push.tag)}__"
    run = line + digest
    if not runs.start(source.wanted.dag_id, run, conf, f"webhook:{source.name}"):
        return ""
    if source.build == "latest" and push.branch:
        for skipped in runs.skip_waiting(source.wanted.dag_id, line, run):
            log.info("Run %s makes way for %s", skipped, run)
    return run


def _short(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:8]


async def _body(request: Request) -> bytes | None:
    """Return the raw body, or ``None`` as soon as it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)
