"""How every program of the cluster is run, and asked whether it is well."""

from __future__ import annotations

import os
import socket
import ssl
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from local.kubernetes import FOLDER
from local.kubernetes.identities import ADMIN, CA_FILE
from local.process import Daemon

if TYPE_CHECKING:
    from collections.abc import Sequence


def daemon(
    program: str | Path, arguments: Sequence[str], folder: Path = FOLDER, *, whole_session: bool = True
) -> Daemon:
    """A program of the cluster, with its log and pid file beside the others'."""
    name = Path(program).name
    return Daemon(
        name, [str(program), *arguments], folder / f"{name}.log", folder, env=environment(), whole_session=whole_session
    )


def environment() -> dict[str, str]:
    """Ours without proxies, which cannot reach the bridge, and with the folders of system programs."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "PATH": f"{kept.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"}


def healthy(url: str) -> bool:
    """Whether a health endpoint of the cluster answers with success."""
    return get(url) is not None


def get(url: str) -> bytes | None:
    """What the administrator is answered by a server of the cluster; None when it does not answer, or not well."""
    try:
        with _opener(url).open(url, timeout=5) as response:
            content: bytes = response.read()
            return content
    except OSError:
        # Nobody listens, certificates are not made yet, or the status says that it is not well.
        return None


def listens(path: Path) -> bool:
    """Whether somebody listens on a socket in the file system."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def _opener(url: str) -> urllib.request.OpenerDirector:
    direct = urllib.request.ProxyHandler({})
    if not url.startswith("https:"):
        return urllib.request.build_opener(direct)
    trust = ssl.create_default_context(cafile=CA_FILE)
    trust.load_cert_chain(ADMIN.certificate_file, ADMIN.key_file)
    return urllib.request.build_opener(direct, urllib.request.HTTPSHandler(context=trust))
