"""The wheel in a clean Airflow, with none of this checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.installation, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[1]
# The same Airflow as everywhere else in the tests.
LOCK = ROOT / "requirements-dev.lock"

ASK = """
import json, sys
from airflow.providers_manager import ProvidersManager
from airflow import plugins_manager
manager = ProvidersManager()
form = [widget for name, widget in manager.connection_form_widgets.items() if "tke" in name]
hooks = {name for name in manager.hooks}
import tke_provider
from importlib import resources
print(json.dumps({
    "schemas": sorted(each.name for each in resources.files("tke_provider.domain").iterdir() if ".json" in each.name),
    "where": tke_provider.__file__,
    "providers": [name for name in manager.providers if "tke" in name],
    "connection": "tke" in hooks,
    "plugins": [plugin.name for plugin in plugins_manager._get_plugins()[0] if plugin.name == "tke"],
    "errors": plugins_manager.get_import_errors(),
}))
"""


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A virtual environment with Airflow and the wheel, and an empty Airflow home."""
    folder = tmp_path_factory.mktemp("clean")
    run = lambda *words: subprocess.run(words, check=True, capture_output=True, text=True, cwd=folder)  # noqa: E731
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(ROOT))
    (wheel,) = (folder / "dist").glob("*.whl")
    run(sys.executable, "-m", "venv", str(folder / "venv"))
    python = folder / "venv" / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{line}\n" for line in LOCK.read_text().splitlines() if not line.startswith("-e")))
    run(str(uv), "pip", "install", "-q", "--python", str(python), "-c", str(constraints), "apache-airflow", str(wheel))
    home = folder / "home"
    home.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "PYTHON"))}
    return python, {**environment, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}


def ask(clean: tuple[Path, dict[str, str]], **more: str) -> dict[str, object]:
    python, environment = clean
    done = subprocess.run(
        [str(python), "-c", ASK], env={**environment, **more}, check=True, capture_output=True, text=True, cwd="/"
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_the_wheel_shows_provider_connection_form_and_plugin(clean):
    seen = ask(clean)
    assert not seen["where"].startswith(str(ROOT))
    assert seen["providers"] == ["airflow-provider-tke"]
    assert seen["connection"]
    assert seen["plugins"] == ["tke"]
    assert {"plan.schema.json", "release_spec.schema.json"} <= set(seen["schemas"])
    assert seen["errors"] == {}


def test_a_checkout_as_airflow_home_does_not_load_the_plugin_twice(clean):
    seen = ask(clean, AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"))
    assert seen["plugins"] == ["tke"]
    assert seen["errors"] == {}


def test_the_emulator_says_what_it_lacks(clean):
    python, environment = clean
    done = subprocess.run(
        [str(python), "-m", "tke_provider.emulator", "--port", "1"], env=environment, capture_output=True, text=True,
        check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode != 0
    assert "airflow-provider-tke[emulator]" in done.stderr.splitlines()[-1]
