"""The pods' own containerd, apart from Docker's: it runs what the kubelet asks for."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from local import StackError
from local.endpoints import REGISTRY_HOST, REGISTRY_PASSWORD_FILE, REGISTRY_USER
from local.kubernetes import CONTAINERD_SOCKET, CONTAINERD_STATE, FOLDER
from local.kubernetes.daemons import daemon, listens
from local.kubernetes.network import CNI_CONFIGURATION
from local.kubernetes.programs import SOURCE, cni_folder
from local.process import Daemon, run, wait_until
from local.registry import write_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = FOLDER / "containerd"
CONFIGURATION = FOLDER / "containerd.toml"
#: Made here and given to containerd directly: it cannot be pulled, and needs no registry to be up.
PAUSE_IMAGE = "tke.local/pause:1"

#: Folders that runc and the shims make where every containerd has them, inner ones first.
_SHARED = tuple(Path("/run/containerd") / name for name in ("s", "runc/k8s.io", "runc", ""))
#: With cgroups of version 2 there is one, with version 1 one a controller.
_CGROUPS = Path("/sys/fs/cgroup")

#: Strings are written as JSON, which TOML reads alike.
_CONFIGURATION = """\
version = 2
root = {root}
state = {state}
# "opt" would make /opt/containerd; the snapshotters are for file systems that are not asked for.
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
address = {socket}
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = {pause}
# A container must not be asked to lower its score below ours: without CAP_SYS_RESOURCE runc dies of it.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = {cni_programs}
conf_dir = {cni_configuration}
# Pods of every namespace may pull from the stack's registry, as TKE's TCR add-on lets them without a secret.
[plugins."io.containerd.grpc.v1.cri".registry.mirrors.{registry}]
endpoint = [{registry_url}]
[plugins."io.containerd.grpc.v1.cri".registry.configs.{registry}.auth]
username = {user}
password = {password}
"""


def containerd() -> Daemon:
    """The daemon; its pods' shims outlive it and are found again by the next."""
    return daemon("containerd", ["--config", str(CONFIGURATION)], whole_session=False)


def start_containerd() -> None:
    """Start it with the registry's present password, and give it the pause image."""
    process = containerd()
    if not configuration_is_current():
        process.stop()
        CONTAINERD_STATE.mkdir(parents=True, exist_ok=True)
        write_secret(CONFIGURATION, _present_configuration())
    process.start()
    wait_until(containerd_answers, "containerd answers", daemons=[process])
    if PAUSE_IMAGE not in _ctr("images", "list", "--quiet").split():
        archive = FOLDER / "pause.tar"
        archive.write_bytes(image_archive(PAUSE_IMAGE, SOURCE.programs / "pause"))
        _ctr("images", "import", str(archive))


def containerd_answers() -> bool:
    """Whether somebody listens on its socket."""
    return listens(CONTAINERD_SOCKET)


def configuration_is_current() -> bool:
    """Whether containerd was told the registry's present password and the present paths."""
    return CONFIGURATION.exists() and CONFIGURATION.read_text() == _present_configuration()


def configuration(cni_programs: Path, password: str) -> str:
    """The text of its configuration file.

    Credentials for a registry stand in ``registry.configs``, which containerd 1.6 and 1.7 read at start
    (https://github.com/containerd/containerd/blob/release/1.6/docs/cri/registry.md).

    :param cni_programs: folder of the CNI plug-ins.
    :param password: the registry's.
    """
    values = {
        "root": ROOT,
        "state": CONTAINERD_STATE,
        "socket": CONTAINERD_SOCKET,
        "pause": PAUSE_IMAGE,
        "cni_programs": cni_programs,
        "cni_configuration": CNI_CONFIGURATION,
        "registry": REGISTRY_HOST,
        "registry_url": f"http://{REGISTRY_HOST}",
        "user": REGISTRY_USER,
        "password": password,
    }
    return _CONFIGURATION.format(**{name: json.dumps(str(value)) for name, value in values.items()})


def _present_configuration() -> str:
    return configuration(cni_folder(), REGISTRY_PASSWORD_FILE.read_text())


def end_pods() -> None:
    """Kill every container, so that its shim, mounts and network namespace go; then containerd itself.

    One that was killed is started once more: only it knows what its shims hold.
    """
    if not CONFIGURATION.exists():
        return
    process = containerd()
    process.start()
    wait_until(containerd_answers, "containerd answers", daemons=[process])
    tasks = _ctr("tasks", "list", "--quiet").split()
    # Whatever ends is deleted by containerd itself, too: either may come first. What counts is that the shims go.
    with suppress(StackError):
        _ctr("tasks", "delete", "--force", *tasks)
    _end_shims()
    process.stop()
    for folder in (*_SHARED, _CGROUPS / "k8s.io", *_CGROUPS.glob("*/k8s.io")):
        # Not empty: somebody else's containers are there.
        with suppress(OSError):
            folder.rmdir()


def _end_shims() -> None:
    try:
        wait_until(lambda: not any(_shims()), "the pods have ended", timeout=5)
    except StackError:
        for pid in _shims():
            os.kill(pid, signal.SIGKILL)


def _shims() -> Iterator[int]:
    """Pids of the shims that belong to our containerd: they carry the address of its socket."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            argv = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if Path(argv[0]).name.startswith("containerd-shim") and str(CONTAINERD_SOCKET) in argv:
            yield int(process.name)


def image_archive(name: str, program: Path) -> bytes:
    """An image of one static program, in the form of ``docker save``."""
    layer = _tar({program.name: program.read_bytes()}, mode=0o755)
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    return _tar(
        {
            "manifest.json": json.dumps(manifest).encode(),
            "config.json": json.dumps(config).encode(),
            "layer.tar": layer,
        }
    )


def _tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _ctr(*arguments: str) -> str:
    return run(["ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", *arguments], f"ctr {arguments[0]}")
