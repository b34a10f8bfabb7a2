from __future__ import annotations

import io
import tarfile

from local.buildkit.image import _owned
from local.buildkit.programs import VERSION
from local.endpoints import BUILDKIT_IMAGE


def packed(name: str, mode: int) -> tarfile.TarInfo:
    """A file of the image, as whoever unpacks it reads it."""
    buffer = io.BytesIO()
    entry = tarfile.TarInfo(name)
    entry.mode, entry.uid, entry.gid, entry.uname = mode, 4711, 4711, "somebody"
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(_owned(entry))
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as tar:
        return tar.getmembers()[0]


def test_it_is_called_by_the_version_of_its_programs():
    assert BUILDKIT_IMAGE.endswith(f":{VERSION}")


def test_files_are_roots_but_those_of_the_rootless_daemons_user():
    assert (packed("./bin/sh", 0o755).uid, packed("./bin/sh", 0o755).uname) == (0, "")
    assert packed("./home/user/.local/share/buildkit", 0o755).uid == 1000


def test_the_program_that_maps_users_may_do_that_and_is_not_root():
    entry = packed("./usr/bin/newuidmap", 0o4755)
    assert entry.mode == 0o755
    capability = entry.pax_headers["SCHILY.xattr.security.capability"].encode(errors="surrogateescape")
    assert capability.hex() == "0100000280" + "00" * 15  # cap_setuid=ep, as getfattr shows it
