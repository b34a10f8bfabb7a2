from __future__ import annotations

import json

import pytest
from airflow.sdk.log import redact

from tke_provider.exceptions import CredentialError, InputError, NotFoundError
from tke_provider.hooks.buildkit import BuildKitHook

EXTRA = {"ca_certificate": "ca", "client_certificate": "certificate", "private_key": "key-of-the-client"}


def connect(monkeypatch, **fields: object) -> None:
    known = {"conn_type": "generic", "host": "buildkitd.build", "extra": EXTRA}
    monkeypatch.setenv("AIRFLOW_CONN_BUILDKIT_DEFAULT", json.dumps({**known, **fields}))


@pytest.mark.parametrize(("fields", "port"), [({}, 1234), ({"port": 9000}, 9000)])
async def test_the_daemon_is_where_the_connection_says_and_its_key_is_masked(monkeypatch, fields, port):
    connect(monkeypatch, **fields)
    daemon = await BuildKitHook().daemon()
    assert (daemon.address, daemon.ca, daemon.certificate) == (f"tcp://buildkitd.build:{port}", "ca", "certificate")
    assert "key-of-the-client" not in repr(daemon) + str(redact("it is key-of-the-client"))


async def test_a_daemon_that_would_let_anybody_in_is_not_spoken_to(monkeypatch):
    connect(monkeypatch, extra={"ca_certificate": "ca"})
    with pytest.raises(CredentialError, match="lacks client_certificate, private_key"):
        await BuildKitHook().daemon()


async def test_a_connection_without_a_host_is_refused(monkeypatch):
    connect(monkeypatch, host="")
    with pytest.raises(InputError, match="names no host"):
        await BuildKitHook().daemon()


async def test_a_connection_that_does_not_exist_is_named():
    with pytest.raises(NotFoundError, match="There is no connection nothing"):
        await BuildKitHook("nothing").daemon()


async def test_a_builds_secret_is_a_connections_password_and_masked(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_NPM", json.dumps({"conn_type": "generic", "password": "token-of-npm"}))
    assert await BuildKitHook().secret("npm") == "token-of-npm"
    assert redact("it is token-of-npm") == "it is ***"


async def test_a_connection_without_a_password_holds_no_secret(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_NPM", json.dumps({"conn_type": "generic", "login": "bot"}))
    with pytest.raises(CredentialError, match="npm has no password"):
        await BuildKitHook().secret("npm")
