"""The image of the pods that build: what BuildKit's own holds for users of TKE, from this machine's programs."""

from __future__ import annotations

import re
import shutil
import struct
import tarfile
import tempfile
from http import HTTPStatus
from pathlib import Path

from local import StackError
from local.base_image import MANIFEST, push
from local.buildkit.programs import SOURCE
from local.endpoints import BUILDKIT_IMAGE, REGISTRY_HOST
from local.engine import docker
from local.process import run
from local.registry import status_of

#: What the line that calls ``buildctl`` needs.
_SHELL = ("sh", "cat")
#: What a daemon in a pod calls: to fetch a commit, to run a step, and to do so without being root.
_CALLED = ("git", "runc", "rootlesskit", "newuidmap", "newgidmap")
_GIT_HTTP = ("git-remote-http", "git-remote-https")
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
#: Who a rootless daemon is, as in BuildKit's own image: ids are handed out to the user of this name.
_FILES = {
    "etc/passwd": "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
    "etc/group": "root:x:0:\nuser:x:1000:\n",
    "etc/subuid": "user:100000:65536\n",
    "etc/subgid": "user:100000:65536\n",
}
#: CAP_SETUID and CAP_SETGID, as a file carries them: capabilities(7), linux/capability.h.
_CAPABILITIES = {"newuidmap": 7, "newgidmap": 6}
_VFS_CAP_EFFECTIVE = 0x02000001
_FOLDERS_OF_USER = ("home/user/.local/share/buildkit", "home/user/.local/tmp", "run/user/1000")
_ENVIRONMENT = {
    "PATH": "/bin:/usr/bin:/usr/sbin",
    "HOME": "/home/user",
    "USER": "user",
    "XDG_RUNTIME_DIR": "/run/user/1000",
    "TMPDIR": "/home/user/.local/tmp",
}


def has_image() -> bool:
    """Whether the registry has it."""
    name, _, tag = BUILDKIT_IMAGE.removeprefix(f"{REGISTRY_HOST}/").rpartition(":")
    return status_of(f"{name}/manifests/{tag}", MANIFEST) == HTTPStatus.OK


def make_image() -> None:
    """Put it into the registry."""
    with tempfile.TemporaryDirectory() as folder:
        root, archive = Path(folder) / "root", Path(folder) / "root.tar"
        _fill(root)
        with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
            tar.add(root, ".", filter=_owned)
        changes = [word for name, value in _ENVIRONMENT.items() for word in ("--change", f"ENV {name}={value}")]
        docker("import", *changes, archive, BUILDKIT_IMAGE, what="importing the image of BuildKit")
    push(BUILDKIT_IMAGE)


def _fill(root: Path) -> None:
    (root / "bin").mkdir(parents=True)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    for program in ("buildctl", "buildkitd"):
        shutil.copy(SOURCE.programs / program, root / "bin")
    shutil.copy("/bin/busybox", root / "bin")
    for name in _SHELL:
        (root / "bin" / name).symlink_to("busybox")
    git_programs = Path(run(["git", "--exec-path"], "looking for git's programs").strip())
    for called in (*map(_found, _CALLED), *(git_programs / name for name in _GIT_HTTP)):
        _copy_with_libraries(called, root)
    if _AUTHORITIES.exists():
        _copy(_AUTHORITIES, root)
    for folder in _FOLDERS_OF_USER:
        (root / folder).mkdir(parents=True)
    for name, text in _FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)


def _owned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Give a file to whom it belongs in the image, whoever makes it here, and the right that it needs."""
    if number := _CAPABILITIES.get(entry.name.rpartition("/")[2]):
        # Debian's are setuid and then ask for more than a container's root may do: whoever owns the namespace may.
        entry.mode = 0o755
        capability = struct.pack("<5I", _VFS_CAP_EFFECTIVE, 1 << number, 0, 0, 0)
        entry.pax_headers = {"SCHILY.xattr.security.capability": capability.decode(errors="surrogateescape")}
    theirs = entry.name.startswith(("./home/user", "./run/user/"))
    entry.uid = entry.gid = 1000 if theirs else 0
    entry.uname = entry.gname = ""
    return entry


def _found(name: str) -> Path:
    program = shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin")
    if program is None:
        raise StackError(f"{name} is missing")
    return Path(program)


def _copy_with_libraries(program: Path, root: Path) -> None:
    _copy(program, root)
    for library in re.findall(r"(/\S+) \(0x", run(["ldd", program], f"looking for the libraries of {program.name}")):
        _copy(Path(library), root)


def _copy(file: Path, root: Path) -> None:
    target = root / file.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, target)
