"""Who is who in the cluster: each program's certificate and kubeconfig, and the administrator's."""

from __future__ import annotations

import base64
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from local.endpoints import KUBECONFIG_FILE
from local.kubernetes import ADDRESS, API_SERVICE_ADDRESS, API_URL, DOMAIN, FOLDER, NODE
from local.kubernetes.certificates import Authority, Pair, signing_pair
from local.registry import write_secret

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PKI = FOLDER / "pki"
CA_FILE = PKI / "ca.crt"
CA_KEY_FILE = PKI / "ca.key"
SERVICE_ACCOUNT_KEY_FILE = PKI / "service-account.key"
SERVICE_ACCOUNT_PUBLIC_FILE = PKI / "service-account.pub"

_LOOPBACK = ("127.0.0.1", "localhost")
_API_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}")


@dataclass(frozen=True)
class Identity:
    """A program and the Kubernetes user it acts as.

    The API server's authorizer knows the ``system:`` users by these names
    (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#core-component-roles).
    """

    program: str
    user: str
    groups: Sequence[str] = ()
    addresses: Sequence[str] = ()

    @property
    def certificate_file(self) -> Path:
        """Its certificate, as PEM."""
        return PKI / f"{self.program}.crt"

    @property
    def key_file(self) -> Path:
        """Its private key, as PEM."""
        return PKI / f"{self.program}.key"

    @property
    def kubeconfig_file(self) -> Path:
        """How it reaches the API server."""
        return KUBECONFIG_FILE if self.program == "admin" else PKI / f"{self.program}.kubeconfig"


ETCD = Identity("etcd", "etcd", addresses=_LOOPBACK)
API_SERVER = Identity(
    "kube-apiserver", "kube-apiserver", ("system:masters",), (ADDRESS, API_SERVICE_ADDRESS, *_LOOPBACK, *_API_NAMES)
)
CONTROLLER_MANAGER = Identity("kube-controller-manager", "system:kube-controller-manager", addresses=_LOOPBACK)
SCHEDULER = Identity("kube-scheduler", "system:kube-scheduler", addresses=_LOOPBACK)
KUBELET = Identity("kubelet", f"system:node:{NODE}", ("system:nodes",), (ADDRESS, NODE))
PROXY = Identity("kube-proxy", "system:kube-proxy")
DNS = Identity("coredns", "system:coredns")
ADMIN = Identity("admin", "admin", ("system:masters",))

IDENTITIES = (ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER, KUBELET, PROXY, DNS, ADMIN)


def ensure_identities() -> None:
    """Make the authority and every certificate and kubeconfig, unless they are all there.

    They outlive ``down``: whoever holds a kubeconfig need not fetch it again.
    """
    if all(identity.kubeconfig_file.exists() for identity in IDENTITIES):
        return
    shutil.rmtree(PKI, ignore_errors=True)
    PKI.mkdir(parents=True, mode=0o700)
    authority = Authority("airflow-provider-tke local cluster")
    CA_FILE.write_text(authority.pair.certificate)
    write_secret(CA_KEY_FILE, authority.pair.key)
    private, public = signing_pair()
    write_secret(SERVICE_ACCOUNT_KEY_FILE, private)
    SERVICE_ACCOUNT_PUBLIC_FILE.write_text(public)
    for identity in IDENTITIES:
        pair = authority.issue(identity.user, identity.groups, identity.addresses)
        identity.certificate_file.write_text(pair.certificate)
        write_secret(identity.key_file, pair.key)
        write_secret(identity.kubeconfig_file, kubeconfig(API_URL, authority.pair.certificate, identity.user, pair))


def kubeconfig(server: str, authority: str, user: str, pair: Pair) -> str:
    """A kubeconfig that needs no other file.

    :param server: URL of the API server.
    :param authority: the certificate, as PEM, that the server's is signed with.
    :param user: what the entry is called.
    :param pair: what the user proves itself with.
    """
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": NODE, "cluster": {"server": server, "certificate-authority-data": _base64(authority)}},
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _base64(pair.certificate),
                    "client-key-data": _base64(pair.key),
                },
            },
        ],
        "contexts": [{"name": NODE, "context": {"cluster": NODE, "user": user}}],
        "current-context": NODE,
    }
    return yaml.safe_dump(document, sort_keys=False)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
