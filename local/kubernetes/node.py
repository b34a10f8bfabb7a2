"""The one real node: its kubelet and kube-proxy, and the traces they leave on a machine."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from local import StackError
from local.kubernetes import (
    ADDRESS,
    CONTAINERD_SOCKET,
    CONTAINERD_STATE,
    DOMAIN,
    FOLDER,
    KUBELET_HEALTH_PORT,
    NODE,
    PODS,
    PROXY_HEALTH_PORT,
    PROXY_METRICS_PORT,
)
from local.kubernetes.daemons import daemon, listens
from local.kubernetes.identities import CA_FILE, KUBELET, PROXY
from local.kubernetes.programs import SOURCE

if TYPE_CHECKING:
    from local.process import Daemon

KUBELET_ROOT = FOLDER / "kubelet"
POD_LOGS = FOLDER / "pod-logs"
KUBELET_CONFIGURATION = FOLDER / "kubelet.yaml"
PROXY_CONFIGURATION = FOLDER / "kube-proxy.yaml"

#: Kernel settings that a kubelet changes (k8s.io/component-helpers, node/util/sysctl).
_TUNED = tuple(
    Path("/proc/sys") / name
    for name in (
        "vm/overcommit_memory",
        "vm/panic_on_oom",
        "kernel/panic",
        "kernel/panic_on_oops",
        "kernel/keys/root_maxkeys",
        "kernel/keys/root_maxbytes",
    )
)
_TUNED_BEFORE = FOLDER / "sysctl.json"

#: Where a kubelet puts things whatever it is told.
_DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")
_LOG_LINKS = Path("/var/log/containers")
#: Where libcni remembers what it gave a pod.
_CNI_RESULTS = Path("/var/lib/cni/results")


def kubelet() -> Daemon:
    """What runs pods on this node."""
    return daemon(
        SOURCE.programs / "kubelet",
        [
            f"--config={KUBELET_CONFIGURATION}",
            f"--kubeconfig={KUBELET.kubeconfig_file}",
            f"--root-dir={KUBELET_ROOT}",
            f"--hostname-override={NODE}",
            f"--node-ip={ADDRESS}",
        ],
    )


def proxy() -> Daemon:
    """What leads a service's address to its pods."""
    return daemon(SOURCE.programs / "kube-proxy", [f"--config={PROXY_CONFIGURATION}"])


def refuse_beside_another_kubelet() -> None:
    """Say so, before anything is changed, when this machine is already a node of some cluster.

    Ours would delete what device plug-ins have put beside that kubelet's socket, and both would write the same chains.
    """
    if not kubelet().running() and listens(_DEVICE_PLUGINS / "kubelet.sock"):
        raise StackError("Another kubelet runs on this machine: use its cluster, with --kubeconfig, or stop it")


def configure_node() -> None:
    """Write the configuration of both, and remember the kernel settings that the kubelet is about to change.

    :raises StackError: when the checkout's path is too long for the kubelet's sockets.
    """
    longest = KUBELET_ROOT / "pod-resources" / "kubelet.sock"
    if len(str(longest)) > 107:  # noqa: PLR2004 - unix(7)
        raise StackError(f"A socket's path has at most 107 bytes, {longest} has more: use a checkout in a shorter path")
    KUBELET_CONFIGURATION.write_text(yaml.safe_dump(kubelet_configuration()))
    PROXY_CONFIGURATION.write_text(yaml.safe_dump(proxy_configuration()))
    if not _TUNED_BEFORE.exists():
        values = {str(path): path.read_text() for path in _TUNED if path.exists()}
        _TUNED_BEFORE.write_text(json.dumps(values))


def kubelet_configuration() -> dict[str, object]:
    """Settings with which a kubelet works beside everything else on a machine, with cgroups of either version."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "healthzPort": KUBELET_HEALTH_PORT,
        "tlsCertFile": str(KUBELET.certificate_file),
        "tlsPrivateKeyFile": str(KUBELET.key_file),
        "authentication": {"x509": {"clientCAFile": str(CA_FILE)}, "anonymous": {"enabled": False}},
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "podLogsDir": str(POD_LOGS),
        "volumePluginDir": str(FOLDER / "volume-plugins"),
        "clusterDNS": [ADDRESS],
        "clusterDomain": DOMAIN,
        # Pods do not search the machine's own domains.
        "resolvConf": "",
        # Without systemd, without the right to reserve anything, and on machines that swap.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        # A developer's disk is full most of the time: that is no reason to evict pods or to delete images.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "serializeImagePulls": False,
        "maxPods": 200,
    }


def proxy_configuration() -> dict[str, object]:
    """Settings that change nothing on the machine but iptables, and open node ports on the bridge alone."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(PROXY.kubeconfig_file)},
        "mode": "iptables",
        "hostnameOverride": NODE,
        "clusterCIDR": PODS,
        "nodePortAddresses": [f"{ADDRESS}/32"],
        "iptables": {"localhostNodePorts": False},
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "healthzBindAddress": f"127.0.0.1:{PROXY_HEALTH_PORT}",
        "metricsBindAddress": f"127.0.0.1:{PROXY_METRICS_PORT}",
        "oomScoreAdj": 0,
    }


def remove_traces() -> None:
    """Put the kernel's settings back, and delete what was written outside our own folder."""
    _restore_kernel_settings()
    if not listens(_DEVICE_PLUGINS / "kubelet.sock"):
        for name in ("kubelet.sock", "kubelet_internal_checkpoint", "DEPRECATION"):
            (_DEVICE_PLUGINS / name).unlink(missing_ok=True)
    for link in _LOG_LINKS.glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(POD_LOGS):
            link.unlink()
    for result in _CNI_RESULTS.glob("*"):
        # It names the pod's network namespace, which is ours by its folder.
        if str(CONTAINERD_STATE) in result.read_text():
            result.unlink()
    for folder in (_DEVICE_PLUGINS, _LOG_LINKS, _CNI_RESULTS):
        for empty in (folder, folder.parent):
            # Not empty: it is not ours alone.
            with suppress(OSError):
                empty.rmdir()


def _restore_kernel_settings() -> None:
    if _TUNED_BEFORE.exists():
        for path, value in json.loads(_TUNED_BEFORE.read_text()).items():
            if Path(path).read_text() != value:
                Path(path).write_text(value)
        _TUNED_BEFORE.unlink()
