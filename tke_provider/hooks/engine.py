"""From a URL, and the docker provider's hook, to a Docker engine."""

from __future__ import annotations

import asyncio
import functools
import os
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowException, BaseHook

from tke_provider.exceptions import InputError, UnavailableError

if TYPE_CHECKING:
    from tke_provider.clients.engine import Engine
    from tke_provider.hooks.registry import RegistryHook

_SECONDS = 300


class EngineHook(BaseHook):
    """Opens a Docker engine that logs in to one registry.

    :param registry: logs in.
    :param host: the registry that the engine pushes to and pulls from.
    :param docker_url: of the engine; default: ``DOCKER_HOST``, else the socket ``/var/run/docker.sock``.
    """

    def __init__(self, registry: RegistryHook, host: str, docker_url: str | None = None) -> None:
        super().__init__()
        self.registry = registry
        self.host = host
        self.docker_url = docker_url

    async def engine(self) -> Engine:
        """Return the engine.

        :raises InputError: when the URL cannot be that of an engine.
        :raises UnavailableError: when it does not answer.
        """
        from airflow.providers.docker.hooks.docker import DockerHook

        from tke_provider.clients.engine import Engine

        url = self.docker_url or os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        _check(url)
        hook = DockerHook(docker_conn_id=None, base_url=url, timeout=_SECONDS)
        try:
            api = await asyncio.to_thread(lambda: hook.api_client)
        except AirflowException as error:
            raise UnavailableError(
                f"No Docker engine answers at {url}",
                way_out="start it, or pass docker_url or DOCKER_HOST; the log has the engine's own words",
            ) from error
        return Engine(api, functools.partial(self.registry.login, self.host))


def _check(url: str) -> None:
    from docker.errors import DockerException
    from docker.utils import parse_host

    try:
        parse_host(url)
    except (DockerException, ValueError) as error:
        # The parser quotes the URL, and what stands before an @ may be a password.
        secret = "@" in url
        raise InputError(
            "docker_url cannot be used" if secret else f"docker_url {url!r} cannot be used",
            cause="" if secret else str(error),
            way_out="write it as unix:///var/run/docker.sock or tcp://host:2375, without a password",
        ) from (None if secret else error)
