"""Tencent Container Registry (https://cloud.tencent.com/document/api/1141), version 2019-09-24."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

from tke_provider.clients.tencent_cloud import TencentCloudService
from tke_provider.domain.repositories import TaggedImage
from tke_provider.exceptions import ConflictError, InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


_PAGE = 100  # the most that one answer holds


@dataclasses.dataclass(frozen=True, slots=True)
class Registry:
    """One registry of the enterprise edition.

    :param domain: the host that images are pushed to and pulled from.
    :param status: the cloud's own word; ``Running`` when it works.
    """

    id: str
    name: str
    domain: str
    status: str


@dataclasses.dataclass(frozen=True, slots=True)
class RegistryLogin:
    """A temporary login to a registry.

    :param expires: seconds since the epoch; an hour after it was issued.
    """

    host: str
    username: str
    password: str = dataclasses.field(repr=False)
    expires: float


class Tcr(TencentCloudService):
    """Registries of one region; use it as ``async with``."""

    async def instance(self, registry_id: str) -> Registry:
        """Describe a registry.

        :param registry_id: ``tcr-xxxxxxxx``.
        :raises NotFoundError: when this region has no such registry.
        """
        # "Registryids" is how this one action spells it.
        answer = await self._call("DescribeInstances", {"Registryids": [registry_id]})
        for each in answer.get("Registries") or []:
            if each["RegistryId"] == registry_id:
                return Registry(registry_id, each["RegistryName"], each["PublicDomain"], each["Status"])
        raise NotFoundError(
            f"There is no registry {registry_id} in {self._client.region}",
            way_out="check the id (tcr-xxxxxxxx) and the region of the connection",
        )

    async def login(self, registry_id: str) -> RegistryLogin:
        """Issue a login that ends by itself after an hour.

        :raises NotFoundError: when this region has no such registry.
        :raises ForbiddenError: when the identity lacks ``tcr:CreateInstanceToken``.
        """
        registry = await self.instance(registry_id)
        answer = await self._call("CreateInstanceToken", {"RegistryId": registry_id, "TokenType": "temp"})
        # ExpTime counts milliseconds.
        return RegistryLogin(registry.domain, answer["Username"], answer["Token"], answer["ExpTime"] / 1000)

    async def images(self, registry_id: str, path: str, digest: str = "") -> list[TaggedImage]:
        """Return the tags of a repository with what they stand for.

        :param path: ``namespace/name``.
        :param digest: only tags of this one.
        :raises NotFoundError: when there is no such repository.
        """
        params = {**_where(registry_id, path), **({"Digest": digest} if digest else {})}
        found: dict[str, TaggedImage] = {}
        # A tag that is pushed meanwhile may move another one to the next page, where it shows again.
        async for each in self._pages("DescribeImages", params, "ImageInfoList"):
            found[each["ImageVersion"]] = TaggedImage.parse(each)
        return list(found.values())

    async def tag_of(self, registry_id: str, path: str, digest: str) -> str | None:
        """Return a tag of an image, None where it has none."""
        found = [each for each in await self.images(registry_id, path, digest) if each.digest == digest]
        return found[0].tag if found else None

    async def duplicate(self, registry_id: str, path: str, tag: str, to_path: str, to_tag: str) -> None:
        """Give an image another tag, in another repository; a tag that exists is never moved.

        Nothing tells afterwards whether a call without an answer was carried out: look at the tag.

        :param path: ``namespace/name`` that the image is in; its tag, for the cloud takes no digest.
        :raises ConflictError: when that tag exists.
        """
        (namespace, name), (to_namespace, to_name) = _split(path), _split(to_path)
        params = {
            "RegistryId": registry_id,
            "SourceNamespace": namespace,
            "SourceRepo": name,
            "SourceReference": tag,
            "DestinationNamespace": to_namespace,
            "DestinationRepo": to_name,
            "DestinationTag": to_tag,
            "Override": False,
        }
        await self._call("DuplicateImage", params)

    async def delete_image(self, registry_id: str, path: str, tag: str) -> bool:
        """Delete an image by its tag, and with it its other tags; return whether it was there."""
        try:
            await self._call("DeleteImage", {**_where(registry_id, path), "ImageVersion": tag})
        except NotFoundError:
            return False
        return True

    async def create_namespace(self, registry_id: str, name: str) -> bool:
        """Make a namespace, private, unless it is there; return whether it was made."""
        answer = await self._call("DescribeNamespaces", {"RegistryId": registry_id, "NamespaceName": name, "All": True})
        if any(each["Name"] == name for each in answer.get("NamespaceList") or []):
            return False
        params = {"RegistryId": registry_id, "NamespaceName": name, "IsPublic": False}
        return await self._create("CreateNamespace", params)

    async def create_repository(self, registry_id: str, path: str, brief: str = "") -> bool:
        """Make a repository unless it is there; return whether it was made.

        :param path: ``namespace/name``.
        :raises NotFoundError: when there is no such namespace.
        """
        namespace, name = _split(path)
        params: dict[str, Any] = {"RegistryId": registry_id, "NamespaceName": namespace, "RepositoryName": name}
        # RepositoryName matches parts of names, too.
        async for each in self._pages("DescribeRepositories", params, "RepositoryList"):
            if each["Name"] == path:
                return False
        return await self._create("CreateRepository", {**params, **({"BriefDescription": brief} if brief else {})})

    async def _pages(self, action: str, params: Mapping[str, object], key: str) -> AsyncIterator[dict[str, Any]]:
        """Yield every row; here ``Offset`` is the number of a page, from 1."""
        for page in itertools.count(1):
            rows = (await self._call(action, {**params, "Limit": _PAGE, "Offset": page})).get(key) or []
            for row in rows:
                yield row
            if len(rows) < _PAGE:
                return

    async def _create(self, action: str, params: Mapping[str, object]) -> bool:
        try:
            await self._call(action, params)
        except ConflictError:
            # Made by somebody else since it was looked for.
            return False
        return True

    async def _call(self, action: str, params: Mapping[str, object]) -> dict[str, Any]:
        return await self._client.call("tcr", "2019-09-24", action, params)


def _split(path: str) -> tuple[str, str]:
    namespace, _, name = path.partition("/")
    if not (namespace and name):
        raise InputError(f"{path!r} is no repository of TCR", way_out="write namespace/name")
    return namespace, name


def _where(registry_id: str, path: str) -> dict[str, object]:
    namespace, name = _split(path)
    return {"RegistryId": registry_id, "NamespaceName": namespace, "RepositoryName": name}
