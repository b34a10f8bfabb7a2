"""What the documentation shows is what the example DAGs do."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
QUOTE = re.compile(r"<!-- (dags/\w+\.py): ([\w, ]+) -->\n```python\n(.*?)```", re.DOTALL)


def marked(path: str, part: str) -> str:
    """The part of an example between its marks, without its indentation."""
    found = re.search(rf" *# \[START {part}\]\n(.*?) *# \[END {part}\]", (ROOT / path).read_text(), re.DOTALL)
    assert found, f"{path} has no part {part}"
    return textwrap.dedent(found[1])


QUOTES = [(page.name, *quote) for page in PAGES for quote in QUOTE.findall(page.read_text())]


@pytest.mark.parametrize(("page", "path", "parts", "text"), QUOTES, ids=[f"{q[0]} {q[2]}" for q in QUOTES])
def test_a_quoted_example_is_the_one_that_runs(page, path, parts, text):
    assert text == "\n".join(marked(path, part) for part in parts.split(", "))


WHOLE = [
    (page.name, text)
    for page in [*PAGES, ROOT / "README.md"]
    for text in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    if "import" in text and re.search(r"^dag = ", text, re.MULTILINE)
]


@pytest.mark.parametrize(("page", "text"), WHOLE, ids=[page for page, _ in WHOLE])
def test_a_dag_that_is_copied_as_it_stands_is_found_by_airflow(page, text):
    # [dag_processor] safe_mode: https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/dags.html
    assert "airflow" in text.lower(), f"{page}: without that word in it, Airflow passes the file by"


def test_every_marked_part_is_quoted():
    quoted = {(path, part) for _, path, parts, _ in QUOTES for part in parts.split(", ")}
    paths = (ROOT / "dags").glob("*.py")
    existing = {(f"dags/{p.name}", part) for p in paths for part in re.findall(r"\[START (\w+)\]", p.read_text())}
    assert quoted == existing


def test_each_complaint_is_answered_by_tests_that_exist():
    rows = (ROOT / "docs" / "complaints.md").read_text().partition("|---|---|---|\n")[2].splitlines()
    answers = [re.findall(r"`([\w/]+\.py)::(\w+)`", row) for row in rows]
    assert answers
    assert all(answers)
    files = {file: (ROOT / "tests" / file).read_text() for answer in answers for file, _ in answer}
    assert [(file, name) for each in answers for file, name in each if f"def {name}(" not in files[file]] == []


def test_the_readme_leads_to_every_page():
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in PAGES if f"](docs/{page.name})" not in readme] == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_every_local_link_leads_somewhere(page):
    linked = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in linked if "://" not in link and not (page.parent / link).exists()] == []
