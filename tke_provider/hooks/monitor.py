"""From an Airflow connection to Tencent Cloud's own monitoring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tke_provider.hooks.tencent_cloud import TencentCloudHook

if TYPE_CHECKING:
    from tke_provider.clients.monitor import Monitor


class MonitorHook(TencentCloudHook):
    """Metrics of the cloud's resources."""

    async def monitor(self) -> Monitor:
        """Return the monitoring; use it as ``async with await hook.monitor() as monitor:``."""
        from tke_provider.clients.monitor import Monitor

        return Monitor(await self.client())
