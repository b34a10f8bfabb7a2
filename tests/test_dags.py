"""The example DAGs parse, cheaply, and hold what the documentation quotes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

DAGS = Path(__file__).parents[1] / "dags"
HEAVY = (
    "docker",
    "git",
    "httpx",
    "junitparser",
    "kubernetes",
    "kubernetes_asyncio",
    "tencentcloud",
    "tke_provider.emulator",
)


@pytest.fixture(scope="module")
def parsed() -> dict[str, object]:
    """Parse the DAG folder in a process of its own, as the DAG processor does."""
    program = f"""
import json, sys, warnings
warnings.simplefilter("ignore")
from airflow.dag_processing.dagbag import DagBag
before = set(sys.modules)
bag = DagBag({str(DAGS)!r})
print(json.dumps({{
    "errors": {{name: text for name, text in bag.import_errors.items()}},
    "dags": {{dag_id: sorted(dag.task_ids) for dag_id, dag in bag.dags.items()}},
    "heavy": sorted((set(sys.modules) - before) & set({HEAVY!r})),
}}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_example_parses(parsed):
    assert parsed["errors"] == {}
    assert set(parsed["dags"]) == {path.stem for path in DAGS.glob("*.py")}


def test_parsing_loads_nothing_heavy(parsed):
    assert parsed["heavy"] == []


@pytest.mark.parametrize("path", list(DAGS.glob("*.py")), ids=lambda path: path.stem)
def test_marked_parts_are_closed(path):
    text = path.read_text()
    starts, ends = ([line.split()[2] for line in text.splitlines() if f"[{word} " in line] for word in ("START", "END"))
    assert starts
    assert starts == ends
