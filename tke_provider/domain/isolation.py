"""A closed namespace: pods reach, and are reached by, only what the release spec names.

NetworkPolicy needs a network that enforces it: on TKE the add-on, https://cloud.tencent.com/document/product/457/19793.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.domain.pods import PORT, SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.specs import Environment, Isolation, Service, Spec

_DNS_PORTS = ({"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53})
_EVERYWHERE = ("0.0.0.0/0", "::/0")


def closed(spec: Spec, environment: Environment) -> list[Manifest]:
    """Return the quota and the rules of a namespace; none where the spec asks for no isolation.

    A service with manifests of its own has labels that only its author knows: its author opens the way to it.
    """
    given = environment.isolation
    if given is None:
        return []
    objects = [
        _policy("default-deny", {}, ingress=[], egress=[]),
        _policy("allow-dns", {}, egress=[{"ports": _DNS_PORTS}]),
    ]
    if given.quota:
        objects.append(_quota(given))
    if given.allow_to:
        objects.append(_policy("allow-to", {}, egress=[{"to": _blocks(given.allow_to)}]))
    for service in spec.services:
        if service.workload:
            objects += _rules(spec, service, environment, given)
    return objects


def _rules(spec: Spec, service: Service, environment: Environment, given: Isolation) -> list[Manifest]:
    """Return who may reach a service, and, from the other side, whom its dependents may reach."""
    workload = service.workload[environment.name]
    dependents = [_pods(each.name) for each in spec.dependents(service.name) if each.workload]
    ports = [{"port": PORT}]
    allowed = [*dependents, *_blocks(given.allow_from)]
    if workload.load_balancer or workload.ingress:
        allowed += _blocks(_EVERYWHERE)
    ingress: list[dict[str, Any]] = [{"from": allowed, "ports": ports}] if allowed else []
    if workload.metrics:
        ingress.append(
            {"from": [{"namespaceSelector": {}}], "ports": [{"port": workload.metrics.port or workload.container_port}]}
        )
    made = [_policy(f"to-{service.name}", {SERVICE: service.name}, ingress=ingress)] if ingress else []
    if needs := [_pods(each) for each in service.depends_on]:
        made.append(_policy(f"from-{service.name}", {SERVICE: service.name}, egress=[{"to": needs}]))
    return made


def _quota(given: Isolation) -> Manifest:
    hard = {name: str(amount) for name, amount in given.quota.items()}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota"}, "spec": {"hard": hard}}


def _policy(name: str, labels: dict[str, str], **rules: Any) -> Manifest:
    """Return a policy; a direction with no rule is closed, one that is not named stays as it is."""
    types = [direction.capitalize() for direction in rules]
    spec = {"podSelector": {"matchLabels": labels}, "policyTypes": types, **rules}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": spec,
    }


def _pods(service: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {SERVICE: service}}}


def _blocks(ranges: Iterable[str]) -> list[dict[str, Any]]:
    return [{"ipBlock": {"cidr": each}} for each in ranges]
