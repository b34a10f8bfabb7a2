from __future__ import annotations

import pytest

from tke_provider.exceptions import InputError, UnavailableError
from tke_provider.hooks.reports import ReportsHook, folder_of


async def test_reports_are_kept_over_those_of_an_earlier_attempt(tmp_path):
    hook = ReportsHook(f"file://{tmp_path}")
    hook.check()
    for content in (b"old and longer", b"new"):
        where = await hook.keep("dag/run/task/1", {"junit.xml": content})
    assert where.endswith(f"{tmp_path}/dag/run/task/1")
    assert (tmp_path / "dag/run/task/1/junit.xml").read_bytes() == b"new"


async def test_a_storage_that_refuses_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=f"The reports cannot be kept at file://{tmp_path}/file"):
        await ReportsHook(f"file://{tmp_path}/file").keep("run", {"junit.xml": b""})


def test_a_scheme_that_nothing_is_installed_for_is_refused_before_anything_runs():
    with pytest.raises(InputError, match="reports_path 'nosuch://bucket' cannot be used"):
        ReportsHook("nosuch://bucket").check()


def test_a_runs_name_becomes_a_folder_that_storages_and_browsers_take():
    assert folder_of("dag", "manual__2026-03-02T10:00:00+08:00", 2) == "dag/manual__2026-03-02T10_00_00_08_00/2"
    assert folder_of("..", "../a b/c") == "_/_a_b_c"
