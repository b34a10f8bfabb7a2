"""The helm that the emulator answers TKE's release API with: compiled here, called when a release is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from local.golang import Source, compiled
from local.part import Part

VERSION = "v3.19.5"

SOURCE = Source(
    name="helm",
    version=VERSION,
    module=Path(__file__).parent,
    packages=("helm.sh/helm/v3/cmd/helm",),
    # Without it the program says v3.19: its own default, whatever was compiled.
    ldflags=f"-X helm.sh/helm/v3/internal/version.version={VERSION}",
    links={},
    minutes=2,
)


def program() -> Path:
    """Where it is once it is compiled."""
    return SOURCE.programs / "helm"


class Helm(Part):
    """A program that runs only when it is called: it is up once it is there."""

    name: ClassVar[str] = "helm"

    def answers(self) -> bool:
        return program().exists()

    def start(self) -> None:
        compiled(SOURCE)

    def stop(self) -> None:
        """A program runs nothing: it stays in the cache."""
