"""From an Airflow connection to the scanner of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tke_provider.hooks.tencent_cloud import TencentCloudHook

if TYPE_CHECKING:
    from tke_provider.clients.tcss import Tcss


class TcssHook(TencentCloudHook):
    """The scanner."""

    async def tcss(self) -> Tcss:
        """Return the scanner; use it as ``async with await hook.tcss() as tcss:``."""
        from tke_provider.clients.tcss import Tcss

        return Tcss(await self.client())
