from __future__ import annotations

import pytest

from tke_provider.domain.runs import Run
from tke_provider.exceptions import InputError


@pytest.mark.parametrize(
    ("memory", "size"),
    [("512m", 2**29), ("2g", 2**31), ("2Gi", 2**31), ("64MB", 2**26), ("1024k", 2**20), ("4096", 4096), (4096, 4096)],
)
def test_memory_is_the_same_amount_wherever_it_runs(memory, size):
    assert Run("a.b.c", memory=memory).memory_bytes == size


@pytest.mark.parametrize("memory", ["", "2 gigs", "m", "0", "-1g", "1.5g"])
def test_what_is_no_amount_of_memory_is_refused(memory):
    with pytest.raises(InputError, match="memory is"):
        Run("a.b.c", memory=memory)


@pytest.mark.parametrize("path", ["junit.xml", "/tmp/", ""])
def test_a_report_has_an_absolute_path(path):
    with pytest.raises(InputError, match="is no file's path"):
        Run("a.b.c", reports=(path,))
