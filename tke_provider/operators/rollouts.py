"""Releasing a service: manifests applied with the tested image, watched until they serve, undone if they do not."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tke_provider.domain.images import Image, ImageDict
from tke_provider.domain.manifests import Manifest, ObjectRef, pin
from tke_provider.domain.shutdowns import risks, served
from tke_provider.exceptions import InputError
from tke_provider.hooks.manifests import ManifestSource
from tke_provider.links.commits import CommitLink
from tke_provider.operators.releases import TkeReleaseOperator

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.domain.releases import Record


class TkeDeployServiceOperator(TkeReleaseOperator):
    """Releases a service by digest, waits until it is up, and puts back what was there before if it does not come up.

    Deployments, StatefulSets and DaemonSets are waited for until every pod is of the new version and available, Jobs
    until they have done their work. Deploying the same again changes nothing, and runs no Job again. Everything else
    is as :class:`~tke_provider.operators.releases.TkeReleaseOperator` says, where the other parameters are explained.

    :param images: the image of each container, as the build task returned it, by container name (or
        ``workload/container`` where two workloads use one name).
    :param manifests: YAML of any number of documents, the path of a ``.yaml`` or ``.yml`` file that Airflow finds
        and renders as a template, or a list of objects. Give this, or the next three.
    :param git_url: repository that holds the manifests.
    :param commit: full commit SHA to read them at.
    :param manifests_path: file, folder of ``.yaml`` and ``.yml`` files, or folder with a kustomization (the worker then
        needs ``kubectl``), within the repository. Not a template.
    :param git_conn_id: connection with the login for the git host; none for public repositories.
    :param service: how the release is named; default: the one container that an image is given for.
    :param allow_tags: let a container keep a tag of a repository whose image is given for another container.
    :return: a :class:`~tke_provider.domain.rollouts.Release`.
    :raises InputError: when manifests, images or namespace cannot be used. Nothing was changed.
    :raises BusyError: when another operation is changing a workload; a retry helps.
    :raises RolloutError: when the new version does not come up; names the pod, the cause, and what serves now.
    :raises ConflictError: when somebody else deployed meanwhile. Their work is left alone.
    """

    template_fields: Collection[str] = tuple(
        sorted((*TkeReleaseOperator.template_fields, "commit", "git_conn_id", "git_url", "images", "manifests"))
    )
    operator_extra_links = (*TkeReleaseOperator.operator_extra_links, CommitLink())
    template_ext = (".yaml", ".yml")
    template_fields_renderers = {"images": "json", "manifests": "yaml"}  # noqa: RUF012  # as Airflow declares it

    def __init__(
        self,
        *,
        images: Mapping[str, ImageDict | str],
        manifests: str | Sequence[Manifest] | None = None,
        git_url: str | None = None,
        commit: str | None = None,
        manifests_path: str | None = None,
        git_conn_id: str | None = None,
        allow_tags: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.images = images
        self.manifests = manifests
        self.git_url = git_url
        self.commit = commit
        self.manifests_path = manifests_path
        self.git_conn_id = git_conn_id
        self.allow_tags = allow_tags

    async def intend(self, cluster: Cluster, draft: Record) -> tuple[Record, list[Manifest]]:  # noqa: ARG002
        """Return the manifests with the images in them."""
        images = {name: Image.parse(image) for name, image in self.images.items()}
        manifests = pin(await self._read(), images, allow_tags=self.allow_tags)
        for workload in self.served(manifests):
            for risk in risks(workload):
                self.log.warning("%s may lose requests: %s", ObjectRef.of(workload), risk)
        commit = ",".join(sorted({image.commit for image in images.values() if image.commit})) or self.commit or ""
        return dataclasses.replace(
            draft, commit=commit, images={name: str(image) for name, image in images.items()}
        ), manifests

    def served(self, manifests: Sequence[Manifest]) -> list[Manifest]:
        """Return the workloads that are sent requests, as far as the manifests say."""
        return served(manifests)

    def _service(self) -> str:
        named = {name.partition("/")[0] for name in self.images}
        if not self.service and len(named) != 1:
            raise InputError(
                f"Task {self.task_id} gives images for {', '.join(sorted(named)) or 'no container'}, and no service",
                way_out="pass service, which names the release",
            )
        return self.service or named.pop()

    async def _read(self) -> list[Manifest]:
        """Return the manifests as their author wrote them."""
        source = ManifestSource(self.manifests, self.git_url, self.commit, self.manifests_path, self.git_conn_id)
        return await source.read()
