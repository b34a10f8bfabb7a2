"""The receiver: one address a source, ``POST /tke/webhooks/<connection id>``.

A delivery is measured, its sender authenticated over the raw bytes, and only then read. What it asks for is kept before
it is answered, so that an answer of 202 means that the commit is not lost; the run is started after the answer.
Deliveries of one source that wait together are judged together, and kept in one transaction (``rounds``).

The same body starts one run, whatever its headers say: hosts sign the body, and the delivery's id is a header that
whoever repeats a delivery can change. The run is found by its id in Airflow's database, so that holds over restarts and
for any number of API servers. Rates are counted in each API server.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import functools
import hashlib
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from tke_provider.domain.pushes import line_of, run_id_of
from tke_provider.domain.senders import SENDERS, is_authentic, payload_of
from tke_provider.exceptions import InputError, NotFoundError, TkeError
from tke_provider.plugin.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fastapi import APIRouter
    from starlette.requests import Request
    from starlette.responses import Response

    from tke_provider.domain.pushes import Push
    from tke_provider.hooks.webhooks import Source
    from tke_provider.plugin.deliveries import Intent, Kept, Starter

MAX_BODY = 1 << 20
"""Bytes. GitHub sends up to 25 MB for pushes of thousands of commits; those are refused, and said in the log."""
MAX_HEADERS = 16 << 10
"""Bytes of all headers. Those of hosts are a tenth of it."""
PATIENCE = 10.0
"""Seconds that a body may take to arrive; what hosts wait for an answer."""
AT_ONCE = 128
"""Deliveries of a source that are read at a time, each up to the size above."""
THREADS = 8
"""Sources that are judged at a time."""
_LONGEST_LINE = 500
log = logging.getLogger(__name__)


class Delivery(NamedTuple):
    """What arrived, its headers with names in lower case."""

    headers: Mapping[str, str]
    body: bytes


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


class Places:
    """How many deliveries are read at a time, so that nobody can fill the memory, nor keep the others out.

    Each source that has proved itself has places of its own; whoever has not, under whatever name, shares as many.
    """

    def __init__(self) -> None:
        self._proved: set[str] = set()
        self._taken: collections.Counter[str] = collections.Counter()

    @contextlib.contextmanager
    def taken(self, source: str) -> Iterator[bool]:
        """Take a place; yields whether there was one."""
        pool = source.lower() if source.lower() in self._proved else ""
        self._taken[pool] += 1
        try:
            yield self._taken[pool] <= AT_ONCE
        finally:
            self._taken[pool] -= 1

    def proved(self, source: str) -> None:
        """Give a source places of its own."""
        self._proved.add(source.lower())


def router(starter: Starter) -> APIRouter:
    """Return the routes of the receiver.

    :param starter: starts what was taken, after the answer.
    """
    from fastapi import APIRouter
    from starlette.background import BackgroundTask
    from starlette.responses import JSONResponse

    routes, places = APIRouter(), Places()
    rounds: Rounds[Delivery, Answer] = Rounds(functools.partial(answers_to, Rates()), THREADS)

    async def answered(source: str, request: Request) -> Answer:
        with places.taken(source) as free:
            if not free:
                return Answer(HTTPStatus.TOO_MANY_REQUESTS, "too many deliveries at once", retry_after=1)
            body = _unreadable(request) or await _body(request)
            if isinstance(body, Answer):
                return body
            headers = {name.lower(): value for name, value in request.headers.items()}
            with starter.answering():
                return await rounds.join(source, Delivery(headers, body))

    async def receive(source: str, request: Request) -> Response:
        answer = await answered(source, request)
        answer.log(source)
        after = None
        if answer.status < HTTPStatus.MULTIPLE_CHOICES:
            places.proved(source)
            after = BackgroundTask(starter.wake)
        more = {"Retry-After": str(answer.retry_after)} if answer.retry_after else None
        return JSONResponse(answer.told(), answer.status, more, background=after)

    # Not by decorator: the annotations of a nested function are text that FastAPI could not resolve.
    receive.__annotations__ = {"source": str, "request": _request_type()}
    routes.add_api_route("/webhooks/{source}", receive, methods=["POST"], include_in_schema=False)
    return routes


def _request_type() -> type[Any]:
    from starlette.requests import Request

    return Request


def answers_to(rates: Rates, name: str, deliveries: Sequence[Delivery]) -> list[Answer]:
    """Judge deliveries of one source that wait together, and keep what they ask for. Every way out is an answer."""
    from tke_provider.hooks.webhooks import WebhookHook

    try:
        source = WebhookHook(name).source()
    except NotFoundError:
        return [Answer(HTTPStatus.NOT_FOUND, "there is no such source")] * len(deliveries)
    except InputError as error:
        return [Answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error))] * len(deliveries)
    except Exception as error:  # noqa: BLE001  # logged there
        return [_refusal(error)] * len(deliveries)
    asked = [_asked(rates, source, each) for each in deliveries]
    kept = iter(_kept([each for each in asked if not isinstance(each, Answer)]))
    return [each if isinstance(each, Answer) else next(kept) for each in asked]


def _refusal(error: Exception) -> Answer:
    """Return the answer to what failed: the sender's own mistake is told, ours is logged."""
    if isinstance(error, TkeError):
        ours = isinstance(error, NotFoundError) or not isinstance(error, InputError)
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE if ours else HTTPStatus.BAD_REQUEST, str(error))
    # The door to strangers: whatever breaks behind it, such as the database, is nothing for them to read.
    log.error("A delivery could not be judged", exc_info=error)
    return Answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{type(error).__name__}, see above")


