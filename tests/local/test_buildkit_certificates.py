"""Whoever needs BuildKit's certificates first makes them: its daemon, or Airflow's connection to it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from local import endpoints
from local.airflow import _buildkit
from local.buildkit import certificates


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(certificates, "BUILDKIT_FOLDER", tmp_path / "buildkit")
    monkeypatch.setattr(endpoints, "BUILDKIT_FOLDER", tmp_path / "buildkit")
    return tmp_path / "buildkit"


def test_the_connection_holds_certificates_before_the_daemon_was_ever_up(folder):
    assert "PRIVATE KEY" in _buildkit()["extra"]["private_key"]
    assert (folder / "server-key.pem").stat().st_mode & 0o077 == 0


def test_two_that_start_at_the_same_time_get_the_same(folder):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: _buildkit(), range(2))
    assert first == second == _buildkit()
