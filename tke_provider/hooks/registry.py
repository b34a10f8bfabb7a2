"""From an Airflow connection to the registry that images are pushed to and pulled from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseHook

from tke_provider.domain.images import split_host
from tke_provider.exceptions import CredentialError, InputError, NotFoundError
from tke_provider.hooks.connections import find_connection, mask
from tke_provider.hooks.tcr import TcrHook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from tke_provider.clients.registry import ImageRegistry
    from tke_provider.clients.tcr import RegistryLogin


class RegistryHook(BaseHook):
    """Logs in to an image registry: to TCR by the cloud's key, to any other by a connection of type ``docker``.

    :param tke_conn_id: connection of type ``tke`` that the login to TCR is issued by.
    :param registry_id: ``tcr-xxxxxxxx``; default: the connection's, where ``docker_conn_id`` is not given.
    :param docker_conn_id: connection of type ``docker`` with host, login and password.
    """

    def __init__(
        self, tke_conn_id: str = "tke_default", registry_id: str | None = None, docker_conn_id: str | None = None
    ) -> None:
        super().__init__()
        self.tke_conn_id = tke_conn_id
        self.registry_id = registry_id
        self.docker_conn_id = docker_conn_id
        self.logged_in_to = ""
        """The TCR registry of the last login; empty where it was none of TCR's."""

    async def repository(self, name: str) -> str:
        """Return a repository's full name.

        :param name: ``host/namespace/name``, or ``namespace/name`` in the registry that is logged in to.
        :raises InputError: when no registry is named anywhere.
        """
        if split_host(name)[0]:
            return name
        # Without any other registry, TCR's own error tells what is missing.
        login = await self._chosen() or await TcrHook(self.tke_conn_id).login()
        return f"{login.host}/{name}"

    async def login(self, host: str) -> RegistryLogin | None:
        """Return the login to a registry; None when there is only the ``tke`` connection, and it is for another one.

        :raises InputError: when the login that was asked for is for another registry: it is not shown to this one.
        """
        self.logged_in_to = ""
        chosen = await self._chosen()
        if chosen and chosen.host != host:
            raise InputError(
                f"{self.docker_conn_id or self.registry_id} is a login for {chosen.host}, and the image is at {host}",
                way_out="name the registry that the image is in",
            )
        if chosen is None:
            return await self._default(host)
        self.logged_in_to = "" if self.docker_conn_id else str(self.registry_id)
        return chosen

    async def registry(self, host: str) -> ImageRegistry:
        """Return a registry; use it as ``async with await hook.registry(host) as registry:``."""
        from tke_provider.clients.registry import ImageRegistry

        return ImageRegistry(host, await self.login(host))

    async def _chosen(self) -> RegistryLogin | None:
        if self.docker_conn_id:
            return await self._docker_login(self.docker_conn_id)
        if self.registry_id:
            return await TcrHook(self.tke_conn_id).login(self.registry_id)
        return None

    async def _default(self, host: str) -> RegistryLogin | None:
        hook = TcrHook(self.tke_conn_id)
        try:
            connection = await hook.connection()
        except NotFoundError:
            self.log.info("There is no connection %s: nobody logs in to %s", self.tke_conn_id, host)
            return None
        login = await hook.login() if connection.registry_id else None
        if login is None or login.host != host:
            return None
        self.logged_in_to = connection.registry_id
        return login

    async def _docker_login(self, conn_id: str) -> RegistryLogin:
        from tke_provider.clients.tcr import RegistryLogin

        connection = await find_connection(conn_id, "add one of type Docker under Admin, Connections")
        if not (connection.host and connection.login and connection.password):
            raise CredentialError(
                f"Connection {conn_id} lacks the registry's host, the login or the password", way_out="fill them in"
            )
        await mask(connection.password)
        # It does not end while a task runs, as far as anybody can tell.
        return RegistryLogin(_host(connection), connection.login, connection.password, expires=math.inf)


def _host(connection: Connection) -> str:
    """Return the registry as images are named by it; people write its URL, too."""
    host = str(connection.host).partition("://")[2] or str(connection.host)
    host = host.partition("/")[0]
    return f"{host}:{connection.port}" if connection.port and ":" not in host else host
