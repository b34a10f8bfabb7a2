"""From an Airflow connection to TCR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tke_provider.exceptions import InputError
from tke_provider.hooks.connections import mask
from tke_provider.hooks.tencent_cloud import TencentCloudHook

if TYPE_CHECKING:
    from tke_provider.clients.tcr import RegistryLogin, Tcr


class TcrHook(TencentCloudHook):
    """Image registries."""

    async def tcr(self) -> Tcr:
        """Return TCR; use it as ``async with await hook.tcr() as tcr:``."""
        from tke_provider.clients.tcr import Tcr

        return Tcr(await self.client())

    async def default_registry(self) -> str:
        """Return the registry that the connection names.

        :raises InputError: when it names none.
        """
        connection = await self.connection()
        if not connection.registry_id:
            raise InputError(
                f"Neither the task nor connection {self.tke_conn_id} names a registry",
                way_out="pass registry_id (tcr-xxxxxxxx), or fill it in at the connection",
            )
        return connection.registry_id

    async def login(self, registry_id: str | None = None) -> RegistryLogin:
        """Issue a login that ends by itself after an hour, its password masked in logs.

        :param registry_id: ``tcr-xxxxxxxx``; default: the connection's.
        :raises InputError: when neither names a registry.
        """
        registry_id = registry_id or await self.default_registry()
        async with await self.tcr() as tcr:
            login = await tcr.login(registry_id)
        await mask(login.password)
        return login
