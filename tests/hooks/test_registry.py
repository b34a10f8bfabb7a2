from __future__ import annotations

import json

import pytest
from airflow.sdk.log import redact

from tke_provider.exceptions import CredentialError, InputError, NotFoundError
from tke_provider.hooks.registry import RegistryHook


def connect(monkeypatch, **fields: object) -> None:
    login = {"conn_type": "docker", "host": "registry.example", "login": "user", "password": "hunter22"}
    monkeypatch.setenv("AIRFLOW_CONN_REGISTRY", json.dumps({**login, **fields}))


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        ({}, "registry.example"),
        ({"host": "https://registry.example/v2/"}, "registry.example"),
        ({"port": 5000}, "registry.example:5000"),
        ({"host": "127.0.0.1:5000"}, "127.0.0.1:5000"),
    ],
)
async def test_a_docker_connection_is_a_login_for_its_host_however_that_is_written(monkeypatch, fields, host):
    connect(monkeypatch, **fields)
    hook = RegistryHook(docker_conn_id="registry")
    login = await hook.login(host)
    assert login
    assert (login.host, login.username, login.password) == (host, "user", "hunter22")
    assert await hook.repository("team/web") == f"{host}/team/web"
    assert redact("it is hunter22") == "it is ***"


async def test_a_login_is_not_shown_to_another_registry(monkeypatch):
    connect(monkeypatch)
    with pytest.raises(
        InputError, match=r"registry is a login for registry\.example, and the image is at evil\.example"
    ):
        await RegistryHook(docker_conn_id="registry").login("evil.example")


@pytest.mark.parametrize("missing", ["host", "login", "password"])
async def test_a_docker_connection_without_a_whole_login_says_so(monkeypatch, missing):
    connect(monkeypatch, **{missing: None})
    with pytest.raises(CredentialError, match="Connection registry lacks"):
        await RegistryHook(docker_conn_id="registry").login("registry.example")


async def test_a_docker_connection_that_does_not_exist_is_named():
    with pytest.raises(NotFoundError, match="There is no connection nothing"):
        await RegistryHook(docker_conn_id="nothing").login("registry.example")


async def test_without_any_connection_nobody_logs_in_to_a_repository_named_with_its_host():
    hook = RegistryHook()
    assert await hook.repository("registry.example/web") == "registry.example/web"
    assert await hook.login("registry.example") is None


async def test_the_registry_of_the_tke_connection_is_the_default(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    hook = RegistryHook()
    host, _, path = (await hook.repository("test/web")).partition("/")
    assert path == "test/web"
    login = await hook.login(host)
    assert login
    assert login.host == host
    assert await hook.login("elsewhere.example") is None


async def test_a_named_registry_is_logged_in_to_and_no_other(cloud, monkeypatch):
    cloud.connect(monkeypatch, registry_id="")
    hook = RegistryHook(registry_id="tcr-local000")
    assert (await hook.repository("test/web")).endswith("/test/web")
    with pytest.raises(InputError, match="tcr-local000 is a login for"):
        await hook.login("elsewhere.example")


async def test_a_repository_without_any_registry_says_what_is_missing(cloud, monkeypatch):
    cloud.connect(monkeypatch, registry_id="")
    with pytest.raises(InputError, match="names a registry"):
        await RegistryHook().repository("test/web")
