"""The daemon ``buildkitd`` and its client ``buildctl``, compiled here."""

from __future__ import annotations

from pathlib import Path

from local.golang import Source

VERSION = "v0.34.2"
SOURCE = Source(
    name="buildkit",
    version=VERSION,
    module=Path(__file__).parent,
    packages=("github.com/moby/buildkit/cmd/buildkitd", "github.com/moby/buildkit/cmd/buildctl"),
    ldflags=f"-X github.com/moby/buildkit/version.Version={VERSION}",
    links={},
    minutes=4,
)
