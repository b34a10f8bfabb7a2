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
from tke_provider.exceptions import TkeError
from tke_provider.plugin import events, plans
from tke_provider.plugin.looks import Looks

if TYPE_CHECKING:
    from fastapi import APIRouter

    from tke_provider.domain.observations import Observation
    from tke_provider.domain.releases import Record

PATIENCE = 5.0
"""Seconds that the cluster has to say how a service is."""
_DAYS = 30
"""Of the figures of delivery."""


def router() -> APIRouter:
    """Return the routes, for users who may read assets."""
    from airflow.api_fastapi.core_api.security import requires_access_asset
    from fastapi import APIRouter, Depends, HTTPException
    from starlette.concurrency import run_in_threadpool

    routes = APIRouter(prefix="/api", dependencies=[Depends(requires_access_asset("GET"))], include_in_schema=False)

    looks = Looks(lambda place: look(*place))

    @routes.get("/releases")
    async def releases(dag_id: str = "", run_id: str = "") -> list[dict[str, Any]]:
        return await run_in_threadpool(events.releases, dag_id, run_id)

    @routes.get("/live")
    async def live(cluster: str, namespace: str, service: str) -> dict[str, Any]:
        if not await run_in_threadpool(events.is_known, release_uri(cluster, namespace, service)):
            raise HTTPException(404, "nothing was released there")
        return await looks.at((cluster, namespace, service))

    @routes.get("/calendars")
    async def calendars() -> list[dict[str, Any]]:
        return await run_in_threadpool(plans.calendars)

    return routes


async def look(cluster_id: str, namespace: str, service: str) -> dict[str, Any]:
    """Ask the cluster how a service is; whatever keeps it from answering is an answer, too."""
    from tke_provider.clients.observations import observe
    from tke_provider.hooks.kubernetes import TkeKubernetesHook

    async def ask() -> tuple[Observation, list[Record]]:
        async with await TkeKubernetesHook("tke_default", cluster_id).cluster() as cluster:
            return await observe(cluster, namespace, service)

    try:
        observation, records = await asyncio.wait_for(ask(), PATIENCE)
    except asyncio.TimeoutError:
        return {"health": "unknown", "reason": f"the cluster did not answer within {PATIENCE:g} seconds"}
    except TkeError as error:
        return {"health": "unknown", "reason": str(error)}
    return {**dataclasses.asdict(observation), **_history(records)}


def _history(records: list[Record]) -> dict[str, Any]:
    from tke_provider.domain.dora import figures

    now = datetime.now(timezone.utc)
    shown = ("revision", "commit", "strategy", "reason", "who", "approver", "restores")
    return {
        "records": [
            {name: getattr(record, name) for name in shown}
            | {
                "stage": record.stage.value,
                "started": record.started and record.started.isoformat(),
                "finished": record.finished and record.finished.isoformat(),
            }
            for record in records
        ],
        "dora": figures(records, now - timedelta(days=_DAYS), now),
    }
