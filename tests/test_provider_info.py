"""What Airflow reads is what Airflow understands."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from importlib import metadata, resources

import jsonschema
import pytest

from tke_provider.hooks.tencent_cloud import SOURCES, TkeConnection
from tke_provider.hooks.tke import TkeHook
from tke_provider.provider_info import get_provider_info

INFO = get_provider_info()
CONNECTION, *OTHERS = INFO["connection-types"]
FIELDS = CONNECTION["conn-fields"]


def load(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_it_fits_airflows_schema():
    schema = json.loads((resources.files("airflow") / "provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


def test_it_is_what_the_distribution_announces():
    (entry,) = metadata.entry_points(group="apache_airflow_provider", name="provider_info").select(
        module="tke_provider.provider_info"
    )
    assert entry.load()()["package-name"] == entry.dist.metadata["Name"]


def test_reading_it_loads_nothing():
    script = "import sys, tke_provider.provider_info as p; p.get_provider_info(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"airflow", "httpx", "tencentcloud", "kubernetes", "kubernetes_asyncio", "docker", "tenacity"}


def test_the_connection_belongs_to_its_hook():
    hook = load(CONNECTION["hook-class-name"])
    assert hook is TkeHook
    assert (hook.conn_type, hook.hook_name) == (CONNECTION["connection-type"], CONNECTION["hook-name"])


def test_every_field_of_the_form_is_read_and_every_extra_has_a_field():
    names = {field.name for field in dataclasses.fields(TkeConnection)}
    assert set(FIELDS) == names - {"conn_id", "secret_id", "secret_key"}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_explains_itself_and_accepts_its_default(name):
    field = FIELDS[name]
    assert field["label"]
    assert field["description"].endswith(".")
    jsonschema.Draft202012Validator.check_schema(field["schema"])
    jsonschema.validate(field["schema"].get("default", ""), field["schema"])


def test_the_form_offers_the_credential_sources_there_are():
    assert tuple(FIELDS["credential_source"]["schema"]["enum"]) == SOURCES


def test_airflow_hides_every_secret_field():
    from airflow.sdk._shared.secrets_masker import should_hide_value_for_key

    secret = {field.name for field in dataclasses.fields(TkeConnection) if not field.repr} - {"secret_key"}
    assert {name for name in FIELDS if should_hide_value_for_key(name)} == secret == {"sts_token", "kubeconfig_secret"}


def test_airflow_shows_the_form_without_loading_the_hook():
    from airflow.providers_manager import ProvidersManager

    form = {each.connection_type: each for each in ProvidersManager().iter_connection_type_hook_ui_metadata()}
    assert form["tke"].hook_name == "Tencent Kubernetes Engine"


@pytest.mark.parametrize("path", INFO["extra-links"])
def test_every_link_exists(path):
    assert load(path).name


@pytest.mark.parametrize("connection", OTHERS, ids=lambda connection: connection["connection-type"])
def test_every_other_connection_belongs_to_its_hook(connection):
    hook = load(connection["hook-class-name"])
    assert (hook.conn_type, hook.hook_name) == (connection["connection-type"], connection["hook-name"])


@pytest.mark.parametrize("path", INFO["notifications"])
def test_every_notifier_exists(path):
    from airflow.providers.common.compat.sdk import BaseNotifier

    assert issubclass(load(path), BaseNotifier)


def test_airflow_makes_the_asset_of_a_service():
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    manager = ProvidersManagerTaskRuntime()
    asset = manager.asset_factories["tke"](cluster="cls-1", namespace="production", service="shop")
    assert asset.uri == "tke://cls-1/production/shop"
    assert "tke" in manager.asset_uri_handlers
