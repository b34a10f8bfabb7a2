"""A worker or a triggerer in a process of its own, to be killed as a machine kills: without a word.

It is forked from a server that has Airflow and the operators imported already, which takes longer than what most tests
do with it. It is killed by the test, or by itself at the very moment that a test names.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import multiprocessing
import os
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.live_cluster import run_of
from tke_provider.triggers import base

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from multiprocessing.process import BaseProcess

END = "it has its result, and Airflow has not"
RETRY = run_of("run-2", max_tries=1, try_number=2)
"""The next try of a worker that died in run-2."""
_PRELOADED = (
    "blue_green",
    "canaries",
    "images",
    "manifests",
    "nodes",
    "promotions",
    "rollbacks",
    "rollouts",
    "scaling",
)


@contextlib.asynccontextmanager
async def process(what: str, path: str, arguments: dict[str, Any], run_id: str) -> AsyncIterator[None]:
    """Run an operator or a trigger in another process, and kill it in the end."""
    started = _start(what, path, arguments, run_id)
    try:
        yield
    finally:
        started.kill()
        await asyncio.to_thread(started.join)


async def killed_after(moment: str, path: str, arguments: dict[str, Any], run_id: str = "run-1") -> None:
    """Run an operator in another process, which is killed once something was done for it and it has not heard of it.

    :param moment: that something: a pattern of the first request of which this is so, ``METHOD URL action``; or
        :data:`END`.
    """
    started = _start("operator", path, arguments, run_id, moment)
    await asyncio.to_thread(started.join, 180)
    ended = started.exitcode
    started.kill()
    assert ended == -signal.SIGKILL, f"{moment}: it ended by itself, with {ended}"


def at_length(*more: Any) -> list[Any]:
    """Cases more of the same kind, which ``make soak`` goes through."""
    return [pytest.param(each, marks=pytest.mark.soak) for each in more]


def path_of(kind: type) -> str:
    """How another process finds a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


@functools.cache
def _server() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *(f"tke_provider.operators.{each}" for each in _PRELOADED)])
    return context


def _start(*given: Any) -> BaseProcess:
    started: BaseProcess = _server().Process(target=main, args=(dict(os.environ), *given))
    started.start()
    return started


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_after(moment: str) -> None:
    """Die when a request was answered that matches."""
    import httpx
    import requests

    pattern = re.compile(moment)

    def answered(request: Any) -> None:
        line = f"{request.method} {request.url} {request.headers.get('X-TC-Action', '')}"
        if "dryRun" not in line and pattern.search(line):
            _die()

    asking: Callable[..., Any] = httpx.AsyncClient.send
    sending: Callable[..., Any] = requests.Session.send

    async def ask(self: Any, request: Any, **more: Any) -> Any:
        answer = await asking(self, request, **more)
        answered(request)
        return answer

    def send(self: Any, request: Any, **more: Any) -> Any:
        answer = sending(self, request, **more)
        answered(request)
        return answer

    httpx.AsyncClient.send, requests.Session.send = ask, send  # type: ignore[method-assign]


async def _trigger(made: Any) -> None:
    base._SETTLE_SECONDS = 0.0  # there is no Airflow that would have to hear first that the task has deferred
    async for _ in made.run():
        pass


def main(
    environment: dict[str, str], what: str, path: str, arguments: dict[str, Any], run_id: str, moment: str = ""
) -> None:
    """Run it."""
    os.environ.update(environment)
    module, _, name = path.rpartition(".")
    made = getattr(importlib.import_module(module), name)(**arguments)
    if moment and moment != END:
        _die_after(moment)
    if what == "trigger":
        asyncio.run(_trigger(made))
    else:
        made.execute(run_of(run_id, max_tries=1))
    if moment == END:
        _die()
