from __future__ import annotations

import json

import pytest
from airflow.sdk.log import redact

from tke_provider.exceptions import InputError, NotFoundError
from tke_provider.hooks.git import GitHook


def connect(monkeypatch, **fields: object) -> None:
    login = {"conn_type": "generic", "host": "git.example", "login": "bot", "password": "token-of-bot"}
    monkeypatch.setenv("AIRFLOW_CONN_GIT", json.dumps({**login, **fields}))


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        ({}, "git.example"),
        ({"port": 3000}, "git.example:3000"),
        ({"host": "https://git.example/team/web.git"}, "git.example"),
        ({"host": "git@git.example:team/web.git"}, "git.example"),
    ],
)
async def test_a_login_is_for_the_connections_host_however_that_is_written(monkeypatch, fields, host):
    connect(monkeypatch, **fields)
    login = await GitHook("git").login()
    assert (login.host, login.username, login.password) == (host, "bot", "token-of-bot")
    assert redact("it is token-of-bot") == "it is ***"
    assert "token-of-bot" not in repr(login)


async def test_key_files_come_from_the_extras(monkeypatch):
    connect(monkeypatch, extra={"key_file": "/keys/id", "known_hosts_file": "/keys/hosts"})
    login = await GitHook("git").login()
    assert (login.key_file, login.known_hosts_file) == ("/keys/id", "/keys/hosts")


async def test_a_connection_without_a_host_would_show_its_login_to_anybody(monkeypatch):
    connect(monkeypatch, host=None)
    with pytest.raises(InputError, match="names no host"):
        await GitHook("git").login()


async def test_a_connection_that_does_not_exist_is_named():
    with pytest.raises(NotFoundError, match="There is no connection nothing"):
        await GitHook("nothing").login()
