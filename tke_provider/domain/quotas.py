"""Resource quotas: how many pods more a namespace has room for.

https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tke_provider.domain.manifests import Manifest

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITY = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?P<unit>[numkMGTPE]|[KMGTPE]i)?")
_POWERS = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
# In a quota, a resource's bare name means its requests.
_RESOURCES = {
    "cpu": ("requests", "cpu"),
    "memory": ("requests", "memory"),
    "requests.cpu": ("requests", "cpu"),
    "requests.memory": ("requests", "memory"),
    "limits.cpu": ("limits", "cpu"),
    "limits.memory": ("limits", "memory"),
}


def amount(quantity: object) -> Decimal:
    """Read a quantity of Kubernetes, such as ``500m`` or ``2Gi``.

    :raises ValueError: when it is none.
    """
    found = _QUANTITY.fullmatch(str(quantity))
    if not found:
        raise ValueError(f"{quantity!r} is no quantity")
    number, unit = Decimal(found["number"]), found["unit"] or ""
    if unit.endswith("i"):
        return number * Decimal(1024) ** " KMGTPE".index(unit[0])
    return number.scaleb(_POWERS.get(unit, 0))


def room(quotas: Iterable[Manifest], pod: Mapping[str, object]) -> tuple[int, str] | None:
    """Return how many pods more the quotas allow, and which one decides; none where no quota counts such pods.

    Quotas of certain pods only (scopes) are left out: whether they count these is for the cluster to say.

    :param pod: the pods' ``spec``.
    """
    found = [
        (allowed, f"quota {quota['metadata']['name']} ({name} {status['used'].get(name, 0)} of {hard})")
        for quota in quotas
        if not any((quota.get("spec") or {}).get(key) for key in ("scopes", "scopeSelector"))
        for status in [{"hard": {}, "used": {}, **(quota.get("status") or {})}]
        for name, hard in status["hard"].items()
        if (allowed := _allowed(name, hard, status["used"].get(name, 0), pod)) is not None
    ]
    return min(found, default=None)


def _allowed(name: str, hard: object, used: object, pod: Mapping[str, object]) -> int | None:
    one = Decimal(1) if name in {"pods", "count/pods"} else _asked(pod, *_RESOURCES.get(name, ("", "")))
    return max(0, int((amount(hard) - amount(used)) // one)) if one else None


def _asked(pod: Mapping[str, object], what: str, resource: str) -> Decimal:
    """Return what one pod asks for: of all its containers, or of the greediest one that comes before them."""
    together = sum(_each(pod, "containers", what, resource), Decimal(0))
    return max(together, *_each(pod, "initContainers", what, resource), Decimal(0))


def _each(pod: Mapping[str, object], containers: str, what: str, resource: str) -> Iterator[Decimal]:
    listed = pod.get(containers)
    for container in listed if isinstance(listed, list) else ():
        resources = container.get("resources") or {}
        # A limit without a request is the request, too.
        asked = (resources.get(what) or {}).get(resource) or (resources.get("limits") or {}).get(resource)
        if asked is not None:
            yield amount(asked)
