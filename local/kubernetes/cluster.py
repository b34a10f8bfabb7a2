"""The Kubernetes part: a cluster of the user's own, or the one that is started here."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import ClassVar

from local import StackError
from local.endpoints import KUBECONFIG_FILE
from local.golang import compiled
from local.kubernetes import (
    API_URL,
    CONTAINERD_SOCKET,
    CONTAINERD_STATE,
    CONTROLLER_MANAGER_PORT,
    FOLDER,
    KUBELET_HEALTH_PORT,
    NODE,
    PROXY_HEALTH_PORT,
    SCHEDULER_PORT,
)
from local.kubernetes.containerd import (
    configuration_is_current,
    containerd,
    containerd_answers,
    end_pods,
    start_containerd,
)
from local.kubernetes.control_plane import api_server, controller_manager, etcd, scheduler
from local.kubernetes.daemons import environment, get, healthy
from local.kubernetes.front_proxy import ensure_front_proxy
from local.kubernetes.identities import PKI, ensure_identities
from local.kubernetes.network import bridge_exists, network_is_up, set_up_network, tear_down_network
from local.kubernetes.node import configure_node, kubelet, proxy, refuse_beside_another_kubelet, remove_traces
from local.kubernetes.programs import SOURCE, need_system_programs
from local.mounts import unmount_below
from local.part import Part
from local.process import run, stop_all, wait_until

_HEALTH = (
    f"{API_URL}/readyz",
    f"https://127.0.0.1:{CONTROLLER_MANAGER_PORT}/healthz",
    f"https://127.0.0.1:{SCHEDULER_PORT}/healthz",
    f"http://127.0.0.1:{KUBELET_HEALTH_PORT}/healthz",
    f"http://127.0.0.1:{PROXY_HEALTH_PORT}/healthz",
)
_DAEMONS = (kubelet, proxy, scheduler, controller_manager, api_server, etcd, containerd)


class Kubernetes(Part):
    """Starts afresh after ``down``; what dies in between is started again on the cluster's state."""

    name: ClassVar[str] = "kubernetes"
    #: The kubelet's containerd is told the registry's password.
    needs: ClassVar[tuple[str, ...]] = ("registry",)

    @property
    def log(self) -> Path:
        """The kubelet's, where most troubles of a pod are told."""
        return kubelet().log

    def answers(self) -> bool:
        if self.settings.kubeconfig:
            return _refusal(self.settings.kubeconfig) is None
        return (
            containerd_answers()
            and configuration_is_current()
            and network_is_up()
            and all(healthy(url) for url in _HEALTH)
            and node_is_ready()
        )

    def start(self) -> None:
        if self.settings.kubeconfig:
            raise StackError(
                f"The cluster of {self.settings.kubeconfig} does not answer: {_refusal(self.settings.kubeconfig)}"
            )
        if os.geteuid() != 0:
            raise StackError("Pods need root: run this as root, or give a cluster of your own with --kubeconfig")
        refuse_beside_another_kubelet()
        need_system_programs()
        compiled(SOURCE)
        if not (bridge_exists() and any(make().running() for make in _DAEMONS)):
            # Nothing to go on with: what a reboot or a crash left is cleared away first.
            self.stop()
            _forget_logs()
        _start_cluster()
        wait_until(self.answers, "the node is ready", daemons=[make() for make in _DAEMONS])

    def stop(self) -> None:
        if self.settings.kubeconfig or not FOLDER.exists():
            return
        # The API server writes to its store before it ends, and waits for it if it is gone.
        stop_all([make() for make in _DAEMONS if make not in {etcd, containerd}])
        etcd().stop()
        end_pods()
        unmount_below(FOLDER, CONTAINERD_STATE)
        tear_down_network()
        remove_traces()
        _forget_state()


def node_is_ready() -> bool:
    """Whether the node itself says that it can run pods."""
    node = get(f"{API_URL}/api/v1/nodes/{NODE}")
    conditions = json.loads(node)["status"].get("conditions", []) if node else []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _start_cluster() -> None:
    """Start everything that does not run, each after what it cannot wait for by itself."""
    ensure_identities()
    ensure_front_proxy()
    set_up_network()
    configure_node()
    store, api = etcd(), api_server()
    store.start()
    api.start()
    start_containerd()
    wait_until(lambda: healthy(f"{API_URL}/readyz"), "the API server answers", daemons=[store, api])
    for make in (controller_manager, scheduler, kubelet, proxy):
        make().start()
    kubectl("apply", "--server-side", "--filename", str(Path(__file__).with_name("bootstrap.yaml")))


def kubectl(*arguments: str) -> str:
    """Run kubectl as the administrator of the cluster that is started here."""
    program, cache = SOURCE.programs / "kubectl", FOLDER / "kubectl-cache"
    return run(
        [program, f"--cache-dir={cache}", *arguments],
        f"kubectl {arguments[0]}",
        env={**environment(), "KUBECONFIG": str(KUBECONFIG_FILE)},
    )


def _refusal(kubeconfig: Path) -> str | None:
    """Why a cluster of the user's own does not answer; None when it does."""
    from kubernetes import client, config

    try:
        with config.new_client_from_config(str(kubeconfig)) as api:
            client.VersionApi(api).get_code(_request_timeout=5)
    except Exception as e:  # noqa: BLE001 - any failure, of the file, the network or the server, is the answer
        return f"{type(e).__name__}: {e}"
    return None


def _forget_state() -> None:
    """Delete everything but logs and certificates."""
    for entry in FOLDER.iterdir():
        if entry in {PKI, KUBECONFIG_FILE} or entry.suffix == ".log":
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    shutil.rmtree(CONTAINERD_STATE, ignore_errors=True)
    for file in CONTAINERD_SOCKET.parent.glob(f"{CONTAINERD_SOCKET.name}*"):
        file.unlink()


def _forget_logs() -> None:
    """Delete the logs of the cluster before."""
    for log in FOLDER.glob("*.log"):
        log.unlink()
