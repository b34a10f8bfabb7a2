"""The board draws from Airflow's own tables: a cluster or a cloud that hangs keeps nobody waiting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from statistics import quantiles

import httpx
import pytest

from tests.servers import kubeconfig_of
from tke_provider.plugin import board
from tke_provider.plugin.looks import Looks, Place

SERVICES, RELEASES = 100, 20
_called: list[object] = []
_watching = False


def _note(event: str, args: tuple) -> None:
    if _watching and event in {"socket.connect", "socket.getaddrinfo"}:
        _called.append(args[-1])


sys.addaudithook(_note)  # for good, as hooks of the interpreter are


@contextlib.contextmanager
def calls():
    """Whatever this process connects to meanwhile."""
    global _watching  # noqa: PLW0603  # the interpreter's hook has no other way to know
    _called.clear()
    _watching = True
    try:
        yield _called
    finally:
        _watching = False


@pytest.fixture
async def reader(database):
    """Somebody who may read assets, asking the application itself."""
    from fastapi import FastAPI

    routes = board.router()
    app = FastAPI()
    app.include_router(routes)
    for each in routes.dependencies:
        app.dependency_overrides[each.dependency] = lambda: None
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://airflow") as client:
        yield client


@pytest.fixture
def many_released(database):
    """A hundred services, each released twenty times."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        assets = [
            AssetModel(name=f"s{number}", uri=f"tke://cls-1/production/s{number}", group="asset")
            for number in range(SERVICES)
        ]
        session.add_all(assets)
        session.flush()
        extra = {"images": {"web": f"tcr.example/shop/web@sha256:{'a' * 64}"}, "commit": "c" * 40}
        session.add_all(
            AssetEvent(asset_id=asset.id, extra={**extra, "revision": revision}, source_dag_id="ci_cd")
            for revision in range(RELEASES)
            for asset in assets
        )
    yield
    with create_session() as session:
        session.execute(delete(AssetEvent))
        session.execute(delete(AssetModel))


@pytest.fixture
async def hanging(monkeypatch):
    """A cluster that takes every connection and never says a word."""

    def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = {"conn_type": "tke", "extra": {"kubeconfig_secret": kubeconfig_of(f"http://127.0.0.1:{port}")}}
    monkeypatch.setenv("AIRFLOW_CONN_TKE_DEFAULT", json.dumps(connection))
    yield port
    server.close()
    for writer in held:
        writer.close()


async def test_what_draws_the_board_connects_to_nobody_and_is_there_at_once(reader, many_released):
    took = []
    with calls() as connected:
        for _ in range(30):
            began = time.perf_counter()
            answer = await reader.get("/api/releases")
            took.append(time.perf_counter() - began)
            assert len(answer.json()) == SERVICES
        assert (await reader.get("/api/calendars")).status_code == 200
    assert connected == []
    cuts = quantiles(took, n=100)
    sys.stdout.write(f"{SERVICES} services: p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms\n")
    assert cuts[49] < 2  # the median, for tests share their machine


async def test_the_watch_for_connections_sees_one(hanging):
    with calls() as connected, socket.create_connection(("127.0.0.1", hanging)):
        pass
    assert connected


async def test_a_cluster_that_hangs_is_answered_for_all_services_in_time(hanging, database):
    looks = Looks(board.look, patience=0.5)
    began = time.perf_counter()
    said = await asyncio.gather(*(looks.at(Place("cls-1", "production", f"s{number}")) for number in range(SERVICES)))
    assert time.perf_counter() - began < SERVICES * 0.5 / 2  # not one after the other
    assert {each["reason"] for each in said} == {"the cluster did not answer within 0.5 seconds"}
