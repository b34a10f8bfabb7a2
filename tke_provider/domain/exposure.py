"""How a service is reached: inside the cluster, through a load balancer (CLB), or under a host name.

The annotations are TKE's: https://cloud.tencent.com/document/product/457/51258 (Service) and
https://cloud.tencent.com/document/product/457/56112 (Ingress).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tke_provider.domain.pods import PORT, SERVICE

if TYPE_CHECKING:
    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.workloads import Workload

QCLOUD = "qcloud"
"""The class of Ingress that TKE serves by a CLB."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancer:
    """A CLB in front of the service."""

    subnet: str | None = None
    existing: str | None = None
    direct: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ingress:
    """A host name that the service is reached by.

    :param class_name: of the Ingress; ``qcloud`` is TKE's own, to which alone the CLB's options apply.
    """

    host: str
    path: str = "/"
    tls: str | None = None
    class_name: str = QCLOUD
    subnet: str | None = None
    existing: str | None = None
    direct: bool = True


def service_of(workload: Workload, name: str, port: int) -> Manifest:
    """Return the Service; the CLB's id, which TKE writes on it, is left alone by server-side apply."""
    metadata: dict[str, Any] = {"name": name}
    spec: dict[str, Any] = {
        "selector": {SERVICE: name},
        "ports": [{"name": PORT, "port": port, "targetPort": PORT}],
    }
    balancer, ingress = workload.load_balancer, workload.ingress
    if balancer:
        spec["type"] = "LoadBalancer"
        metadata["annotations"] = _annotations(
            {
                "service.kubernetes.io/tke-existed-lbid": balancer.existing,
                "service.kubernetes.io/qcloud-loadbalancer-internal-subnetid": balancer.subnet,
                "service.cloud.tencent.com/direct-access": "true" if balancer.direct else None,
                # Open connections to a pod that ends are left to their end.
                "service.cloud.tencent.com/enable-grace-shutdown": "true" if balancer.direct else None,
            }
        )
    elif ingress and ingress.class_name == QCLOUD and not ingress.direct:
        spec["type"] = "NodePort"  # what the load balancer sends to
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def ingress_of(workload: Workload, name: str, port: int) -> Manifest | None:
    """Return the Ingress."""
    given = workload.ingress
    if given is None:
        return None
    backend = {"service": {"name": name, "port": {"number": port}}}
    rule = {"host": given.host, "http": {"paths": [{"path": given.path, "pathType": "Prefix", "backend": backend}]}}
    spec: dict[str, Any] = {"rules": [rule]}
    metadata: dict[str, Any] = {"name": name}
    if given.class_name == QCLOUD:
        metadata["annotations"] = _of_clb(given)
    else:
        spec["ingressClassName"] = given.class_name
    if given.tls:
        spec["tls"] = [{"hosts": [given.host], "secretName": given.tls}]
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}


def _of_clb(given: Ingress) -> dict[str, str]:
    return _annotations(
        {
            "kubernetes.io/ingress.class": QCLOUD,
            "kubernetes.io/ingress.existLbId": given.existing,
            "kubernetes.io/ingress.subnetId": given.subnet,
            "ingress.cloud.tencent.com/direct-access": "true" if given.direct else None,
            "ingress.cloud.tencent.com/enable-grace-shutdown": "true" if given.direct else None,
        }
    )


def _annotations(given: dict[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in given.items() if value}
