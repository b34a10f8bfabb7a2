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

    async def scan(self, registry_id: str, path: str, digest: str, pages: dict[int, int] | None = None) -> Scan | None:
        """Return what the scanner says of an image, None where it does not know it.

        No filter by digest is documented, so the list of the whole account is read to its end: 20 pages a second at
        the most. Whoever asks again and again keeps the pages that told of the image, and reads these alone.

        :param registry_id: ``tcr-xxxxxxxx``.
        :param path: ``namespace/name``.
        :param pages: where in the list the image was, and how often; written here, empty at first.
        """
        pages = {} if pages is None else pages
        image = (registry_id, path, digest)
        again = {offset: _of(image, (await self._page(offset))[0]) for offset in pages}
        if not pages or {offset: len(rows) for offset, rows in again.items()} != pages:  # the list has moved
            again = await self._whole(image)
            pages.clear()
            pages.update({offset: len(rows) for offset, rows in again.items()})
        # One row a tag, each with a scan of its own: the newest tells.
        scans = [Scan.parse(row) for rows in again.values() for row in rows]
        return max(scans, key=lambda scan: scan.at, default=None)

    async def _whole(self, image: tuple[str, str, str]) -> dict[int, list[dict[str, Any]]]:
        """Return the rows of an image by page, of all pages that have any."""
        found: dict[int, list[dict[str, Any]]] = {}
        offset = total = 0
        while offset == 0 or offset < total:
            # A page that is short is not the last one: an image of it may have been deleted in this moment.
            rows, total = await self._page(offset)
            if own := _of(image, rows):
                found[offset] = own
            offset += _PAGE
        return found

    async def _page(self, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Return some rows, and how many there are in all."""
        answer = await self._call("DescribeAssetImageRegistryList", {"Limit": _PAGE, "Offset": offset})
        return answer.get("List") or [], int(answer.get("TotalCount") or 0)

    async def start(self, scan: Scan) -> None:
        """Start to scan an image again. A scan costs what the product's licence says."""
        await self._call("CreateAssetImageRegistryScanTask", {"Id": [scan.id], "ScanType": ["CVE", "VIRUS"]})

    async def _call(self, action: str, params: Mapping[str, object]) -> dict[str, Any]:
        return await self._client.call("tcss", "2020-11-01", action, params)


def _of(image: tuple[str, str, str], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of an image."""
    return [
        row
        for row in rows
        if (row.get("InstanceId"), f"{row.get('Namespace')}/{row.get('ImageName')}", row.get("ImageDigest")) == image
    ]
