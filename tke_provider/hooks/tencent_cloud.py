"""From an Airflow connection of type ``tke`` to Tencent Cloud."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseHook

from tke_provider.exceptions import CredentialError, InputError
from tke_provider.hooks.connections import find_connection, mask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from tke_provider.clients.tencent_cloud import Credentials, Key, TencentCloudClient

SOURCES = ("static", "role", "cvm", "pod_identity")
"""Where the key comes from; ``docs/connection.md`` explains each."""


@dataclasses.dataclass(frozen=True, slots=True)
class TkeConnection:
    """What a connection of type ``tke`` holds. Its fields, but the first three, are the names of the extras.

    :param conn_id: how it is named in errors.
    """

    conn_id: str
    secret_id: str = ""
    secret_key: str = dataclasses.field(default="", repr=False)
    region: str = ""
    cluster_id: str = ""
    registry_id: str = ""
    credential_source: str = "static"
    role_arn: str = ""
    sts_token: str = dataclasses.field(default="", repr=False)
    use_external_endpoint: bool = False
    api_endpoint: str = ""
    kubeconfig_secret: str = dataclasses.field(default="", repr=False)

    @classmethod
    def read(cls, connection: Connection) -> TkeConnection:
        """Read and check a connection.

        :raises InputError: when it is of another type, or an extra is unknown, or contradicts another one.
        """
        if connection.conn_type != TencentCloudHook.conn_type:
            raise InputError(
                f"Connection {connection.conn_id} is of type {connection.conn_type or 'none'}",
                way_out="name a connection of type tke (Tencent Kubernetes Engine)",
            )
        extras = {name: value for name, value in _extras(connection).items() if value not in (None, "")}
        names = {field.name for field in dataclasses.fields(cls)} - {"conn_id", "secret_id", "secret_key"}
        if unknown := sorted(extras.keys() - names):
            raise InputError(
                f"Connection {connection.conn_id} has unknown extras: {', '.join(unknown)}",
                way_out=f"remove them, or correct them to one of {', '.join(sorted(names))}",
            )
        external = _boolean(connection.conn_id, extras.pop("use_external_endpoint", False))
        texts = {name: str(value).strip() for name, value in extras.items()}
        read = cls(
            conn_id=connection.conn_id,
            secret_id=(connection.login or "").strip(),
            secret_key=(connection.password or "").strip(),
            use_external_endpoint=external,
            **texts,  # only text fields are left
        )
        read.check()
        return read

    def check(self) -> None:
        """Refuse what cannot work before anything is asked of the cloud."""
        if self.credential_source not in SOURCES:
            raise self._wrong(f"credential_source is {self.credential_source!r}", f"choose one of {', '.join(SOURCES)}")
        needs_role = self.credential_source == "role"
        if needs_role and not self.role_arn:
            raise self._wrong("credential_source is role without a role_arn", "fill in the role to assume")
        if self.role_arn and not needs_role:
            raise self._wrong(
                f"role_arn is set while credential_source is {self.credential_source}",
                "choose the credential source role, or empty role_arn",
            )

    def check_key(self) -> None:
        """Refuse to call the cloud without a key. Working in a cluster by ``kubeconfig_secret`` needs none.

        :raises CredentialError: when the credential source needs SecretId and SecretKey, and one is missing.
        """
        if self.credential_source in {"static", "role"} and not (self.secret_id and self.secret_key):
            raise CredentialError(
                f"Connection {self.conn_id} lacks SecretId or SecretKey",
                way_out="fill in both, or choose the credential source cvm or pod_identity",
            )

    def _wrong(self, problem: str, way_out: str) -> InputError:
        return InputError(f"Connection {self.conn_id}: {problem}", way_out=way_out)


class TencentCloudHook(BaseHook):
    """Calls Tencent Cloud with the key of a connection, in workers and triggerers alike.

    :param tke_conn_id: connection of type ``tke``.
    :param region: for example ``ap-guangzhou``; default: the connection's.
    """

    conn_name_attr = "tke_conn_id"
    default_conn_name = "tke_default"
    conn_type = "tke"
    hook_name = "Tencent Kubernetes Engine"

    def __init__(self, tke_conn_id: str = default_conn_name, region: str | None = None) -> None:
        super().__init__()
        self.tke_conn_id = tke_conn_id
        self.region = region

    async def connection(self) -> TkeConnection:
        """Return what the connection holds, its secrets masked in logs from here on.

        :raises NotFoundError: when there is no such connection.
        :raises InputError: when its fields contradict one another.
        """
        way_out = "add one of type Tencent Kubernetes Engine under Admin, Connections"
        read = TkeConnection.read(await find_connection(self.tke_conn_id, way_out))
        await mask(read.secret_key, read.sts_token, read.kubeconfig_secret)
        return read

    async def client(self, connection: TkeConnection | None = None) -> TencentCloudClient:
        """Return a client; use it as ``async with await hook.client() as client:``.

        :param connection: what the connection holds, for who has read it already.
        :raises InputError: when neither hook nor connection names a region.
        :raises CredentialError: when the credential source needs a key and there is none.
        """
        from tke_provider.clients.tencent_cloud import TencentCloudClient

        connection = connection or await self.connection()
        connection.check_key()
        region = self.region or connection.region
        if not region:
            raise InputError(
                f"Connection {self.tke_conn_id} names no region",
                way_out="fill in its region, or pass region to the task",
            )
        return TencentCloudClient(_credentials(connection), region, endpoint=connection.api_endpoint)


@functools.lru_cache(maxsize=64)
def _credentials(connection: TkeConnection) -> Credentials:
    """Return where keys come from, the same for equal connections: all tasks of a process share a temporary key."""
    from tke_provider.clients import credentials

    static = credentials.StaticKey(connection.secret_id, connection.secret_key, connection.sts_token)
    endpoint = connection.api_endpoint
    if connection.credential_source == "role":
        return credentials.AssumedRole(static, connection.role_arn, endpoint=endpoint, announce=_mask_key)
    if connection.credential_source == "cvm":
        return credentials.CvmRole(announce=_mask_key)
    if connection.credential_source == "pod_identity":
        return credentials.PodIdentity(endpoint=endpoint, announce=_mask_key)
    return static


async def _mask_key(key: Key) -> None:
    await mask(key.secret_key, key.token)


def _extras(connection: Connection) -> dict[str, object]:
    """Return the extras. Airflow takes what is no JSON for no extras at all."""
    try:
        extras = json.loads(connection.extra) if connection.extra else {}
    except ValueError as error:
        raise InputError(
            f"The extra of connection {connection.conn_id} is not JSON",
            cause=str(error),
            way_out='write it as {"region": "…"}',
        ) from error
    if not isinstance(extras, dict):
        raise InputError(
            f"The extra of connection {connection.conn_id} is no JSON object", way_out='write it as {"region": "…"}'
        )
    return dict(connection.extra_dejson)  # it masks those whose names sound secret


def _boolean(conn_id: str, value: object) -> bool:
    """Read a boolean that a form writes as one, and a connection URI as text."""
    known = {"true": True, "1": True, "false": False, "0": False}
    try:
        return known[str(value).strip().lower()]
    except KeyError as error:
        raise InputError(
            f"Connection {conn_id}: use_external_endpoint is {value!r}", way_out="write true or false"
        ) from error
