"""Tencent Container Registry (https://cloud.tencent.com/document/api/1141), version 2019-09-24."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tke_provider.clients.tencent_cloud import TencentCloudService
from tke_provider.exceptions import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping


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

    async def _call(self, action: str, params: Mapping[str, object]) -> dict[str, Any]:
        return await self._client.call("tcr", "2019-09-24", action, params)
