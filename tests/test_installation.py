"""The wheel in a clean Airflow, with none of this checkout."""

from __future__ import annotations

import dataclasses
import json
import os
import re
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


LOAD = """
import importlib, json, pkgutil, runpy, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import airflow, tke_provider
errors = {}
def tried(name, load):
    try:
        load(name)
    except Exception as error:
        errors[name] = repr(error)
for module in pkgutil.walk_packages(tke_provider.__path__, "tke_provider."):
    if not module.name.startswith("tke_provider.emulator"):
        tried(module.name, importlib.import_module)
for dag in sorted(Path(sys.argv[1]).glob("*.py")):
    tried(str(dag), runpy.run_path)
print(json.dumps({"airflow": airflow.__version__, "errors": errors}))
"""


@dataclasses.dataclass(frozen=True)
class Clean:
    """A virtual environment with Airflow and the wheel, and an empty Airflow home."""

    python: Path
    environment: dict[str, str]

    def run(self, *words: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
        """Run Python in it, far from the checkout."""
        return subprocess.run(
            [str(self.python), *words], env={**self.environment, **more}, check=check, capture_output=True, text=True,
            cwd="/",
        )  # fmt: skip


@pytest.fixture(scope="module")
def install(tmp_path_factory):
    """Make a clean environment by pip, as a user does: the wheel and these requirements."""
    folder = tmp_path_factory.mktemp("clean")
    uv = str(Path(sys.executable).with_name("uv"))
    run = lambda *words: subprocess.run(words, check=True, capture_output=True, text=True, cwd=folder)  # noqa: E731
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(ROOT))
    (wheel,) = (folder / "dist").glob("*.whl")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "PYTHON"))}

    def make(name: str, *requirements: str) -> Clean:
        home, python = folder / name / "home", folder / name / "venv" / "bin" / "python"
        home.mkdir(parents=True)
        run(sys.executable, "-m", "venv", str(folder / name / "venv"))
        run(uv, "pip", "install", "-q", "--python", str(python), *requirements, str(wheel))
        return Clean(python, {**inherited, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"})

    return make


@pytest.fixture(scope="module")
def clean(install, tmp_path_factory) -> Clean:
    """The Airflow that everything else here is tested with."""
    constraints = tmp_path_factory.mktemp("lock") / "constraints.txt"
    constraints.write_text("".join(f"{line}\n" for line in LOCK.read_text().splitlines() if not line.startswith("-e")))
    return install("locked", "-c", str(constraints), "apache-airflow")


def ask(clean: Clean, **more: str) -> dict[str, object]:
    return json.loads(clean.run("-c", ASK, **more).stdout.splitlines()[-1])


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
    done = clean.run("-m", "tke_provider.emulator", "--port", "1", check=False)
    assert done.returncode != 0
    assert "airflow-provider-tke[emulator]" in done.stderr.splitlines()[-1]


@pytest.mark.soak
def test_every_module_and_dag_loads_in_the_oldest_airflow_that_is_allowed(install):
    (oldest,) = re.findall(r"^    apache-airflow>=([0-9.]+),", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    done = install("oldest", f"apache-airflow=={oldest}.*").run("-c", LOAD, str(ROOT / "dags"))
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["airflow"].startswith(f"{oldest}.")
    # What watchers share is new in Airflow 3.3; without it a watcher says so when it starts.
    assert set(seen["errors"]) == {"tke_provider.triggers.push_streams"}, seen["errors"]
