"""From an Airflow connection to a login at a git host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseHook

from tke_provider.exceptions import InputError
from tke_provider.hooks.connections import find_connection, mask

if TYPE_CHECKING:
    from tke_provider.clients.git import GitLogin


class GitHook(BaseHook):
    """Logs in to a git host, by a connection of any type: ``git``, ``http`` or ``generic``.

    :param git_conn_id: its host is the one that may see the login (a repository's URL there will do), login and
        password are those for HTTP, extras ``key_file`` and ``known_hosts_file`` are paths on the worker, for SSH.
    """

    def __init__(self, git_conn_id: str) -> None:
        super().__init__()
        self.git_conn_id = git_conn_id

    async def login(self) -> GitLogin:
        """Return the login, its password masked in logs.

        :raises NotFoundError: when there is no such connection.
        :raises InputError: when it names no host: a login without one would go to whoever asks for it.
        """
        from tke_provider.clients.git import GitLogin, host_of

        connection = await find_connection(self.git_conn_id)
        await mask(connection.password or "")
        host = str(connection.host or "")
        host = host_of(host) or host.partition("/")[0]
        if not host:
            raise InputError(
                f"Connection {self.git_conn_id} names no host", way_out="fill in the git host that may see its login"
            )
        extras = connection.extra_dejson
        return GitLogin(
            host=f"{host}:{connection.port}" if connection.port and ":" not in host else host,
            username=connection.login or "git",
            password=connection.password or "",
            key_file=str(extras.get("key_file") or ""),
            known_hosts_file=str(extras.get("known_hosts_file") or ""),
        )