def _asked(rates: Rates, source: Source, delivery: Delivery) -> list[Intent] | Answer:
    """Return the runs that a delivery asks for, or the answer to one that asks for none."""
    try:
        if not is_authentic(source.sender, source.secret, delivery.headers, delivery.body, time.time()):
            return Answer(HTTPStatus.UNAUTHORIZED, "its signature is missing, wrong or too old")
        if wait := rates.take(source.name.lower(), source.per_minute):
            said = f"more than {source.per_minute} deliveries a minute"
            return Answer(HTTPStatus.TOO_MANY_REQUESTS, said, retry_after=wait)
        return _intents(source, delivery)
    except Exception as error:  # noqa: BLE001  # logged there
        return _refusal(error)


def _intents(source: Source, delivery: Delivery) -> list[Intent] | Answer:
    from tke_provider.plugin.deliveries import Intent

    pushes = SENDERS[source.sender].read(delivery.headers, payload_of(delivery.headers, delivery.body))
    if isinstance(pushes, str):
        return Answer(HTTPStatus.OK, f"nothing to build: {pushes}")
    wanted = [(push, source.wanted.conf(push)) for push in pushes]
    confs = {push: conf for push, conf in wanted if not isinstance(conf, str)}
    if not confs:
        return Answer(HTTPStatus.OK, f"nothing to build: {wanted[0][1]}")
    number, dag_id, by = hashlib.sha256(delivery.body).hexdigest()[:32], source.wanted.dag_id, f"webhook:{source.name}"
    ids = {run_id_of(source.name, push, number): push for push in confs}
    return [Intent(dag_id, run_id, confs[push], by, _line(source, push)) for run_id, push in ids.items()]


def _kept(asked: Sequence[list[Intent]]) -> list[Answer]:
    """Keep what several deliveries ask for, and return the answer to each."""
    from tke_provider.plugin.deliveries import accept

    try:
        return [_refusal(each) if isinstance(each, InputError) else _taken(each) for each in accept(asked)]
    except Exception as error:  # noqa: BLE001  # logged there
        return [_refusal(error)] * len(asked)


def _taken(kept: Kept) -> Answer:
    if not kept.new:
        return Answer(HTTPStatus.OK, "it was delivered before")
    said = "accepted; the run waits, for the DAG is paused" if kept.waits else "accepted"
    return Answer(HTTPStatus.ACCEPTED, said, tuple(each.run_id for each in kept.new))


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
