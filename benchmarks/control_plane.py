"""A Kubernetes of the benchmark's own: the real control plane over simulated nodes, gone without a trace afterwards.

Five thousand nodes and their heartbeats would slow down whatever else a shared cluster does. Programs are those that
``local/`` compiles; nothing of it leaves loopback.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from local.golang import compiled
from local.kubernetes.certificates import Authority, signing_pair
from local.kubernetes.identities import kubeconfig
from local.kubernetes.programs import SOURCE as KUBERNETES
from local.kwok.controller import ANNOTATION
from local.kwok.controller import SOURCE as KWOK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

KUBECTL = KUBERNETES.programs / "kubectl"
_PATIENCE = 120.0
# What a managed control plane of this size allows its own parts; by default the controllers make 20 calls a second.
_PACE = ("--kube-api-qps=500", "--kube-api-burst=1000")
# A node renews its lease every 40 s, a quarter of this, as kubelets do with theirs: 125 leases a second in all.
_LEASE_SECONDS, _GRACE_SECONDS = 160, 200
# Nodes that are late are not to be called lost meanwhile: each such write makes kwok look at the node once more.
_STARTUP_SECONDS = 900
# Four at a time by default, each of which waits for its answer: thousands of nodes would be minutes late.
_KWOK = """
apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokConfiguration
options: {nodeLeaseParallelism: 32, nodePlayStageParallelism: 32, podPlayStageParallelism: 32}
"""


@contextlib.contextmanager
def control_plane() -> Iterator[Path]:
    """Start it, and yield the file of its administrator's kubeconfig."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        api, etcd, peers, manager, scheduler, kwok = _free_ports(6)
        admin = _identities(folder, f"https://127.0.0.1:{api}")

        def run(program: str | Path, *flags: str) -> None:
            stack.enter_context(_running([str(program), *flags], folder / f"{Path(program).name}.log"))

        run(shutil.which("etcd") or "etcd", *_etcd(folder, etcd, peers))
        run(compiled(KUBERNETES) / "kube-apiserver", *_api_server(folder, api, etcd))
        _until(lambda: _kubectl(admin, "get", "--raw=/readyz") == "ok", "the API server answers")
        calling = (f"--kubeconfig={admin}", "--leader-elect=false", "--bind-address=127.0.0.1", *_PACE)
        run(
            KUBERNETES.programs / "kube-controller-manager",
            *(*calling, f"--secure-port={manager}", f"--service-account-private-key-file={folder / 'accounts.key'}"),
            *(f"--root-ca-file={folder / 'ca.crt'}", f"--node-monitor-grace-period={_GRACE_SECONDS}s"),
            f"--node-startup-grace-period={_STARTUP_SECONDS}s",
        )
        run(KUBERNETES.programs / "kube-scheduler", *calling, f"--secure-port={scheduler}")
        (folder / "kwok.yaml").write_text(_KWOK)
        run(
            compiled(KWOK) / "kwok",
            *(
                f"--config={folder / 'kwok.yaml'}",
                f"--kubeconfig={admin}",
                "--manage-all-nodes=false",
                "--cidr=10.198.0.1/16",
            ),
            *(f"--manage-nodes-with-annotation-selector={ANNOTATION}", f"--server-address=127.0.0.1:{kwok}"),
            f"--node-lease-duration-seconds={_LEASE_SECONDS}",
        )
        _until(lambda: "default" in _kubectl(admin, "get", "serviceaccounts"), "the controllers work")
        yield admin


def _identities(folder: Path, server: str) -> Path:
    authority = Authority("bench")
    serving = authority.issue("kube-apiserver", addresses=("127.0.0.1", "localhost", "kubernetes", "10.0.0.1"))
    private, public = signing_pair()
    texts = {"ca.crt": authority.pair.certificate, "api.crt": serving.certificate, "api.key": serving.key}
    for file, text in {**texts, "accounts.key": private, "accounts.pub": public}.items():
        (folder / file).write_text(text)
    admin = folder / "kubeconfig"
    pair = authority.issue("admin", ("system:masters",))
    admin.write_text(kubeconfig(server, authority.pair.certificate, "admin", pair))
    return admin


def _etcd(folder: Path, port: int, peers: int) -> Sequence[str]:
    url, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
    return (
        *("--name=bench", f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn"),
        *(f"--listen-client-urls={url}", f"--advertise-client-urls={url}", f"--listen-peer-urls={peer}"),
        *(f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=bench={peer}"),
    )


def _api_server(folder: Path, port: int, etcd: int) -> Sequence[str]:
    return (
        *(f"--etcd-servers=http://127.0.0.1:{etcd}", "--bind-address=127.0.0.1", f"--secure-port={port}"),
        # No pod runs for real, so nobody asks for the API by its service.
        *("--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.0.0.0/24"),
        *(f"--tls-cert-file={folder / 'api.crt'}", f"--tls-private-key-file={folder / 'api.key'}"),
        *(f"--client-ca-file={folder / 'ca.crt'}", "--authorization-mode=RBAC"),
        # As in local/kubernetes: Debian's etcd cannot serve it.
        "--feature-gates=WatchList=false",
        *("--service-account-issuer=https://bench", f"--service-account-key-file={folder / 'accounts.pub'}"),
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
    )


@contextlib.contextmanager
def _running(argv: Sequence[str], log: Path) -> Iterator[None]:
    """Run a program apart from the terminal's Ctrl-C, so that it serves until all is put away."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _kubectl(kubeconfig: Path, *arguments: str) -> str:
    argv = [str(KUBECTL), f"--kubeconfig={kubeconfig}", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


def _until(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {_PATIENCE:.0f} s")
        time.sleep(0.5)


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
