"""What was taken and has yet to start: each delivery is an entry of Airflow's audit log before it is answered.

The entry is the intent, and one loop in every API server starts the run of each. A run and the mark that it was started
are one transaction, and a run's id is made of the delivery: so whoever finds an entry, this server or another, now or
after a crash, starts its run once.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

from tke_provider.exceptions import InputError, NotFoundError, TkeError
from tke_provider.plugin import runs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence

    from airflow.models import Log
    from fastapi import FastAPI
    from sqlalchemy.orm import Session

ACCEPTED = "tke_delivery_accepted"
STARTED = "tke_delivery_started"
GIVEN_UP = "tke_delivery_given_up"
AGAIN = 30.0
"""Seconds after which a server looks by itself: for what another one left behind, and what could not be started."""
PATIENCE = timedelta(days=1)
"""How long a run that cannot be started, because its DAG was broken just then, is tried again."""
_LONGEST_YIELD = 0.5
"""Seconds that a run waits for answers."""
_claiming = threading.Lock()
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Intent:
    """A run that a delivery wants.

    :param by: shown in Airflow as who triggered the run.
    :param line: what the ids of the runs begin with that make way for this one; empty where each push is built.
    """

    dag_id: str
    run_id: str
    conf: Mapping[str, str]
    by: str
    line: str = ""

    def entry(self) -> Log:
        """Return what the audit log keeps of it."""
        from airflow.models import Log

        extra = json.dumps({"conf": dict(self.conf), "line": self.line})
        return Log(ACCEPTED, owner=self.by, dag_id=self.dag_id, run_id=self.run_id, extra=extra)

    @classmethod
    def of(cls, entry: Log) -> Intent:
        """Read what ``entry`` wrote.

        :raises InputError: when it is not what was written.
        """
        try:
            extra = json.loads(entry.extra or "")
            return cls(entry.dag_id or "", entry.run_id or "", dict(extra["conf"]), entry.owner or "", extra["line"])
        except (KeyError, TypeError, ValueError) as error:
            cause, way_out = f"{type(error).__name__}: {error}", "find out who else writes to it"
            raise InputError("Its entry of the audit log cannot be read", cause=cause, way_out=way_out) from error


class Kept(NamedTuple):
    """What became of a delivery.

    :param new: its intents that were not known.
    :param waits: whether their runs will wait, because the DAG is paused.
    """

    new: list[Intent]
    waits: bool


def accept(deliveries: Sequence[Sequence[Intent]]) -> list[Kept | InputError]:
    """Keep the intents of deliveries, all of one DAG, in one transaction: when this returns, none of them is lost.

    What a delivery writes is of bounded size and checked before, so that none can break the transaction of the others.

    :return: what became of each, or why the DAG refuses its parameters.
    :raises NotFoundError: when there is no such DAG.
    :raises UnavailableError: when its file cannot be imported.
    :raises InputError: when the DAG is not to be started by hand.
    """
    from airflow.utils.session import create_session

    if not deliveries:
        return []
    dag_id = deliveries[0][0].dag_id
    # One at a time: equal deliveries arrive at once. Those of another server become one run when it is started.
    with _claiming, create_session() as session:
        dag, waits = runs.ready(session, dag_id)
        known = _known(session, dag_id, [each.run_id for intents in deliveries for each in intents])
        became: list[Kept | InputError] = []
        for intents in deliveries:
            new = [each for each in intents if each.run_id not in known]
            try:
                for each in new:
                    runs.validate(dag, each.conf)
            except InputError as error:
                became.append(error)
                continue
            known |= {each.run_id for each in new}
            session.add_all(each.entry() for each in new)
            became.append(Kept(new, waits))
    return became


def _known(session: Session, dag_id: str, run_ids: Collection[str]) -> set[str]:
    from airflow.models import Log
    from sqlalchemy import select

    accepted = select(Log.run_id).where(Log.event == ACCEPTED, Log.dag_id == dag_id, Log.run_id.in_(run_ids))
    # In this order: what is no longer accepted by then has become a run.
    known = {str(each) for each in session.scalars(accepted)}
    return known | runs.existing(session, dag_id, run_ids)


def accepted() -> list[int]:
    """Return the numbers of the entries that have yet to start, oldest first."""
    from airflow.models import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return list(session.scalars(select(Log.id).where(Log.event == ACCEPTED).order_by(Log.id)))


def start(number: int) -> bool:
    """Start the run of an entry; return whether that is settled, or to be tried again."""
    try:
        _start(number)
    except TkeError as error:
        return _put_off(number, str(error), vain=_in_vain(error))
    except Exception as error:
        # One that cannot be started must not keep the others; nor may the loop end.
        log.exception("A delivery that was accepted could not be started")
        with contextlib.suppress(Exception):  # the same database that may just have failed
            return _put_off(number, f"{type(error).__name__}, see above.")
        return False
    return True


def _in_vain(error: TkeError) -> bool:
    """Whether the next try would fail, too. A DAG that is missing may be so for as long as its file is read anew."""
    return isinstance(error, InputError) and not isinstance(error, NotFoundError)


def _start(number: int) -> None:
    from airflow.models import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    ours = select(Log).where(Log.id == number, Log.event == ACCEPTED).with_for_update(skip_locked=True, of=Log)
    with create_session() as session:
        entry = session.scalar(ours)
        if entry is None:  # another server is at it
            return
        intent = Intent.of(entry)
        if runs.start(session, intent.dag_id, intent.run_id, intent.conf, intent.by):
            log.info("Started %s of %s", intent.run_id, intent.dag_id)
        for skipped in runs.skip_superseded(session, intent.dag_id, intent.line) if intent.line else ():
            log.info("Run %s makes way for a later push", skipped)
        entry.event = STARTED


def _put_off(number: int, why: str, *, vain: bool = False) -> bool:
    """Say why a run is not started; return whether it is given up.

    :param vain: whether no later try can do better.
    """
    from airflow.models import Log
    from airflow.utils.session import create_session

    with create_session() as session:
        entry = session.get(Log, number)
        if entry is None or entry.event != ACCEPTED:
            return True
        what = f"Run {entry.run_id} of {entry.dag_id}, for {entry.owner}, is not started"
        given_up = vain or (entry.dttm is not None and datetime.now(timezone.utc) - entry.dttm > PATIENCE)
        if given_up:
            entry.event = GIVEN_UP
            log.error("%s, and given up: %s Then let the sender deliver it again.", what, why)
        else:
            log.warning("%s, and tried again in %g seconds: %s", what, AGAIN, why)
        return given_up


class Starter:
    """The loop that starts what was accepted, in each API server."""

    def __init__(self) -> None:
        self._wanted = asyncio.Event()
        self._answering = 0
        self._later: dict[int, float] = {}

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Let no run start meanwhile: answers are waited for, and a database such as SQLite has one writer."""
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1

    async def wake(self) -> None:
        """Let it look now. A coroutine, for only those run on the loop when they are a response's background task."""
        self._wanted.set()

    @contextlib.asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """Start the runs of deliveries for as long as the server is up; first, those that a crash left behind."""
        looping = asyncio.create_task(self._loop())
        try:
            yield
        finally:
            looping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looping

    async def _quiet(self) -> None:
        since = time.monotonic()
        while self._answering and time.monotonic() - since < _LONGEST_YIELD:  # noqa: ASYNC110  # counted, not awaited
            await asyncio.sleep(0.01)

    async def _loop(self) -> None:
        while True:
            self._wanted.clear()
            try:
                await self._pass()
            except Exception:
                log.exception("Cannot look for accepted deliveries, trying again in %g seconds", AGAIN)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), AGAIN)

    async def _pass(self) -> None:
        """Start what is due: what could not be started waits for its time, however often new ones arrive."""
        numbers = await asyncio.to_thread(accepted)
        self._later = {number: self._later[number] for number in numbers if number in self._later}
        for number in numbers:
            if self._later.get(number, 0.0) > time.monotonic():
                continue
            await self._quiet()
            if not await asyncio.to_thread(start, number):
                self._later[number] = time.monotonic() + AGAIN
