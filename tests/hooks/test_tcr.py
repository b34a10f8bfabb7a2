from __future__ import annotations

import pytest
from airflow.sdk.log import redact

from tke_provider.exceptions import InputError
from tke_provider.hooks.tcr import TcrHook


async def test_a_login_to_the_default_registry_is_masked(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    login = await TcrHook().login()
    assert login.host
    assert redact(f"it is {login.password}") == "it is ***"


async def test_a_named_registry_comes_before_the_default(cloud, monkeypatch):
    cloud.connect(monkeypatch, registry_id="tcr-nowhere")
    assert (await TcrHook().login("tcr-local000")).username


async def test_no_registry_is_said_before_any_call(cloud, monkeypatch):
    cloud.connect(monkeypatch, registry_id="")
    with pytest.raises(InputError, match="Neither the task nor connection tke_default names a registry"):
        await TcrHook().login()
    assert cloud.calls("CreateInstanceToken") == []
