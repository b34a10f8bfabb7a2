"""What the cluster is made of: programs compiled here, and Debian's."""

from __future__ import annotations

import shutil
from pathlib import Path

from local import StackError
from local.golang import Source
from local.packages import need

VERSION = "v1.34.4"


def _version_flags() -> str:
    """Tell the programs their version: without it the server says v0.0.0 and clients misbehave."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    values = {"gitVersion": VERSION, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join(
        f"-X {package}.{name}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for name, value in values.items()
    )


SOURCE = Source(
    name="kubernetes",
    version=VERSION,
    module=Path(__file__).parent,
    packages=("./cmd/kube", "./cmd/coredns", "./cmd/pause"),
    ldflags=_version_flags(),
    links=dict.fromkeys(
        ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"), "kube"
    ),
    minutes=6,
)

#: Where distributions put the CNI plug-ins.
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))

_DEBIAN = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "iptables": "iptables",
    "umount": "mount",
}


def need_system_programs() -> None:
    """Install Debian's packages for the programs that are not on PATH, whoever packaged those that are."""
    missing = [package for program, package in _DEBIAN.items() if shutil.which(program) is None]
    if not any((folder / "bridge").exists() for folder in CNI_FOLDERS):
        missing.append("containernetworking-plugins")
    need(*missing)


def cni_folder() -> Path:
    """The folder with the CNI plug-ins."""
    for folder in CNI_FOLDERS:
        if (folder / "bridge").exists():
            return folder
    raise StackError("The CNI plug-ins are missing; run: apt-get install containernetworking-plugins")
