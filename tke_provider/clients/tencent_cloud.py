"""Tencent Cloud API 3.0: one call, its errors as ours, and what may be repeated."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import math
import re
from typing import TYPE_CHECKING, Any, Protocol

import tenacity

from tke_provider import __version__
from tke_provider.clients.tencent_cloud_errors import Asked, error_of
from tke_provider.clients.tls import trusted
from tke_provider.domain.hosts import split_url
from tke_provider.exceptions import CredentialError, InputError, ThrottledError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

log = logging.getLogger(__name__)

# Calls that change nothing, or issue a key that nobody has to give back. Anything else is repeated only when it was
# certainly not executed: the cloud has no idempotency tokens.
_REPEATABLE = re.compile(r"(Describe|Get|List|Check|AssumeRole)\w*")
# What a call is about, most specific first; both spellings are the cloud's.
_SUBJECTS = ("NodePoolId", "RegistryId", "Registryids", "ClusterId", "ClusterIds", "RoleArn")


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """What signs calls. Only the id is ever shown.

    :param token: belongs to temporary keys.
    :param expires: seconds since the epoch.
    """

    secret_id: str
    secret_key: str = dataclasses.field(repr=False)
    token: str = dataclasses.field(default="", repr=False)
    expires: float = math.inf

    def get_credential_info(self) -> tuple[str, str, str]:
        """Return id, key and token; the SDK's name for the only method that it calls."""
        return self.secret_id, self.secret_key, self.token


class Credentials(Protocol):
    """Where keys come from."""

    async def key(self) -> Key:
        """Return a key that the cloud still takes; without any blocking call.

        :raises CredentialError: when none can be had.
        """

    def forget(self, refused: Key) -> bool:
        """Drop a key that the cloud refused, if it is the present one, and return whether another one can be had."""


class TencentCloudClient:
    """Calls any action of any Tencent Cloud service in one region.

    Use it as ``async with``; it belongs to the event loop that it was first used in.

    :param credentials: what signs the calls; ``None`` for the one kind of call that is made without a key.
    :param region: for example ``ap-guangzhou``; empty for services without regions.
    :param endpoint: replaces the public endpoints: ``http(s)://host[:port]``, in which ``{service}`` stands for the
        service, as in ``https://{service}.intl.tencentcloudapi.com``. Financial regions use their own by default, as
        they must (https://www.tencentcloud.com/document/product/457/32025).
    :param timeout: seconds to wait for a connection, and for an answer.
    :param patience: seconds in which a call is repeated where that is safe.
    """

    def __init__(
        self,
        credentials: Credentials | None,
        region: str,
        *,
        endpoint: str = "",
        timeout: float = 30.0,
        patience: float = 30.0,
    ) -> None:
        self.region = region
        self._credentials = credentials
        self._endpoint = endpoint
        self._timeout = timeout
        self._patience = patience
        self._connections: dict[tuple[str, str], Any] = {}
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        while self._connections:
            await self._connections.popitem()[1].close()

    async def call(self, service: str, version: str, action: str, params: Mapping[str, object]) -> dict[str, Any]:
        """Call an action and return its answer: what stands in ``Response``.

        Throttled calls, and calls that were never sent, are repeated with jittered backoff; so are reads after a
        network failure or a passing error of the cloud.

        :param params: the action's parameters, spelt as in its documentation.
        :raises UnavailableError: when a change got no answer. It may have been made: look before making it again.
        :raises TkeError: of the class that says who must act, see :mod:`tke_provider.exceptions`.
        """
        asked, used = Asked(service, action, _subject(params), self.region), list[Key]()
        try:
            return await self._patiently(asked, version, params, used)
        except CredentialError:
            if self._credentials is None or not used or not self._credentials.forget(used[-1]):
                raise
            log.info("The temporary key was refused; asking for another one")
            return await self._patiently(asked, version, params, used)

    async def _patiently(
        self, asked: Asked, version: str, params: Mapping[str, object], used: list[Key]
    ) -> dict[str, Any]:
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: _may_repeat(asked.action, error)),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=5.0),
            stop=tenacity.stop_after_delay(self._patience),
            before_sleep=_say_why,
            reraise=True,
        )
        return await retrying(self._once, asked, version, params, used)

    async def _once(self, asked: Asked, version: str, params: Mapping[str, object], used: list[Key]) -> dict[str, Any]:
        connection = await self._connection(asked.service, version)
        import httpx
        from tencentcloud.common.exception import TencentCloudSDKException

        if self._credentials:
            used.append(await self._credentials.key())
        connection.credential = used[-1] if used else None
        options = {} if self._credentials else {"SkipSign": True}
        try:
            answer = await connection.call_and_deserialize(asked.action, dict(params), dict, {}, options)
        except TencentCloudSDKException as error:
            if error.code == "ServerNetworkError":  # the SDK's code for any HTTP status but 200
                raise _no_answer(asked, f"the HTTP status is not 200: {error.message!r:.200}") from error
            raise error_of(asked, str(error.code), str(error.message), str(error.requestId)) from error
        except (httpx.HTTPError, json.JSONDecodeError, KeyError) as error:
            raise _no_answer(asked, f"{type(error).__name__}: {error}") from error
        return _response(asked, answer)

    async def _connection(self, service: str, version: str) -> Any:
        """Return the SDK's client of one service, which the SDK ties to one version."""
        if (service, version) not in self._connections:
            async with self._connecting:
                if (service, version) not in self._connections:
                    made = await asyncio.to_thread(self._connect, service, version)
                    self._connections[service, version] = made
        return self._connections[service, version]

    def _connect(self, service: str, version: str) -> Any:
        """Make the SDK's client; in a thread, for its import takes most of a second, and no loop must stand still."""
        import httpx
        from tencentcloud.common.common_client_async import CommonClient

        made = CommonClient(service, version, None, self.region, self._profile(service))
        # The SDK's own reads all authorities anew for each client. No keep-alive: a change that meets a connection
        # which the other side has just closed would be left without an answer.
        limits = httpx.Limits(max_keepalive_connections=0)
        made.http_client = httpx.AsyncClient(verify=trusted(), timeout=self._timeout, limits=limits)
        return made

    def _profile(self, service: str) -> Any:
        from tencentcloud.common.profile.client_profile import ClientProfile
        from tencentcloud.common.profile.http_profile import HttpProfile

        # At DEBUG the SDK logs whole answers: kubeconfigs, registry passwords, temporary keys.
        logging.getLogger("tencentcloud_sdk_common").setLevel(logging.INFO)
        scheme, host = self._address(service)
        # No retryer: the SDK's repeats a call that succeeded. No authorities: _connect gives it ours, read once.
        return ClientProfile(
            httpProfile=HttpProfile(protocol=scheme, endpoint=host, certification=False),
            language="en-US",
            request_client=f"airflow-provider-tke_{__version__}",
        )

    def _address(self, service: str) -> tuple[str, str | None]:
        if not self._endpoint:
            return "https", f"{service}.{self.region}.tencentcloudapi.com" if self.region.endswith("-fsi") else None
        return split_endpoint(self._endpoint.replace("{service}", service))


