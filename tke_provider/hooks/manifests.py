"""From what a task was given to the manifests that it means."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tke_provider.domain.manifests import Manifest, parse
from tke_provider.exceptions import InputError
from tke_provider.hooks.git import GitHook

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class ManifestSource:
    """Where manifests come from: either written down, or in a repository at one commit.

    :param manifests: YAML of any number of documents, or a list of objects.
    :param git_url: repository that holds them.
    :param commit: full commit SHA to read them at.
    :param path: file, folder of ``.yaml`` and ``.yml`` files, or folder with a kustomization, within the repository.
    :param git_conn_id: connection with the login for the git host; none for public repositories.
    """

    manifests: str | Sequence[Manifest] | None = None
    git_url: str | None = None
    commit: str | None = None
    path: str | None = None
    git_conn_id: str | None = None

    async def read(self) -> list[Manifest]:
        """Return the manifests as their author wrote them.

        :raises InputError: when both places are named, or neither, there are no manifests, or a Secret is written down
            in the task: Airflow stores and shows what a task is given.
        :raises ManifestError: when they cannot be understood.
        """
        given = (self.manifests is not None, self.git_url is not None)
        if given.count(True) != 1 or (self.git_url and not (self.commit and self.path)):
            raise InputError(
                "The task does not say where its manifests are",
                way_out="pass manifests, or else git_url, commit and manifests_path",
            )
        if self.manifests is not None:
            return _without_secrets(parse(self.manifests))
        from tke_provider.clients.git import checkout
        from tke_provider.clients.kustomize import render
        from tke_provider.clients.manifests import read_folder

        login = await GitHook(self.git_conn_id).login() if self.git_conn_id else None
        async with checkout(str(self.git_url), str(self.commit), login) as folder:
            rendered = await render(folder, str(self.path))
            return read_folder(folder, str(self.path)) if rendered is None else parse(rendered)


def _without_secrets(manifests: list[Manifest]) -> list[Manifest]:
    """Refuse Secrets with something in them, naming none of it."""
    for manifest in manifests:
        if manifest["kind"] == "Secret" and (manifest.get("data") or manifest.get("stringData")):
            raise InputError(
                f"Secret {manifest['metadata']['name']} stands in the task's manifests, which Airflow stores and shows",
                way_out="make it in the cluster beforehand, or keep manifests in a repository; then change its values",
            )
    return manifests
