"""The kwok controller: heartbeats for simulated nodes, and a life for the pods that are bound to them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from local.endpoints import KUBECONFIG_FILE
from local.golang import Source, compiled
from local.kubernetes.daemons import environment, healthy
from local.part import Part
from local.process import Daemon, wait_until

#: What a Node carries to be taken for a simulated one.
ANNOTATION = "kwok.x-k8s.io/node=fake"
PORT = 16247

SOURCE = Source(
    name="kwok",
    version="v0.7.0",
    module=Path(__file__).parent,
    packages=("sigs.k8s.io/kwok/cmd/kwok",),
    ldflags="",
    links={},
    minutes=2,
)


class Kwok(Part):
    """Serves the cluster that is started here, or the user's own."""

    name: ClassVar[str] = "kwok"
    needs: ClassVar[tuple[str, ...]] = ("kubernetes",)

    def answers(self) -> bool:
        return healthy(f"http://127.0.0.1:{PORT}/healthz")

    def start(self) -> None:
        compiled(SOURCE)
        process = self._daemon()
        process.start()
        wait_until(self.answers, "kwok answers", daemons=[process])

    def stop(self) -> None:
        self._daemon().stop()

    def _daemon(self) -> Daemon:
        arguments = [
            f"--kubeconfig={self.settings.kubeconfig or KUBECONFIG_FILE}",
            "--manage-all-nodes=false",
            f"--manage-nodes-with-annotation-selector={ANNOTATION}",
            # A kubelet's. Without a lease, a node counts as dead after a minute, and its pods as not ready.
            "--node-lease-duration-seconds=40",
            # Addresses of simulated pods: outside those of real ones.
            "--cidr=10.198.0.1/16",
            f"--server-address=127.0.0.1:{PORT}",
        ]
        # Its own settings, not those that the user may keep in ~/.kwok.
        env = {**environment(), "KWOK_WORKDIR": str(self.folder)}
        return Daemon(self.name, [str(SOURCE.programs / "kwok"), *arguments], self.log, self.folder, env=env)
