"""The Docker engine: the one that answers already, else Debian's, started here with data of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

from local import RUN
from local.mounts import unmount_below
from local.packages import need
from local.part import Part
from local.process import Daemon, read_stat, run, wait_until

OWN_HOST = f"unix://{RUN}/docker.sock"
DEFAULT_HOST = "unix:///var/run/docker.sock"
_PID_FILE = RUN / "docker.pid"
_BRIDGE = Path("/sys/class/net/docker0")
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def host() -> str:
    """The engine that is used, as in ``DOCKER_HOST``: the user's where it answers, else ours."""
    users = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    return users if users != OWN_HOST and _answers(users) else OWN_HOST


def docker(*words: str | Path, what: str) -> str:
    """Run the docker client on the engine that is used, and return what it wrote."""
    return run(["docker", "--host", host(), *words], what)


def _answers(address: str) -> bool:
    if shutil.which("docker") is None:
        return False
    question = ["docker", "--host", address, "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(question, check=False, capture_output=True).returncode == 0


class Engine(Part):
    """``dockerd`` by hand: no system service, so that it leaves with the stack."""

    name: ClassVar[str] = "engine"

    def answers(self) -> bool:
        return _answers(host())

    def start(self) -> None:
        need("docker.io", "iptables")
        self._forward()
        if not _BRIDGE.exists():
            self._bridge_is_ours.touch()
        daemon = self._daemon()
        for pid_file in (_PID_FILE, RUN / "docker" / "containerd" / "containerd.pid"):
            _forget_dead(pid_file)
        daemon.start()
        wait_until(self.answers, "the Docker engine answers", daemons=[daemon])

    def stop(self) -> None:
        daemon = self._daemon()
        if not daemon.pid_file.exists():
            return
        if not daemon.running():
            # Killed: its containers live on, and only an engine on the same data ends them in order.
            self.start()
        daemon.stop()
        unmount_below(RUN / "docker", self.folder / "data")
        shutil.rmtree(RUN / "docker", ignore_errors=True)
        if self._bridge_is_ours.exists():
            _remove_network()
            self._bridge_is_ours.unlink()
        self._forward_no_more()

    @property
    def _bridge_is_ours(self) -> Path:
        """Marks that no other engine of this machine uses the bridge and its rules."""
        return self.folder / "bridge_is_ours"

    def _daemon(self) -> Daemon:
        argv = ["dockerd", "--host", OWN_HOST, "--data-root", str(self.folder / "data")]
        argv += ["--exec-root", str(RUN / "docker"), "--pidfile", str(_PID_FILE), "--log-level", "warn"]
        return Daemon(self.name, argv, self.log, self.folder)

    # An engine that has to switch forwarding on also drops all forwarded packets that are not its own, among them
    # those from pod to pod; one that finds it on does not.
    def _forward(self) -> None:
        if _FORWARDING.read_text().strip() == "0":
            (self.folder / "forwarding_was_off").touch()
            _FORWARDING.write_text("1\n")

    def _forward_no_more(self) -> None:
        mark = self.folder / "forwarding_was_off"
        if mark.exists():
            _FORWARDING.write_text("0\n")
            mark.unlink()


def _forget_dead(pid_file: Path) -> None:
    """Delete the pid file of a process that was killed: one that init has not reaped yet is taken for alive."""
    if pid_file.exists():
        stat = read_stat(int(pid_file.read_text()))
        if stat is None or stat.state == "Z":
            pid_file.unlink()


def _remove_network() -> None:
    """Remove the bridge and the iptables rules, which an engine leaves behind when it ends."""
    if _BRIDGE.exists():
        run(["ip", "link", "delete", "docker0"], "removing the bridge docker0")
    table = ""
    chains: list[tuple[str, str]] = []
    for line in run(["iptables-save"], "listing iptables rules").splitlines():
        words = line.split()
        if line.startswith("*"):
            table = line.removeprefix("*")
        elif line.startswith(":DOCKER"):
            chains.append((table, words[0].removeprefix(":")))
        elif line.startswith("-A") and ("docker0" in words or any(word.startswith("DOCKER") for word in words)):
            run(["iptables", "-t", table, "-D", *words[1:]], "removing an iptables rule of the engine")
    for table, chain in chains:
        run(["iptables", "-t", table, "-X", chain], "removing an iptables chain of the engine")
