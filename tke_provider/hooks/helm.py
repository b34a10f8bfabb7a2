"""From an Airflow connection to a Helm release in TKE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tke_provider.exceptions import CredentialError
from tke_provider.hooks.connections import find_connection, mask
from tke_provider.hooks.tke import TkeHook

if TYPE_CHECKING:
    from tke_provider.clients.helm import HelmReleases


class HelmHook(TkeHook):
    """Helm releases."""

    async def release(self, cluster_id: str | None, namespace: str, name: str) -> HelmReleases:
        """Return a release; use it as ``async with await hook.release(…) as release:``.

        :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
        """
        from tke_provider.clients.helm import HelmReleases

        return HelmReleases(await self.client(), cluster_id or await self.default_cluster(), namespace, name)

    async def chart_login(self, conn_id: str) -> tuple[str, str]:
        """Return user and password for a chart repository, the password masked in logs.

        :raises NotFoundError: when there is no such connection.
        :raises CredentialError: when it lacks one of them.
        """
        connection = await find_connection(conn_id, "add one with the chart repository's login and password")
        if not (connection.login and connection.password):
            raise CredentialError(f"Connection {conn_id} lacks login or password", way_out="fill them in")
        await mask(connection.password)
        return connection.login, connection.password
