from __future__ import annotations

import json
import stat

import pytest

from local import airflow, emulator, endpoints, part
from local.airflow import Airflow
from local.part import Settings


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """A stack that is just about to start Airflow for the first time."""
    monkeypatch.setattr(part, "STATE", tmp_path)
    for name in ("AIRFLOW_LOGINS_FILE", "REGISTRY_PASSWORD_FILE", "SECRET_KEY_FILE", "PUSH_SECRET_FILE"):
        monkeypatch.setattr(endpoints, name, tmp_path / name)
    endpoints.REGISTRY_PASSWORD_FILE.write_text("pushes")
    (tmp_path / "airflow").mkdir()


def test_every_start_has_the_same_keys():
    assert Airflow(Settings()).variables() == Airflow(Settings()).variables()


def test_everything_listens_on_loopback_alone():
    variables = Airflow(Settings()).variables()
    assert variables["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert "--skip-serve-logs" in airflow._PROGRAMS["scheduler"]
    assert "--skip-serve-logs" in airflow._PROGRAMS["triggerer"]


def test_another_airflow_of_the_shell_has_no_say(monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_SOMEWHERE", "http://example.com")
    environment = Airflow(Settings()).environment()
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW_CONN_SOMEWHERE" not in environment


def test_the_connection_leads_to_the_emulator_with_its_key():
    connection = json.loads(Airflow(Settings()).variables()["AIRFLOW_CONN_TKE_DEFAULT"])
    assert connection["password"] == emulator.secret_key()
    assert connection["extra"]["api_endpoint"] == endpoints.EMULATOR_URL


def test_the_logins_can_be_read_by_nobody_else():
    Airflow(Settings()).variables()
    assert stat.S_IMODE(endpoints.AIRFLOW_LOGINS_FILE.stat().st_mode) == 0o600
    assert endpoints.AIRFLOW_USER in json.loads(endpoints.AIRFLOW_LOGINS_FILE.read_text())


def test_without_a_start_it_does_not_answer():
    assert not Airflow(Settings()).answers()
