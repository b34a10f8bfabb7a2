"""Promotion: what was tested goes to production, digest and all."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from tke_provider.domain.images import Image, ImageDict, check_repository, release_tag
from tke_provider.exceptions import UnavailableError
from tke_provider.hooks.registry import RegistryHook
from tke_provider.hooks.tcr import TcrHook
from tke_provider.operators.images import TkeImageOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.registry import ImageRegistry

_DUPLICATED_SECONDS = 120.0


class TcrPromoteImageOperator(TkeImageOperator):
    """Copies an image, digest and all, from registry to registry: what was tested is what goes to production.

    A repeated promotion changes nothing, and no layer passes through the worker's disk. Within one registry of TCR the
    cloud duplicates the image; within any other the registry mounts its layers; between two they are streamed.

    :param image: what the build task returned.
    :param to_repository: where to: ``host/namespace/name``, or ``namespace/name`` in the registry of the login there.
    :param tag: tag there; default: ``<commit>-<digest>``, both shortened, which no other image ever wants.
    :param to_registry_id: TCR registry to log in to there; default: the same login as for the image.
    :param to_docker_conn_id: connection of type ``docker`` with the login of any other registry there.

    :return: ``{"repository", "digest", "commit"}``, the digest unchanged.
    :raises NotFoundError: when the registry no longer has the image.
    :raises ConflictError: when the tag there stands for another image; it is not moved.
    :raises AccessError: when a registry refuses the login.
    """

    template_fields = tuple(
        sorted(
            (
                *TkeImageOperator.template_fields,
                "image",
                "tag",
                "to_docker_conn_id",
                "to_registry_id",
                "to_repository",
            )
        )
    )

    def __init__(
        self,
        *,
        image: ImageDict | str,
        to_repository: str,
        tag: str | None = None,
        to_registry_id: str | None = None,
        to_docker_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image = image
        self.to_repository = to_repository
        self.tag = tag
        self.to_registry_id = to_registry_id
        self.to_docker_conn_id = to_docker_conn_id

    async def perform(self, context: Context) -> ImageDict:  # noqa: ARG002  # the run says nothing that matters here
        """Copy what is missing there, and set the tag last."""
        image = Image.parse(self.image)
        here, there = self.registry_hook(), self._hook_there()
        repository = await there.repository(self.to_repository)
        check_repository(repository)
        promoted = Image(repository, image.digest, image.commit)
        tag = self.tag or release_tag(image)
        async with (
            await here.registry(image.host) as source,
            await there.registry(promoted.host) as target,
        ):
            if await target.has(promoted.path, tag, image.digest):
                self.log.info("It was promoted before")
            elif not await self._duplicate(here, there, target, image, promoted.path, tag):
                await source.promote(image, target, promoted.path, tag)
        self.log.info("%s is %s:%s", image, repository, tag)
        await self.locate(there, repository)
        return promoted.as_dict()

    def _hook_there(self) -> RegistryHook:
        if self.to_registry_id or self.to_docker_conn_id:
            return RegistryHook(self.tke_conn_id, self.to_registry_id, self.to_docker_conn_id)
        return self.registry_hook()

    async def _duplicate(
        self, here: RegistryHook, there: RegistryHook, target: ImageRegistry, image: Image, path: str, tag: str
    ) -> bool:
        """Let the cloud do it, and return whether it could: within one registry of TCR, for an image that has a tag.

        :raises ConflictError: when the tag there stands for another image, or the tag here was moved meanwhile.
        """
        registry_id = here.logged_in_to
        if not registry_id or registry_id != there.logged_in_to:
            return False
        async with await TcrHook(self.tke_conn_id).tcr() as tcr:
            source_tag = await tcr.tag_of(registry_id, image.path, image.digest)
            if source_tag is None:
                self.log.info("%s has no tag that the cloud could duplicate it by; copying it", image)
                return False
            await tcr.duplicate(registry_id, image.path, source_tag, path, tag)
        deadline = time.monotonic() + _DUPLICATED_SECONDS
        # Whether the cloud answers before or after it is done is not documented.
        while not await target.has(path, tag, image.digest):
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"The cloud is to duplicate {image}, and {tag} is not there after {_DUPLICATED_SECONDS:g} seconds",
                    way_out="run the task again",
                )
            await asyncio.sleep(1)
        return True
