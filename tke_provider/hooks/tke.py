"""From an Airflow connection to TKE."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tke_provider.exceptions import InputError, TkeError
from tke_provider.hooks.tencent_cloud import TencentCloudHook

if TYPE_CHECKING:
    from tke_provider.clients.tke import Tke
    from tke_provider.hooks.tencent_cloud import TkeConnection


class TkeHook(TencentCloudHook):
    """Clusters and node pools; also what stands behind the connection form."""

    async def tke(self, connection: TkeConnection | None = None) -> Tke:
        """Return TKE; use it as ``async with await hook.tke() as tke:``.

        :param connection: what the connection holds, for who has read it already.
        """
        from tke_provider.clients.tke import Tke

        return Tke(await self.client(connection))

    async def default_cluster(self, connection: TkeConnection | None = None) -> str:
        """Return the cluster that the connection names.

        :param connection: what the connection holds, for who has read it already.
        :raises InputError: when it names none.
        """
        connection = connection or await self.connection()
        if not connection.cluster_id:
            raise InputError(
                f"Neither the task nor connection {self.tke_conn_id} names a cluster",
                way_out="pass cluster_id (cls-xxxxxxxx), or fill it in at the connection",
            )
        return connection.cluster_id

    def test_connection(self) -> tuple[bool, str]:
        """Say whom the cloud takes us for; what the button "Test" of the connection form shows."""
        try:
            return True, asyncio.run(self._who_am_i())
        except TkeError as error:
            return False, str(error)

    async def _who_am_i(self) -> str:
        async with await self.client() as client:
            caller = await client.call("sts", "2018-08-13", "GetCallerIdentity", {})
        return (
            f"You are {caller['Type']} {caller['UserId']} of account {caller['AccountId']} ({caller['Arn']}),"
            f" in region {client.region}."
        )
