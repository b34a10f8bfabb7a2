"""The image that the sample's Dockerfiles start from, made here: Docker Hub may be out of reach."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar

from local import CACHE, StackError
from local.endpoints import BASE_IMAGE, REGISTRY_HOST, REGISTRY_PASSWORD_FILE, REGISTRY_USER
from local.engine import docker
from local.lock import locked
from local.packages import need
from local.part import Part
from local.process import run
from local.registry import status_of, write_secret

SUITE = "bookworm"
INCLUDED = ("python3-minimal", "python3-pytest", "ca-certificates")
#: What makes the cached file another one: raise the last number when it is made in another way.
FILE = f"base-image-{SUITE}-{os.uname().machine}-1.tar"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class BaseImage(Part):
    """Debian, Python and pytest, by debootstrap once a machine; in the registry and in the engine."""

    name: ClassVar[str] = "base-image"
    needs: ClassVar[tuple[str, ...]] = ("engine", "registry")

    def answers(self) -> bool:
        if status_of("base/python/manifests/bookworm", MANIFEST) != HTTPStatus.OK:
            return False
        try:
            docker("image", "inspect", BASE_IMAGE, what="looking for the base image")
        except StackError:
            return False
        return True

    def start(self) -> None:
        docker(
            "import",
            "--change",
            'CMD ["python3"]',
            root_file_system(self.log),
            BASE_IMAGE,
            what="importing the base image",
        )
        push(BASE_IMAGE)

    def stop(self) -> None:
        """An image runs nothing: it stays in the registry's data."""


def push(image: str) -> None:
    """Push an image from the engine to the registry, by a login that is in no file of the user's."""
    with tempfile.TemporaryDirectory() as config:
        login = base64.b64encode(f"{REGISTRY_USER}:{REGISTRY_PASSWORD_FILE.read_text()}".encode()).decode()
        write_secret(Path(config) / "config.json", json.dumps({"auths": {REGISTRY_HOST: {"auth": login}}}))
        docker("--config", config, "push", "--quiet", image, what=f"pushing {image}")


def root_file_system(log: Path) -> Path:
    """The image's files as a tar in the cache; made when this machine has none yet."""
    CACHE.mkdir(parents=True, exist_ok=True)
    file = CACHE / FILE
    with locked(file.with_suffix(".lock"), "make the base image"):
        if not file.exists():
            _make(file, log)
    return file


def _make(file: Path, log: Path) -> None:
    need("debootstrap")
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        root = Path(folder) / "root"
        packages = ",".join(INCLUDED)
        script = ["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, str(root), *mirror()]
        said = run(script, "making the base image with debootstrap: once on this machine, about a minute")
        log.write_text(said)
        # Lists and archives of packages: half of its size, and no use in an image.
        for leftover in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(root / leftover)
            (root / leftover / "partial").mkdir(parents=True)
        partial = Path(folder) / FILE
        run(
            ["tar", "--create", "--numeric-owner", "--file", partial, "--directory", root, "."],
            "packing the base image",
        )
        partial.replace(file)


def mirror(etc: Path = Path("/etc/apt")) -> list[str]:
    """The Debian mirror that apt is configured with; none leaves it to debootstrap's own default, as on Ubuntu."""
    for sources in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if sources.suffix not in {".list", ".sources"} or not sources.is_file():
            continue
        pattern = (
            rf"^deb\s+(?:\[.*?\]\s+)?(http\S+)\s+{SUITE}\s" if sources.suffix == ".list" else r"^URIs:\s*(http\S+)"
        )
        for paragraph in re.split(r"\n\s*\n", sources.read_text()):
            found = re.search(pattern, paragraph, re.MULTILINE)
            if found and re.search(rf"\b{SUITE}(?!-)\b", paragraph):
                return [found[1]]
    return []
