"""The plan in docs/house.md is the house as built."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = (ROOT / "docs" / "house.md").read_text()
PACKAGE = ROOT / "tke_provider"
ROOMS = {folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists()}


def test_the_table_lists_every_room():
    listed = set(re.findall(r"^\| `([a-z_]+)(?:\.py)?` \|", HOUSE, flags=re.MULTILINE))
    assert listed == ROOMS | {"provider_info", "exceptions"}


@pytest.mark.parametrize("room", sorted(ROOMS - {"plugin"}))
def test_every_room_has_a_door_policy(room):
    assert "Belongs here:" in (PACKAGE / room / "__init__.py").read_text() or room == "emulator"


def test_every_page_that_the_readme_names_exists():
    linked = re.findall(r"\]\(([^)h#][^)]*)\)", (ROOT / "README.md").read_text())
    assert linked
    assert [page for page in linked if not (ROOT / page).exists()] == []


def test_tests_stand_in_the_room_that_they_test():
    folders = {folder.name for folder in (ROOT / "tests").iterdir() if list(folder.glob("test_*.py"))}
    assert folders - ROOMS == {"e2e", "local"}
