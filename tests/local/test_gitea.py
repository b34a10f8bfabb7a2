"""The Git host's user gets a password that nobody else reads."""

from __future__ import annotations

import pytest

from local import StackError
from local import endpoints as at
from local.gitea import server
from local.gitea.server import Gitea
from local.part import Settings

SAID = "New user created.\ngenerated random password is 'made-up-by-Gitea'\n"


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What Gitea's program is asked for, which is compiled in minutes and answers here as it does."""
    words: list[str] = []
    monkeypatch.setattr(at, "GITEA_PASSWORD_FILE", tmp_path / "password")
    monkeypatch.setattr(Gitea, "folder", tmp_path)
    monkeypatch.setattr(server, "run", lambda argv, *_, **__: words.extend(map(str, argv)) or SAID)
    return words


def test_the_password_stands_in_no_list_of_processes_and_is_for_its_owner_alone(asked, tmp_path):
    (tmp_path / "gitea.db").touch()  # of a start that was broken off before the password was kept
    Gitea(Settings())._make_user(tmp_path / "gitea", tmp_path / "app.ini")
    kept = tmp_path / "password"
    assert kept.read_text() == "made-up-by-Gitea"
    assert kept.stat().st_mode & 0o077 == 0
    assert "--password" not in asked
    assert "made-up-by-Gitea" not in " ".join(asked)
    assert not (tmp_path / "gitea.db").exists()


def test_a_gitea_that_says_no_password_is_told():
    with pytest.raises(StackError, match="did not say the password"):
        server._password("New user created.")
