"""Where keys come from: the connection, a role, the machine or the pod."""

from __future__ import annotations

import abc
import asyncio
import json
import os
import pathlib
import time
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

from tke_provider.clients.tencent_cloud import Key, TencentCloudClient
from tke_provider.clients.tls import trusted
from tke_provider.exceptions import CredentialError, TkeError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tke_provider.clients.tencent_cloud import Credentials

# A role's session name; it is what the cloud's audit shows. [\w+=,.@_-]{2,128}
_SESSION = "airflow-provider-tke"
# The cloud's default (https://cloud.tencent.com/document/api/1312/48197); a role may allow less, never less than this.
_LIFETIME_SECONDS = 7200
# A key is replaced while it still works, so that no call begins with one that ends on the way.
_MARGIN_SECONDS = 300.0
# STS has no regions of its own, but its calls must name one.
_STS_REGION = "ap-guangzhou"


class StaticKey:
    """A key that a person made, as the connection holds it.

    :param token: belongs to a temporary key that somebody else renews.
    """

    def __init__(self, secret_id: str, secret_key: str, token: str = "") -> None:
        self._key = Key(secret_id, secret_key, token)

    async def key(self) -> Key:
        """Return the key."""
        return self._key

    def forget(self, refused: Key) -> bool:  # noqa: ARG002  # it is the only one
        """Return that there is no other one."""
        return False


class RenewedKey(abc.ABC):
    """A temporary key that renews itself; safe to share between event loops, which matter for its lock only.

    :param announce: called with every new key before its first use, so that it can be masked in logs.
    """

    def __init__(self, announce: Callable[[Key], Awaitable[None]] | None = None) -> None:
        self._announce = announce
        self._key: Key | None = None
        self._locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()

    @abc.abstractmethod
    async def fetch(self) -> Key:
        """Ask for a new key."""

    async def key(self) -> Key:
        """Return the key, renewed when less than five minutes of it are left."""
        async with self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            if self._key is None or self._key.expires - time.time() < _MARGIN_SECONDS:
                self._key = await self._renew(self._key)
            return self._key

    def forget(self, refused: Key) -> bool:
        """Drop a key unless it was replaced meanwhile, and return that another one can be had.

        Of many calls that are under way with one key, each is refused, and the first has renewed it.
        """
        if self._key == refused:
            self._key = None
        return True

    async def _renew(self, old: Key | None) -> Key:
        try:
            new = await self.fetch()
        except TkeError as error:
            # A hiccup while the old key still works stops nobody.
            if old and error.retryable and time.time() < old.expires:
                return old
            raise
        if self._announce:
            await self._announce(new)
        return new


