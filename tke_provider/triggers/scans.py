"""Waiting for the scanner's word on an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.domain.scans import judge
from tke_provider.hooks.tcss import TcssHook
from tke_provider.triggers.base import TkeBaseTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tke_provider.domain.verdicts import Verdict


class ScanTrigger(TkeBaseTrigger):
    """Waits while the scanner is at work.

    :param registry_id: ``tcr-xxxxxxxx``.
    :param repository: ``namespace/name``.
    :param digest: of the image.
    :param limits: how many findings of each level are allowed.
    :param scanned_before: when the image was scanned before a scan was started; None where none was.
    """

    arguments = ("registry_id", "repository", "digest", "limits", "scanned_before")

    def __init__(
        self,
        *,
        registry_id: str,
        repository: str,
        digest: str,
        limits: Mapping[str, int],
        scanned_before: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.registry_id = registry_id
        self.repository = repository
        self.digest = digest
        self.limits = dict(limits)
        self.scanned_before = scanned_before
        self._pages: dict[int, int] = {}

    async def look(self) -> Verdict:
        """Look at what the scanner says."""
        async with await TcssHook(self.tke_conn_id).tcss() as tcss:
            scan = await tcss.scan(self.registry_id, self.repository, self.digest, self._pages)
        return judge(scan, self.limits, scanned_before=self.scanned_before)
