"""``buildkitd`` on the bridge's address, for whoever shows a certificate of its authority."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, ClassVar

from local import RUN
from local.buildkit.certificates import issue_certificates
from local.buildkit.image import has_image, make_image
from local.buildkit.programs import SOURCE
from local.endpoints import BUILDKIT_ADDRESS, BUILDKIT_FOLDER, REGISTRY_HOST
from local.golang import compiled
from local.kubernetes.daemons import environment
from local.mounts import unmount_below
from local.packages import need
from local.part import Part
from local.process import Daemon, wait_until

if TYPE_CHECKING:
    from pathlib import Path

_CONFIGURATION = """\
root = "{data}"
[grpc]
  address = ["{address}"]
  [grpc.tls]
    cert = "{certificates}/server.pem"
    key = "{certificates}/server-key.pem"
    ca = "{certificates}/ca.pem"
[otel]
  socketPath = "{socket}"
[cdi]
  disabled = true
[worker.containerd]
  enabled = false
[worker.oci]
  enabled = true
[registry."{registry}"]
  http = true
"""


class BuildKit(Part):
    """The daemon, and in the registry the image of the pods that call it, or run one of their own.

    With a cluster of the user's own there is none: its pods do not reach the bridge.
    """

    name: ClassVar[str] = "buildkit"
    needs: ClassVar[tuple[str, ...]] = ("engine", "registry", "kubernetes")

    def answers(self) -> bool:
        return self.settings.kubeconfig is not None or (serves() and has_image())

    def start(self) -> None:
        need("runc", "busybox-static", "git", "rootlesskit", "uidmap")
        compiled(SOURCE)
        RUN.joinpath("buildkit").mkdir(parents=True, exist_ok=True)
        issue_certificates()
        configuration_file = self.folder / "buildkitd.toml"
        configuration_file.write_text(configuration(self.folder / "data", RUN / "buildkit" / "otel.sock"))
        daemon = self._daemon(configuration_file)
        daemon.start()
        wait_until(serves, "buildkitd answers", daemons=[daemon])
        if not has_image():
            make_image()

    def stop(self) -> None:
        self._daemon(self.folder / "buildkitd.toml").stop()
        unmount_below(self.folder / "data")
        shutil.rmtree(RUN / "buildkit", ignore_errors=True)

    def _daemon(self, configuration: Path) -> Daemon:
        argv = [str(SOURCE.programs / "buildkitd"), "--config", str(configuration)]
        return Daemon(self.name, argv, self.log, self.folder, env=environment())


def serves(address: str = BUILDKIT_ADDRESS) -> bool:
    """Whether a daemon with our certificates has a worker to build with."""
    files = {"--tlscacert": "ca.pem", "--tlscert": "client.pem", "--tlskey": "client-key.pem"}
    argv = [str(SOURCE.programs / "buildctl"), "--addr", address, "--timeout", "2"]
    argv += [word for flag, name in files.items() for word in (flag, str(BUILDKIT_FOLDER / name))]
    try:
        return subprocess.run([*argv, "debug", "workers"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def configuration(data: Path, socket: Path, address: str = BUILDKIT_ADDRESS) -> str:
    """The text of its configuration file.

    :param data: where images, caches and file systems lie.
    :param socket: for traces; it would be in a folder of every buildkitd of the machine.
    """
    return _CONFIGURATION.format(
        data=data, address=address, certificates=BUILDKIT_FOLDER, socket=socket, registry=REGISTRY_HOST
    )
