"""Tencent Container Security Service (https://cloud.tencent.com/document/api/1285), version 2020-11-01.

It scans the images of TCR; TCR's own API tells nothing of what was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.clients.tencent_cloud import TencentCloudService
from tke_provider.domain.scans import Scan

if TYPE_CHECKING:
    from collections.abc import Mapping

_PAGE = 100  # the most that one answer holds


class Tcss(TencentCloudService):
    """The scanner; use it as ``async with``."""

    async def scan(self, registry_id: str, path: str, digest: str) -> Scan | None:
        """Return what the scanner says of an image, None where it does not know it.

        :param registry_id: ``tcr-xxxxxxxx``.
        :param path: ``namespace/name``.
        """
        found: Scan | None = None
        offset = 0
        while True:
            # No filter by digest is documented, so the list is read to its end: 20 pages a second at the most.
            answer = await self._call("DescribeAssetImageRegistryList", {"Limit": _PAGE, "Offset": offset})
            rows = answer.get("List") or []
            for row in rows:
                here = (row.get("InstanceId"), f"{row.get('Namespace')}/{row.get('ImageName')}", row.get("ImageDigest"))
                if here == (registry_id, path, digest):
                    scan = Scan.parse(row)
                    # One row a tag, each with a scan of its own: the newest tells.
                    found = scan if found is None or scan.at > found.at else found
            if len(rows) < _PAGE:
                return found
            offset += _PAGE

    async def start(self, scan: Scan) -> None:
        """Start to scan an image again. A scan costs what the product's licence says."""
        await self._call("CreateAssetImageRegistryScanTask", {"Id": [scan.id], "ScanType": ["CVE", "VIRUS"]})

    async def _call(self, action: str, params: Mapping[str, object]) -> dict[str, Any]:
        return await self._client.call("tcss", "2020-11-01", action, params)
