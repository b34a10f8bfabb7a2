"""From a path on object storage to a folder that keeps the reports of a task."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseHook

from tke_provider.exceptions import InputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ODD = re.compile(r"[^A-Za-z0-9._=-]+")


class ReportsHook(BaseHook):
    """Keeps the reports of tests where people read them: any storage that Airflow's object storage reaches.

    :param base: ``scheme://[connection@]bucket/folder``, as Airflow's ``ObjectStoragePath`` has it.
    """

    def __init__(self, base: str) -> None:
        super().__init__()
        self.base = base

    def check(self) -> None:
        """Look whether such a path can be, before anything is run. Nothing is asked of the storage.

        :raises InputError: when no filesystem is installed for its scheme.
        """
        from airflow.sdk import ObjectStoragePath

        try:
            ObjectStoragePath(self.base)
        except (ValueError, ImportError) as error:
            raise InputError(
                f"reports_path {self.base!r} cannot be used",
                cause=str(error),
                way_out="write it as s3://connection@bucket/folder, and install the provider of that storage",
            ) from error

    async def keep(self, folder: str, files: Mapping[str, bytes]) -> str:
        """Write the files to a folder below the base, over what is there, and return the folder.

        :param files: content by name.
        :raises UnavailableError: when the storage refuses or does not answer.
        """
        try:
            return await asyncio.to_thread(self._keep, folder, files)
        except Exception as error:  # each storage has errors of its own
            raise UnavailableError(
                f"The reports cannot be kept at {self.base}", cause=str(error), way_out="look at the storage"
            ) from error

    def _keep(self, folder: str, files: Mapping[str, bytes]) -> str:
        from airflow.sdk import ObjectStoragePath

        whole = ObjectStoragePath(self.base) / folder
        whole.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (whole / name).write_bytes(content)
        return str(whole)


def folder_of(*parts: object) -> str:
    """Return a folder's name below the base; a run's id has characters that storages and browsers do not like."""
    return "/".join(_ODD.sub("_", str(part)).lstrip(".") or "_" for part in parts)