class TencentCloudService:
    """One service of the cloud, in the region of a client that it closes at the end of ``async with``.

    :param client: speaks to the cloud.
    """

    def __init__(self, client: TencentCloudClient) -> None:
        self._client = client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()


def split_endpoint(endpoint: str) -> tuple[str, str]:
    """Return scheme and host[:port] of an endpoint.

    :raises InputError: when it is anything else than those two; a path would not be signed.
    """
    parts = split_url("API endpoint", endpoint)
    if parts.path.strip("/") or parts.query:
        raise InputError(
            f"API endpoint {endpoint!r} cannot be used",
            way_out="write http:// or https:// and a host, as in https://{service}.intl.tencentcloudapi.com",
        )
    return parts.scheme, parts.netloc


def _subject(params: Mapping[str, object]) -> str:
    for name in _SUBJECTS:
        if value := params.get(name):
            return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return ""


def _response(asked: Asked, answer: object) -> dict[str, Any]:
    # The SDK looks for errors only behind the bare content type application/json.
    response = answer.get("Response") if isinstance(answer, dict) else None
    if not isinstance(response, dict):
        raise _no_answer(asked, "the answer has no Response")
    if error := response.get("Error"):
        raise error_of(asked, error.get("Code", ""), error.get("Message", ""), response.get("RequestId", ""))
    return response


def _no_answer(asked: Asked, cause: str) -> UnavailableError:
    way_out = (
        "check that the endpoint can be reached from here; a retry helps"
        if _REPEATABLE.fullmatch(asked.action)
        else "the change may have been made, so look before making it again; a retry does"
    )
    return UnavailableError(f"Tencent Cloud gave no answer to {asked}", cause=cause, way_out=way_out)


def _may_repeat(action: str, error: BaseException) -> bool:
    import httpx

    if isinstance(error, ThrottledError):
        return True
    if type(error) is not UnavailableError:
        return False
    never_sent = isinstance(error.__cause__, (httpx.ConnectError, httpx.ConnectTimeout))
    return never_sent or _REPEATABLE.fullmatch(action) is not None


def _say_why(state: tenacity.RetryCallState) -> None:
    if state.outcome and state.next_action:
        log.info("Again in %.1f s: %s", state.next_action.sleep, state.outcome.exception())
