from __future__ import annotations

import subprocess

import pytest

from local.helm.program import SOURCE, VERSION, Helm, program
from local.part import Settings
from local.stack import PARTS


def test_the_version_is_the_one_that_is_pinned():
    assert f"helm.sh/helm/v3 {VERSION}" in (SOURCE.module / "go.mod").read_text()


def test_the_stack_has_it_before_the_emulator_is_asked_for_releases():
    names = [part.name for part in PARTS]
    assert names.index("helm") < names.index("emulator")


@pytest.mark.stack
def test_what_is_compiled_says_its_version():
    assert Helm(Settings()).answers()
    said = subprocess.run([program(), "version", "--short"], check=True, capture_output=True, text=True)
    assert said.stdout.startswith(VERSION)
