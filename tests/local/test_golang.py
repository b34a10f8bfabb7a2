"""Compiling once a machine. A script stands in for the compiler: a real one would take minutes and a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local import StackError, golang
from local.golang import Source, compiled

if TYPE_CHECKING:
    from pathlib import Path

COMPILER = """\
#!/bin/sh
if [ "$1" = env ]; then echo go1.26.0; exit; fi
while [ "$1" != -o ]; do shift; done
echo once >> {log}
echo program > "$2/{program}"
exit {code}
"""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A module, a cache and a PATH of the test's own."""
    for folder in ("module", "bin", "cache"):
        (tmp_path / folder).mkdir()
    (tmp_path / "module" / "go.mod").write_text("module example\n")
    (tmp_path / "module" / "go.sum").touch()
    monkeypatch.setattr(golang, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path


def compiler(bench: Path, code: int = 0) -> None:
    script = bench / "bin" / "go"
    script.write_text(COMPILER.format(log=bench / "log", program="all", code=code))
    script.chmod(0o755)


def source(bench: Path, ldflags: str = "") -> Source:
    return Source("example", "v1", bench / "module", ("./cmd/all",), ldflags, {"part": "all"}, minutes=1)


def test_programs_are_compiled_once_and_answer_to_all_their_names(bench: Path) -> None:
    compiler(bench)
    programs = compiled(source(bench))
    assert compiled(source(bench)) == programs
    assert (programs / "part").read_text() == "program\n"
    assert (bench / "log").read_text().splitlines() == ["once"]


def test_a_compilation_that_breaks_off_counts_for_nothing(bench: Path) -> None:
    compiler(bench, code=1)
    with pytest.raises(StackError, match="compiling example v1 failed with exit code 1"):
        compiled(source(bench))
    compiler(bench)
    assert (compiled(source(bench)) / "all").exists()
    assert (bench / "log").read_text().splitlines() == ["once", "once"]


def test_whatever_changes_the_programs_changes_where_they_are_kept(bench: Path) -> None:
    folders = {source(bench).programs, source(bench, ldflags="-X main.version=2").programs}
    (bench / "module" / "main.go").write_text("package main\n")
    folders.add(source(bench).programs)
    (bench / "module" / "go.sum").write_text("example v1 h1:=\n")
    folders.add(source(bench).programs)
    assert len(folders) == 4


@pytest.mark.parametrize(("version", "enough"), [("go1.19.8", False), ("go1.24.0", True), ("go1.26rc1", True)])
def test_a_go_that_cannot_read_our_modules_is_passed_over(bench: Path, version: str, enough: bool) -> None:
    go = bench / "bin" / "go"
    go.write_text(f"#!/bin/sh\necho {version}\n")
    go.chmod(0o755)
    assert golang._new_enough(go) is enough


def test_a_folder_that_stands_in_for_a_dependency_is_filled_with_the_packages_that_it_lacks(
    bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = bench / "module" / "near", bench / "theirs"
    for file in (
        ours / "b" / "ours.go",
        theirs / "a" / "a.go",
        theirs / "b" / "theirs.go",
        theirs / "b" / "c" / "c.go",
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.setattr(golang, "_downloaded", lambda *_: theirs)
    wanted = Source("example", "v1", bench / "module", (), "", {}, minutes=1, filled={"near": "far@v1"})
    missing = {str(ours / name): str(theirs / name) for name in ("a/a.go", "b/c/c.go")}
    assert dict(golang._filling(wanted, bench)) == missing
