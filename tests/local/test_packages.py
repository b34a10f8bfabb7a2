from __future__ import annotations

import os

import pytest

from local import StackError
from local.packages import installed, need


def test_what_is_missing_is_named_in_one_line_to_those_who_may_not_install(monkeypatch):
    # Nobody else than root can be had in every place the tests run.
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StackError, match=r"run: sudo apt-get install no-such-package-1 no-such-package-2$"):
        need("dpkg", "no-such-package-1", "no-such-package-2")


def test_what_is_there_is_not_installed_again():
    assert installed("dpkg")
    need("dpkg")
