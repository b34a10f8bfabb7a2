"""What containerd is told, and the one image that it is given."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
import tomllib

from local.endpoints import REGISTRY_HOST
from local.kubernetes import containerd

CRI = "io.containerd.grpc.v1.cri"


@pytest.mark.parametrize("password", ["plain", 'with "quotes" and \\backslashes'])
def test_containerd_is_told_the_password_as_it_is(password: str) -> None:
    registry = settings(password)["plugins"][CRI]["registry"]
    assert registry["configs"][REGISTRY_HOST]["auth"] == {"username": "tke", "password": password}
    assert registry["mirrors"][REGISTRY_HOST]["endpoint"] == [f"http://{REGISTRY_HOST}"]


def test_nothing_is_shared_with_the_engines_containerd() -> None:
    told = settings("secret")
    assert not {told["root"], told["state"], told["grpc"]["address"]} & {
        "/var/lib/containerd",
        "/run/containerd",
        "/run/containerd/containerd.sock",
    }


def test_runc_is_not_asked_for_what_it_may_not_do() -> None:
    assert settings("secret")["plugins"][CRI]["restrict_oom_score_adj"] is True


def test_the_image_of_a_program_holds_it_and_starts_it(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(b"\x7fELF")
    with tarfile.open(fileobj=io.BytesIO(containerd.image_archive("tke.local/pause:1", program))) as archive:
        files = {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]
    (manifest,) = json.loads(files["manifest.json"])
    config, layer = json.loads(files[manifest["Config"]]), files[manifest["Layers"][0]]
    assert manifest["RepoTags"] == ["tke.local/pause:1"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert config["config"]["Entrypoint"] == ["/pause"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert tar.getmember("pause").mode == 0o755


def settings(password: str) -> dict:
    return tomllib.loads(containerd.configuration(Path("/usr/lib/cni"), password))
