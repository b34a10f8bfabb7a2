"""Airflow's connections, and the logs that must not show what they hold."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, mask_secret

from tke_provider.exceptions import NotFoundError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection


async def find_connection(conn_id: str, way_out: str = "add it under Admin, Connections") -> Connection:
    """Return a connection.

    :param way_out: what to do where there is none, such as of which type to add one.
    :raises NotFoundError: when there is none.
    """
    try:
        return await BaseHook.aget_connection(conn_id)
    except AirflowNotFoundException as error:
        raise NotFoundError(f"There is no connection {conn_id}", way_out=way_out) from error


async def mask(*secrets: str) -> None:
    """Let nothing in this process's logs show these values."""
    for secret in filter(None, secrets):
        # It tells the supervisor over a pipe and waits, which a running event loop must not.
        await asyncio.to_thread(mask_secret, secret)
