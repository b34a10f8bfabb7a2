from __future__ import annotations

from local import progress
from local.process import wait_until


def test_what_is_quick_is_silent(capsys):
    with progress.progress("blinking"):
        pass
    assert capsys.readouterr().err == ""


def test_what_takes_long_is_told_again_and_again(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    monkeypatch.setattr(progress, "INTERVAL", 0.01)
    said: list[str] = []

    def told_twice() -> bool:
        said.extend(capsys.readouterr().err.splitlines())
        return len(said) > 1

    with progress.progress("compiling"):
        wait_until(told_twice, "it is told twice", timeout=60)
    assert all("… compiling (0 s)" in line or "waiting" in line for line in said)
