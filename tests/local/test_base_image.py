from __future__ import annotations

import pytest

from local.base_image import mirror

DEB822 = """\
Types: deb
# http://snapshot.example.com/archive
URIs: http://security.example.com/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://mirror.example.com/debian
Suites: bookworm bookworm-updates
Components: main
"""

CLASSIC = """\
# deb http://cdrom.example.com bookworm main
deb http://security.example.com/debian bookworm-security main
deb http://mirror.example.com/debian bookworm main contrib
"""


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("sources.list.d/debian.sources", DEB822),
        ("sources.list", "deb [trusted=yes] http://mirror.example.com/debian bookworm main\n"),
        (
            "sources.list",
            CLASSIC,
        ),
    ],
)
def test_the_mirror_is_the_one_that_apt_uses(tmp_path, file, text):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert mirror(tmp_path) == ["http://mirror.example.com/debian"]


def test_without_one_for_the_suite_it_is_left_to_debootstrap(tmp_path):
    (tmp_path / "sources.list").write_text("deb http://archive.ubuntu.com/ubuntu noble main\n")
    assert mirror(tmp_path) == []
