"""From an Airflow connection to Prometheus."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseHook

from tke_provider.domain.hosts import split_url
from tke_provider.exceptions import InputError, TkeError
from tke_provider.hooks.connections import find_connection, mask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from tke_provider.clients.prometheus import Prometheus


class PrometheusHook(BaseHook):
    """Asks Prometheus, or Tencent Managed Service for Prometheus.

    :param prometheus_conn_id: connection of type ``prometheus`` or ``http``. Its host is a name or a whole URL, login
        and password are those of basic authentication, and extra ``bearer_token`` is sent instead of them.
    """

    conn_name_attr = "prometheus_conn_id"
    default_conn_name = "prometheus_default"
    conn_type = "prometheus"
    hook_name = "Prometheus"

    def __init__(self, prometheus_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.prometheus_conn_id = prometheus_conn_id

    async def prometheus(self) -> Prometheus:
        """Return Prometheus; use it as ``async with await hook.prometheus() as prometheus:``.

        :raises NotFoundError: when there is no such connection.
        :raises InputError: when it is of another type, or leads nowhere.
        """
        from tke_provider.clients.prometheus import Prometheus

        conn_id = self.prometheus_conn_id
        connection = await find_connection(conn_id, "add one of type Prometheus under Admin, Connections")
        if connection.conn_type not in {self.conn_type, "http"}:
            raise InputError(
                f"Connection {conn_id} is of type {connection.conn_type or 'none'}",
                way_out="name a connection of type prometheus or http",
            )
        token = str(connection.extra_dejson.get("bearer_token") or "")
        await mask(connection.password or "", token)
        login = (connection.login, connection.password or "") if connection.login else None
        if token and login:
            raise InputError(f"Connection {conn_id} has both a login and a bearer_token", way_out="remove one of them")
        return Prometheus(_url(connection), login, token)

    def test_connection(self) -> tuple[bool, str]:
        """Say whether it answers; what the button "Test" of the connection form shows."""
        try:
            return True, asyncio.run(self._greet())
        except TkeError as error:
            return False, str(error)

    async def _greet(self) -> str:
        async with await self.prometheus() as prometheus:
            await prometheus.value("vector(1)", time.time())
            return f"Prometheus at {prometheus.url} answers queries."


def _url(connection: Connection) -> str:
    """Return the URL that a connection leads to; people write host, port and scheme, or all in one."""
    host = (connection.host or "").strip()
    if not host:
        raise InputError(
            f"Connection {connection.conn_id} names no host", way_out="fill in where Prometheus is, such as 10.0.0.9"
        )
    url = host if "://" in host else f"{connection.schema or 'http'}://{host}"
    parts = split_url(f"The host of connection {connection.conn_id}", url)
    port = f":{connection.port}" if connection.port and not parts.port else ""
    return f"{parts.scheme}://{parts.netloc}{port}{parts.path}"
