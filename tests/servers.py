"""Servers of a test's own on loopback, in a thread of this process, and the way to them."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind((address, 0))
        return int(free.getsockname()[1])


def kubeconfig_of(url: str, bearer: str = "a-token") -> str:
    """Return the kubeconfig of a server that stands in for a cluster, as JSON, which is YAML."""
    return json.dumps(
        {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": bearer}}],
        }
    )


@contextlib.contextmanager
def serving(app: Any, *, lifespan: str = "off", abruptly: bool = False) -> Iterator[str]:
    """Serve an application; yields its address.

    :param abruptly: end without waiting for whoever keeps a connection, as browsers do.
    """
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan=lifespan))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        server.force_exit = abruptly
        thread.join()
