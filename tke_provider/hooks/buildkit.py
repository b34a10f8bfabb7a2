"""From an Airflow connection to BuildKit's daemon, and to the secrets of a build."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import BaseHook

from tke_provider.domain.buildkit_daemons import SharedDaemon
from tke_provider.exceptions import CredentialError, InputError
from tke_provider.hooks.connections import find_connection, mask

_PORT = 1234
_EXTRAS = ("ca_certificate", "client_certificate", "private_key")


class BuildKitHook(BaseHook):
    """Knows a daemon that is reached by TCP and mutual TLS.

    :param buildkit_conn_id: connection of any type. Its host and port are the daemon's as pods of the cluster reach it;
        the extras ``ca_certificate``, ``client_certificate`` and ``private_key`` are PEM.
    """

    default_conn_name = "buildkit_default"

    def __init__(self, buildkit_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.buildkit_conn_id = buildkit_conn_id

    async def daemon(self) -> SharedDaemon:
        """Return the daemon, our key masked in logs.

        :raises NotFoundError: when there is no such connection.
        :raises InputError: when it names no host.
        :raises CredentialError: when certificates are missing: who may build is root on the daemon's machine.
        """
        connection = await find_connection(self.buildkit_conn_id)
        if not connection.host:
            raise InputError(
                f"Connection {self.buildkit_conn_id} names no host",
                way_out="fill in where pods reach buildkitd, as in buildkitd.build.svc",
            )
        texts = {name: str(connection.extra_dejson.get(name) or "") for name in _EXTRAS}
        if missing := [name for name, text in texts.items() if not text]:
            raise CredentialError(
                f"Connection {self.buildkit_conn_id} lacks {', '.join(missing)}",
                way_out="fill in the extras with the PEM of both certificates and the key",
            )
        await mask(texts["private_key"])
        return SharedDaemon(f"tcp://{connection.host}:{connection.port or _PORT}", *texts.values())

    async def secret(self, conn_id: str) -> str:
        """Return a connection's password, masked in logs.

        :raises NotFoundError: when there is no such connection.
        :raises CredentialError: when it has no password.
        """
        password = (await find_connection(conn_id)).password
        if not password:
            raise CredentialError(
                f"Connection {conn_id} has no password", way_out="write the build's secret into its password"
            )
        await mask(password)
        return password
