"""The example DAGs parse, cheaply, and hold what the documentation quotes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

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
    "docs": {{dag_id: dag.doc_md for dag_id, dag in bag.dags.items()}},
    "forms": {{
        dag_id: {{name: dag.params.get_param(name).dump() for name in dag.params}} for dag_id, dag in bag.dags.items()
    }},
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


def test_every_dag_says_what_it_does(parsed):
    assert [dag_id for dag_id, text in parsed["docs"].items() if not text] == []


def test_every_field_of_a_form_explains_itself(parsed):
    """A title, a description, a type; and a text that must not be empty is refused by the form when it is."""
    assert _fields(parsed, lambda field: not field["schema"].get("title")) == []
    assert _fields(parsed, lambda field: not field["description"]) == []
    assert _fields(parsed, lambda field: not field["schema"].get("type")) == []
    assert _fields(parsed, _takes_an_empty_text) == []


def _fields(parsed: dict, wrong: Callable[[dict], bool]) -> list[str]:
    """Return the fields that are wrong, as ``dag.field``."""
    return [
        f"{dag_id}.{name}" for dag_id, form in parsed["forms"].items() for name, field in form.items() if wrong(field)
    ]


def _takes_an_empty_text(field: dict) -> bool:
    schema = field["schema"]
    checked = schema.keys() & {"pattern", "minLength", "enum", "format"}
    return schema["type"] == "string" and field["value"] != "" and not checked
