"""The Ingress that gives a canary its share of the requests, where ingress-nginx serves.

TKE documents the way: https://www.tencentcloud.com/document/product/457/38413. What the annotations mean, that all but
a few others of a canary are ignored in favour of the main Ingress's, and that a rule has one canary at most, is said by
ingress-nginx: https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/#canary.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tke_provider.domain.manifests import ObjectRef, annotation
from tke_provider.domain.tracks import TRACK, is_second, named
from tke_provider.exceptions import ManifestError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from tke_provider.domain.manifests import Manifest

API_VERSION = "networking.k8s.io/v1"
INGRESS, INGRESS_CLASS = "Ingress", "IngressClass"

_NGINX = "nginx.ingress.kubernetes.io/"
WEIGHT = f"{_NGINX}canary-weight"
"""Percent of the requests that the canary's Ingress takes."""
_CANARY = f"{_NGINX}canary"
_OF_ITS_OWN = ("load-balance", "upstream-hash-by", "affinity", "session-cookie-")
"""What begins like this counts on a canary's Ingress too."""
_CLASS = "kubernetes.io/ingress.class"


def class_of(ingress: Manifest) -> str:
    """Return the name of its class; empty where it leaves that to the cluster."""
    return str(ingress["spec"].get("ingressClassName") or annotation(ingress, _CLASS))


def routed_to(ingresses: Iterable[Manifest], services: Collection[str]) -> list[Manifest]:
    """Return those that lead to any of the Services, by name; no canary's."""
    found = [each for each in ingresses if not _is_canary(each) and any(name in services for *_, name in _routes(each))]
    return sorted(found, key=lambda ingress: str(ingress["metadata"]["name"]))


def led_to(ingresses: Iterable[Manifest], services: Sequence[Manifest]) -> list[Manifest]:
    """Return the Services that any of the Ingresses names."""
    names = {name for ingress in ingresses for *_, name in _routes(ingress)}
    return [each for each in services if each["metadata"]["name"] in names]


def check_class(ingress: Manifest, ingress_class: Manifest | None) -> None:
    """Refuse an Ingress that is not ingress-nginx's: any other controller passes the weight over.

    :param ingress_class: the IngressClass that it names, if there is one.
    :raises ManifestError: naming class and controller.
    """
    controller = str(((ingress_class or {}).get("spec") or {}).get("controller", ""))
    if "ingress-nginx" in controller:
        return
    name = class_of(ingress)
    seen = (
        f"its class {name!r} is that of controller {controller}" if controller else f"there is no IngressClass {name!r}"
    )
    raise ManifestError(
        f"{ObjectRef.of(ingress)} is not served by ingress-nginx, so it knows no weights",
        cause=seen if name else "it names no class, so TKE serves it by a CLB",
        way_out="name an IngressClass whose controller is k8s.io/ingress-nginx, or write traffic='clb' or 'replicas'",
    )


def check_rivals(ingresses: Iterable[Manifest], of: Sequence[Manifest], services: Collection[str]) -> None:
    """Refuse rules that have a canary of somebody else's already: of two, ingress-nginx passes one over.

    :param of: the Ingresses that are to get a canary.
    :raises ManifestError: naming the other one.
    """
    ours = {(host, path) for each in of for host, path, name in _routes(each) if name in services}
    for each in ingresses:
        if _is_canary(each) and not is_second(each) and any((host, path) in ours for host, path, _ in _routes(each)):
            raise ManifestError(
                f"{ObjectRef.of(each)} is a canary of the same rules already, and they can have one only",
                way_out="delete it, or write traffic='replicas'",
            )


def canary_of(ingress: Manifest, services: Collection[str], track: str) -> Manifest:
    """Return the Ingress that takes a share of what another one leads to these Services, at first none.

    Each Service's share goes to the one that is called like it, with the track at the end.
    """
    metadata, spec = ingress["metadata"], ingress["spec"]
    own = {key: value for key, value in (metadata.get("annotations") or {}).items() if _is_own(key)}
    made: dict[str, Any] = {"rules": list(_rules(spec, services, track))}
    if name := spec.get("ingressClassName"):
        made["ingressClassName"] = name
    if _service(spec.get("defaultBackend")) in services:
        made["defaultBackend"] = _renamed(spec["defaultBackend"], track)
    return {
        "apiVersion": API_VERSION,
        "kind": INGRESS,
        "metadata": {
            "name": named(metadata["name"], track),
            "namespace": metadata["namespace"],
            "labels": {TRACK: track},
            "annotations": {**own, _CANARY: "true", WEIGHT: "0"},
        },
        "spec": {key: value for key, value in made.items() if value},
    }


def weighing(ingress: Manifest, weight: int) -> Manifest:
    """Return a canary's Ingress with another weight, in percent."""
    changed = copy.deepcopy(ingress)
    changed["metadata"]["annotations"][WEIGHT] = str(weight)
    return changed


def weight_of(live: Manifest | None) -> str:
    """Return what a canary's Ingress takes, in percent; empty where there is none."""
    return annotation(live, WEIGHT) if live else ""


def _is_own(key: str) -> bool:
    return key == _CLASS or key.startswith(tuple(_NGINX + each for each in _OF_ITS_OWN))


def _is_canary(ingress: Manifest) -> bool:
    return annotation(ingress, _CANARY) == "true"


def _routes(ingress: Manifest) -> Iterator[tuple[str, str, str]]:
    """Yield host, path and Service of each rule."""
    spec = ingress["spec"]
    if "defaultBackend" in spec:
        yield "", "", _service(spec["defaultBackend"])
    for rule in spec.get("rules") or ():
        for path in (rule.get("http") or {}).get("paths") or ():
            yield rule.get("host", ""), path.get("path", ""), _service(path["backend"])


def _rules(spec: Mapping[str, Any], services: Collection[str], track: str) -> Iterator[dict[str, Any]]:
    for rule in spec.get("rules") or ():
        paths = [
            {**path, "backend": _renamed(path["backend"], track)}
            for path in (rule.get("http") or {}).get("paths") or ()
            if _service(path["backend"]) in services
        ]
        if paths:
            yield {**rule, "http": {"paths": paths}}


def _service(backend: Mapping[str, Any] | None) -> str:
    return str(((backend or {}).get("service") or {}).get("name", ""))


def _renamed(backend: Mapping[str, Any], track: str) -> dict[str, Any]:
    return {"service": {**backend["service"], "name": named(backend["service"]["name"], track)}}
