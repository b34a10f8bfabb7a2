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
WRONG = ("", "no such thing!", -1, 10**9, 1.5, [], {"a": 1})
"""What a hasty or hostile hand may send as the value of any field."""
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
from airflow.sdk.exceptions import ParamValidationError

def takes(dag, name, value):
    try:
        dag.params.get_param(name).resolve(value, suppress_exception=False)
    except (ParamValidationError, ValueError):
        return False
    return True

bag = DagBag({str(DAGS)!r})
print(json.dumps({{
    "errors": {{name: text for name, text in bag.import_errors.items()}},
    "dags": {{dag_id: sorted(dag.task_ids) for dag_id, dag in bag.dags.items()}},
    "docs": {{dag_id: dag.doc_md for dag_id, dag in bag.dags.items()}},
    "forms": {{
        dag_id: {{name: dag.params.get_param(name).dump() for name in dag.params}} for dag_id, dag in bag.dags.items()
    }},
    "refused": {{
        dag_id: {{name: [value for value in {WRONG!r} if not takes(dag, name, value)] for name in dag.params}}
        for dag_id, dag in bag.dags.items()
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
    assert _fields(parsed, _has_no_bounds) == []


def test_a_form_refuses_what_is_no_value_of_the_field(parsed):
    for dag_id, form in parsed["forms"].items():
        for name, field in form.items():
            refused = parsed["refused"][dag_id][name]
            assert [each for each in WRONG if _is_wrong(field["schema"], each) and each not in refused] == [], (
                f"{dag_id}.{name}"
            )


def _fields(parsed: dict, wrong: Callable[[dict], bool]) -> list[str]:
    """Return the fields that are wrong, as ``dag.field``."""
    return [
        f"{dag_id}.{name}" for dag_id, form in parsed["forms"].items() for name, field in form.items() if wrong(field)
    ]


def _takes_an_empty_text(field: dict) -> bool:
    schema = field["schema"]
    checked = schema.keys() & {"pattern", "minLength", "enum", "format"}
    return schema["type"] == "string" and field["value"] != "" and not checked


def _types(schema: dict) -> set[str]:
    return {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])


def _has_no_bounds(field: dict) -> bool:
    """Whether a number may be anything; a revision, which need not be given, has no greatest."""
    schema = field["schema"]
    number = _types(schema) & {"integer", "number"}
    return bool(number) and not (
        schema.keys() & {"minimum", "exclusiveMinimum"} and ("maximum" in schema or "null" in _types(schema))
    )


def _is_wrong(schema: dict, value: object) -> bool:
    """Whether no field of this type, be it written ever so carelessly, may take the value."""
    kinds = _types(schema)
    if isinstance(value, str):
        return not kinds & {"string"} or (bool(value) and bool(schema.keys() & {"enum", "pattern"}))
    if isinstance(value, int | float):
        whole = isinstance(value, int)
        takes = "number" in kinds or (whole and "integer" in kinds)
        return not takes or value < 0 or (value > 10**8 and "null" not in kinds)
    return not kinds & ({"array"} if isinstance(value, list) else {"object"})
