"""etcd, the API server, the controller manager and the scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.kubernetes import (
    ADDRESS,
    API_PORT,
    CONTROLLER_MANAGER_PORT,
    DOMAIN,
    ETCD_PEER_PORT,
    ETCD_PORT,
    FOLDER,
    SCHEDULER_PORT,
    SERVICES,
)
from local.kubernetes.daemons import daemon
from local.kubernetes.front_proxy import front_proxy_flags
from local.kubernetes.identities import (
    API_SERVER,
    CA_FILE,
    CA_KEY_FILE,
    CONTROLLER_MANAGER,
    ETCD,
    SCHEDULER,
    SERVICE_ACCOUNT_KEY_FILE,
    SERVICE_ACCOUNT_PUBLIC_FILE,
    Identity,
)
from local.kubernetes.programs import SOURCE

if TYPE_CHECKING:
    from local.process import Daemon

ETCD_DATA = FOLDER / "etcd"


def etcd() -> Daemon:
    """The store. Certificates guard it on loopback too: it holds every secret of the cluster in the clear."""
    url, peers = f"https://127.0.0.1:{ETCD_PORT}", f"https://127.0.0.1:{ETCD_PEER_PORT}"
    return daemon(
        "etcd",
        [
            "--name=local",
            f"--data-dir={ETCD_DATA}",
            # The cluster does not outlive a crash of the machine, so there is nothing to wait for the disk for.
            "--unsafe-no-fsync",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=local={peers}",
            *(
                f"--{prefix}{flag}"
                for prefix in ("", "peer-")
                for flag in (
                    "client-cert-auth",
                    f"trusted-ca-file={CA_FILE}",
                    f"cert-file={ETCD.certificate_file}",
                    f"key-file={ETCD.key_file}",
                )
            ),
            "--log-level=warn",
        ],
    )


def api_server() -> Daemon:
    """The API, on the bridge, where pods reach it as well as the machine does."""
    issuer = f"https://kubernetes.default.svc.{DOMAIN}"
    return daemon(
        SOURCE.programs / "kube-apiserver",
        [
            f"--etcd-servers=https://127.0.0.1:{ETCD_PORT}",
            f"--etcd-cafile={CA_FILE}",
            f"--etcd-certfile={API_SERVER.certificate_file}",
            f"--etcd-keyfile={API_SERVER.key_file}",
            f"--bind-address={ADDRESS}",
            f"--advertise-address={ADDRESS}",
            f"--secure-port={API_PORT}",
            f"--service-cluster-ip-range={SERVICES}",
            f"--client-ca-file={CA_FILE}",
            *_serving(API_SERVER),
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",
            # etcd before 3.4.31 cannot serve it, and clients fall back to list and watch only if it is refused.
            "--feature-gates=WatchList=false",
            # For logs and exec.
            f"--kubelet-certificate-authority={CA_FILE}",
            f"--kubelet-client-certificate={API_SERVER.certificate_file}",
            f"--kubelet-client-key={API_SERVER.key_file}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-issuer={issuer}",
            f"--service-account-key-file={SERVICE_ACCOUNT_PUBLIC_FILE}",
            f"--service-account-signing-key-file={SERVICE_ACCOUNT_KEY_FILE}",
            *front_proxy_flags(),
        ],
    )


def controller_manager() -> Daemon:
    """What turns a Deployment into pods."""
    return daemon(
        SOURCE.programs / "kube-controller-manager",
        [
            *_calling(CONTROLLER_MANAGER),
            *_serving(CONTROLLER_MANAGER),
            "--bind-address=127.0.0.1",
            f"--secure-port={CONTROLLER_MANAGER_PORT}",
            "--leader-elect=false",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={SERVICE_ACCOUNT_KEY_FILE}",
            f"--root-ca-file={CA_FILE}",
            f"--cluster-signing-cert-file={CA_FILE}",
            f"--cluster-signing-key-file={CA_KEY_FILE}",
            f"--flex-volume-plugin-dir={FOLDER / 'volume-plugins'}",
            # A third of the default, for people who watch it.
            "--horizontal-pod-autoscaler-sync-period=5s",
        ],
    )


def scheduler() -> Daemon:
    """What finds a node for a pod."""
    return daemon(
        SOURCE.programs / "kube-scheduler",
        [
            *_calling(SCHEDULER),
            *_serving(SCHEDULER),
            "--bind-address=127.0.0.1",
            f"--secure-port={SCHEDULER_PORT}",
            "--leader-elect=false",
        ],
    )


def _serving(identity: Identity) -> tuple[str, ...]:
    return f"--tls-cert-file={identity.certificate_file}", f"--tls-private-key-file={identity.key_file}"


def _calling(identity: Identity) -> tuple[str, ...]:
    file = identity.kubeconfig_file
    return (
        f"--kubeconfig={file}",
        f"--authentication-kubeconfig={file}",
        f"--authorization-kubeconfig={file}",
        f"--client-ca-file={CA_FILE}",
        # All there is to look up is the certificate of an aggregated API server's proxy, and there is none.
        "--authentication-skip-lookup",
    )