class AssumedRole(RenewedKey):
    """A role taken with another key (https://cloud.tencent.com/document/api/1312/48197).

    :param base: the key that may take the role.
    :param role_arn: ``qcs::cam::uin/<account>:roleName/<role>``.
    :param endpoint: see :class:`~tke_provider.clients.tencent_cloud.TencentCloudClient`.
    """

    def __init__(
        self,
        base: Credentials,
        role_arn: str,
        *,
        endpoint: str = "",
        announce: Callable[[Key], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(announce)
        self._base = base
        self._role_arn = role_arn
        self._endpoint = endpoint

    async def fetch(self) -> Key:
        """Take the role.

        :raises ForbiddenError: when its trust policy does not name the base key's identity.
        """
        params = {"RoleArn": self._role_arn, "RoleSessionName": _SESSION, "DurationSeconds": _LIFETIME_SECONDS}
        async with TencentCloudClient(self._base, _STS_REGION, endpoint=self._endpoint) as client:
            return _temporary(await client.call("sts", "2018-08-13", "AssumeRole", params))


class CvmRole(RenewedKey):
    """The role bound to the virtual machine that this runs on (https://cloud.tencent.com/document/product/213/47668).

    :param metadata: address of the machine's metadata service.
    :param timeout: seconds to wait for it; elsewhere than on a virtual machine of the cloud nobody answers.
    """

    def __init__(
        self,
        *,
        metadata: str = "http://metadata.tencentyun.com",
        timeout: float = 3.0,
        announce: Callable[[Key], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(announce)
        self._roles = f"{metadata}/latest/meta-data/cam/security-credentials/"
        self._timeout = timeout

    async def fetch(self) -> Key:
        """Ask the metadata service which role is bound, and for its key.

        :raises UnavailableError: when it does not answer.
        :raises CredentialError: when no role is bound.
        """
        role = (await self._get(self._roles)).strip()
        answer = json.loads(await self._get(self._roles + role)) if role else {}
        if answer.get("Code") != "Success":
            raise CredentialError(
                "This virtual machine has no role",
                cause=str(answer.get("Code") or ""),
                way_out="bind a role to it, or let the connection use another credential source",
            )
        return Key(answer["TmpSecretId"], answer["TmpSecretKey"], answer["Token"], float(answer["ExpiredTime"]))

    async def _get(self, url: str) -> str:
        import httpx

        try:
            # Not through a proxy: the address means this machine.
            async with httpx.AsyncClient(timeout=self._timeout, trust_env=False, verify=trusted()) as client:
                answer = await client.get(url)
        except httpx.HTTPError as error:
            raise UnavailableError(
                "The metadata service, which knows the role of a virtual machine, does not answer",
                cause=f"{type(error).__name__}: {error}",
                way_out="run this on a virtual machine of Tencent Cloud, or choose another credential source",
            ) from error
        return answer.text if answer.is_success else ""


class PodIdentity(RenewedKey):
    """The role of the service account that this pod runs as, in a TKE cluster with pod identity.

    The cluster's webhook gives the pod a token file and names the role and the identity provider in its environment
    (https://cloud.tencent.com/document/product/457/88989). All are read anew at each renewal: the token rotates.

    :param environment: where to look; default: that of this process.
    :param endpoint: see :class:`~tke_provider.clients.tencent_cloud.TencentCloudClient`.
    """

    variables: ClassVar = ("TKE_REGION", "TKE_PROVIDER_ID", "TKE_WEB_IDENTITY_TOKEN_FILE", "TKE_ROLE_ARN")

    def __init__(
        self,
        *,
        environment: Mapping[str, str] = os.environ,
        endpoint: str = "",
        announce: Callable[[Key], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(announce)
        self._environment = environment
        self._endpoint = endpoint

    async def fetch(self) -> Key:
        """Trade the pod's token for a key of its role.

        :raises CredentialError: when this pod has no identity.
        """
        region, provider, path, role_arn = self._read_environment()
        params = {
            "ProviderId": provider,
            "WebIdentityToken": await asyncio.to_thread(_read_token, path),
            "RoleArn": role_arn,
            "RoleSessionName": _SESSION,
            "DurationSeconds": _LIFETIME_SECONDS,
        }
        async with TencentCloudClient(None, region, endpoint=self._endpoint) as client:
            return _temporary(await client.call("sts", "2018-08-13", "AssumeRoleWithWebIdentity", params))

    def _read_environment(self) -> list[str]:
        values = [self._environment.get(name, "") for name in self.variables]
        if missing := [name for name, value in zip(self.variables, values, strict=True) if not value]:
            raise CredentialError(
                f"This process has no pod identity: {', '.join(missing)} not set",
                way_out="bind a role to the service account of this pod, or choose another credential source",
            )
        return values


def _read_token(path: str) -> str:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise CredentialError(
            f"The token of the pod identity cannot be read from {path}",
            cause=error.strerror or str(error),
            way_out="check the volume that the cluster's pod identity webhook adds to this pod",
        ) from error


def _temporary(answer: Mapping[str, Any]) -> Key:
    key = answer["Credentials"]
    return Key(key["TmpSecretId"], key["TmpSecretKey"], key["Token"], float(answer["ExpiredTime"]))
