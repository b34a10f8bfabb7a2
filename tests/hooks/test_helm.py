from __future__ import annotations

import asyncio

import pytest

from tke_provider.exceptions import CredentialError, NotFoundError
from tke_provider.hooks.helm import HelmHook


def login(conn_id: str) -> tuple[str, str]:
    return asyncio.run(HelmHook().chart_login(conn_id))


def test_a_login_comes_from_its_connection(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_CHARTS", "http://user:chart-password@charts.example")
    assert login("charts") == ("user", "chart-password")


def test_a_connection_that_is_missing_or_half_filled_is_named(monkeypatch):
    with pytest.raises(NotFoundError, match="no connection charts"):
        login("charts")
    monkeypatch.setenv("AIRFLOW_CONN_CHARTS", "http://user@charts.example")
    with pytest.raises(CredentialError, match="charts lacks login or password"):
        login("charts")
