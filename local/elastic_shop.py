"""The sample shop for the elastic loop: from its source as it stands, sized so that the node soon has no room for more.

Its pods run on the real node as long as that has room. The others wait until the pool gets a simulated node, where they
are ready at once and answer nobody: they show sizes, while the load is the real pods'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.shop import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACE = "elastic"
PORT = 8080
POOL_LABEL = "tke.cloud.tencent.com/nodepool-id"
SIMULATED = "kwok.x-k8s.io/node"


def objects(image: str, cpu: str, node: str, pool: str) -> Iterator[dict[str, Any]]:
    """Return everything to create, below the namespace.

    :param image: a Python.
    :param cpu: what each pod of the shop asks for.
    :param node: the real node.
    :param pool: id of the pool whose nodes may take pods of the shop, too.
    """
    for service in ("prices", "stock", "shop"):
        sources = {path.name: path.read_text() for path in (SAMPLE / service).glob("*.py")}
        yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": service}, "data": sources}
        spec: dict[str, Any] = {"selector": {"app": service}, "ports": [{"port": 80, "targetPort": PORT}]}
        yield {"apiVersion": "v1", "kind": "Service", "metadata": {"name": service}, "spec": spec}
        where = _elastic(node, pool) if service == "shop" else {"affinity": _only(_here(node))}
        yield _deployment(service, image, where, cpu if service == "shop" else "1m")


def _deployment(service: str, image: str, where: dict[str, Any], cpu: str) -> dict[str, Any]:
    container = {
        "name": service,
        "image": image,
        "command": ["python3", "/app/app.py"],
        "resources": {"requests": {"cpu": cpu}},
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "app", "mountPath": "/app"}],
    }
    pod = {
        "containers": [container],
        "volumes": [{"name": "app", "configMap": {"name": service}}],
        "terminationGracePeriodSeconds": 1,
        **where,
    }
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT)} if service == "shop" else {}
    template = {"metadata": {"labels": {"app": service}, "annotations": scraped}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": service}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": service}, "spec": spec}


def _elastic(node: str, pool: str) -> dict[str, Any]:
    """On the real node first, else on the pool's."""
    there = {"matchExpressions": [{"key": POOL_LABEL, "operator": "In", "values": [pool]}]}
    affinity = _only(_here(node), there)
    preferred = [{"weight": 100, "preference": _here(node)}]
    affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    return {"affinity": affinity, "tolerations": [{"key": SIMULATED, "operator": "Exists"}]}


def _only(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def _here(node: str) -> dict[str, Any]:
    return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
