"""The board's own data: what is released where, and how it is now.

What it does (deploy, roll back, scale, approve) goes through Airflow's public API, with the user's own cookie: nothing
here changes anything.
"""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from tke_provider.domain.assets import release_uri
from tke_provider.exceptions import InputError, TkeError
from tke_provider.plugin import events, plans
from tke_provider.plugin.looks import PATIENCE, Looks, Place, no_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import APIRouter

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.domain.releases import Record
    from tke_provider.hooks.tencent_cloud import TkeConnection

_DAYS = 30
"""Of the figures of delivery."""


def router() -> APIRouter:
    """Return the routes, for users who may read assets."""
    from airflow.api_fastapi.core_api.security import requires_access_asset
    from fastapi import APIRouter, Depends, HTTPException
    from starlette.concurrency import run_in_threadpool

    routes = APIRouter(prefix="/api", dependencies=[Depends(requires_access_asset("GET"))], include_in_schema=False)

    looks = Looks(look)

    async def at(cluster: str, namespace: str, service: str) -> Place:
        way = await run_in_threadpool(events.way_to, release_uri(cluster, namespace, service))
        if way is None:
            raise HTTPException(404, "nothing was released there")
        return Place(cluster, namespace, service, way)

    @routes.get("/releases")
    async def releases(dag_id: str = "", run_id: str = "", task_id: str = "") -> list[dict[str, Any]]:
        return await run_in_threadpool(events.releases, dag_id, run_id, task_id)

    @routes.get("/live")
    async def live(cluster: str, namespace: str, service: str) -> dict[str, Any]:
        return await looks.at(await at(cluster, namespace, service))

    @routes.get("/changes")
    async def changes(cluster: str, namespace: str, service: str, revision: int) -> dict[str, Any]:
        return await changed(await at(cluster, namespace, service), revision)

    @routes.get("/calendars")
    async def calendars() -> list[dict[str, Any]]:
        return await run_in_threadpool(plans.calendars)

    return routes


async def look(place: Place) -> dict[str, Any]:
    """Ask the cluster how a service is; whatever keeps it from answering is an answer, too."""
    from tke_provider.clients.observations import observe

    async def ask(cluster: Cluster) -> dict[str, Any]:
        observation, records = await observe(cluster, place.namespace, place.service)
        return {**dataclasses.asdict(observation), **_history(records)}

    return await _asked(place, ask, {"health": "unknown"})


async def changed(place: Place, revision: int) -> dict[str, Any]:
    """Return what a release changed (``markdown``), or the ``reason`` why that cannot be told."""
    from tke_provider.clients.releases import numbered

    async def ask(cluster: Cluster) -> dict[str, Any]:
        record = await numbered(cluster, place.namespace, place.service, revision)
        if record is None or record.diff is None:
            return {"reason": "the record of this release is gone, or holds no diff"}
        return {"markdown": record.diff["markdown"]}

    return await _asked(place, ask, {})


async def _asked(
    place: Place, ask: Callable[[Cluster], Awaitable[dict[str, Any]]], unknown: dict[str, Any]
) -> dict[str, Any]:
    """Return what the cluster says, or why it says nothing."""
    from tke_provider.hooks.kubernetes import TkeKubernetesHook

    async def answer() -> dict[str, Any]:
        hook = TkeKubernetesHook(place.way.connection, place.cluster, place.way.region or None)
        _check_leads_to(place.cluster, await hook.connection())
        async with await hook.cluster() as cluster:
            return await ask(cluster)

    try:
        return await asyncio.wait_for(answer(), PATIENCE)
    except asyncio.TimeoutError:
        return {**unknown, "reason": no_answer(PATIENCE)}
    except TkeError as error:
        return {**unknown, "reason": str(error)}


def _check_leads_to(cluster_id: str, connection: TkeConnection) -> None:
    """Refuse to tell of one cluster what another one says: a kubeconfig leads to its own, whatever is asked for.

    Which one that is, is known where the connection names it.
    """
    here = connection.cluster_id
    if connection.kubeconfig_secret and here and here.lower() != cluster_id.lower():
        raise InputError(
            f"The kubeconfig of connection {connection.conn_id} leads to {here} and not to {cluster_id}",
            way_out=f"if it is that cluster, name {cluster_id} as the connection's default cluster; else read there",
        )


def _history(records: list[Record]) -> dict[str, Any]:
    from tke_provider.domain.diffs import counts_in_words
    from tke_provider.domain.dora import figures

    now = datetime.now(timezone.utc)
    shown = ("revision", "commit", "strategy", "reason", "who", "approver", "restores", "checks", "duration")
    return {
        "records": [
            {name: getattr(record, name) for name in shown}
            | {
                "stage": record.stage.value,
                "images": record.digests,
                "way_back": dict(record.previous),
                "changes": counts_in_words(record.diff["counts"]) if record.diff else "",
                "started": record.started and record.started.isoformat(),
                "finished": record.finished and record.finished.isoformat(),
            }
            for record in records
        ],
        "dora": figures(records, now - timedelta(days=_DAYS), now),
    }
