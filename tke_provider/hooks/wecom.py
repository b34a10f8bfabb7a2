"""From an Airflow connection to a group robot of WeCom."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import BaseHook

from tke_provider.clients.wecom import ENDPOINT, send
from tke_provider.exceptions import CredentialError
from tke_provider.hooks.connections import find_connection, mask


class WeComHook(BaseHook):
    """Writes to a WeCom group.

    :param wecom_conn_id: its password is the ``key`` that the robot's webhook URL ends with; its host, where it is not
        WeCom's own, is the URL of a gateway in between.
    """

    conn_name_attr = "wecom_conn_id"
    default_conn_name = "wecom_default"
    conn_type = "wecom"
    hook_name = "WeCom group robot"

    def __init__(self, wecom_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.wecom_conn_id = wecom_conn_id

    async def send(self, markdown: str) -> None:
        """Send one message.

        :raises NotFoundError: when there is no such connection.
        :raises CredentialError: when it holds no key, or one of no robot.
        """
        connection = await find_connection(self.wecom_conn_id)
        # People paste the whole URL.
        key = str(connection.password or "").rpartition("key=")[2].strip()
        if not key:
            raise CredentialError(
                f"Connection {self.wecom_conn_id} holds no key", way_out="put the robot's key into its password"
            )
        await mask(key)
        await send(key, markdown, _endpoint(connection.host, connection.schema, connection.port))


def _endpoint(host: str | None, schema: str | None, port: int | None) -> str:
    if not host:
        return ENDPOINT
    base = host if "://" in host else f"{schema or 'https'}://{host}"
    return f"{base}:{port}" if port else base
