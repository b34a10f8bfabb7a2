"""Weights behind a CLB, by which the pods of a canary get their share of the requests.

Documented, https://cloud.tencent.com/document/practice/457/128647: the annotation ``custom-weight`` of a pod is its
weight behind a Service or an Ingress that a CLB serves, given that the CLB sends to pods directly, and that the
controller is new enough. Which one runs, a ConfigMap of ``kube-system`` says
(https://cloud.tencent.com/document/product/457/51258). A CLB's weights go from 0 to 100
(https://www.tencentcloud.com/document/product/214/1264).

Not documented: what a pod weighs that has no such annotation beside one that has, and whether a change of a running
pod's annotation is followed. So neither is relied on: the pods that serve have to name their weight, and those of the
canary are made anew with theirs at each step.
"""

from __future__ import annotations

import copy
import math
import re
from typing import TYPE_CHECKING, NamedTuple

from tke_provider.domain.exposure import QCLOUD
from tke_provider.domain.ingresses import INGRESS, class_of
from tke_provider.domain.manifests import ObjectRef, annotation
from tke_provider.exceptions import InputError, ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tke_provider.domain.manifests import Manifest

SHARE = "tke.airflow/share"
"""Annotation of a canary: the step, in percent, that its pods were weighed for."""
_MOST = 100


class Controller(NamedTuple):
    """What serves a kind by CLBs, and the annotations that it knows.

    :param weight: of a pod.
    :param direct: of the object: whether its CLB sends to pods directly.
    :param taken: of the object: weights that somebody else writes.
    :param config: the ConfigMap that says which version runs.
    :param since: the first version that knows ``weight``.
    """

    weight: str
    direct: str
    taken: str
    config: str
    since: tuple[int, ...]


CONTROLLERS = {
    kind: Controller(
        f"{kind.lower()}.cloud.tencent.com/custom-weight",
        f"{kind.lower()}.cloud.tencent.com/direct-access",
        f"{kind.lower()}.cloud.tencent.com/lb-rs-weight",
        f"tke-{kind.lower()}-controller-config",
        since,
    )
    for kind, since in (("Service", (2, 4, 0)), (INGRESS, (2, 6, 0)))
}


def balanced(services: Iterable[Manifest], ingresses: Iterable[Manifest]) -> list[Manifest]:
    """Return those of them that TKE serves by a CLB."""
    found = [each for each in services if each["spec"].get("type") == "LoadBalancer"]
    return found + [each for each in ingresses if class_of(each) in {"", QCLOUD}]


def check_balanced(front: Manifest) -> None:
    """Refuse a Service or Ingress whose CLB would not go by the pods' weights.

    :raises ManifestError: when it sends to nodes, or its weights have another writer.
    """
    controller, ref = CONTROLLERS[front["kind"]], ObjectRef.of(front)
    if annotation(front, controller.direct) != "true":
        raise ManifestError(
            f"The CLB of {ref} sends to nodes, whose pods it cannot weigh",
            way_out=f"annotate it with {controller.direct}: \"true\", or write traffic='replicas'",
        )
    if annotation(front, controller.taken):
        raise ManifestError(
            f"The weights behind {ref} are written by its annotation {controller.taken}",
            way_out="remove it, or write traffic='replicas'",
        )


def check_version(kind: str, version: str) -> None:
    """Refuse a controller that passes the pods' weights over.

    :param version: as its ConfigMap says; empty where there is none.
    :raises InputError: naming the version that is needed.
    """
    controller, running = CONTROLLERS[kind], tuple(map(int, re.findall(r"\d+", version)[:3]))
    if running < controller.since:
        raise InputError(
            f"TKE's controller of {kind}s has to be {'.'.join(map(str, controller.since))} or newer to weigh pods",
            cause=f"ConfigMap kube-system/{controller.config} says {version or 'nothing'}",
            way_out="have it updated in TKE's console, or write traffic='replicas'",
        )


def weights_of(deployment: Manifest, kinds: Iterable[str] = ()) -> dict[str, int]:
    """Return what each pod of a Deployment weighs, by annotation.

    :param kinds: behind which of ``Service`` and ``Ingress`` it has to say so; default: any.
    :raises ManifestError: when its pods do not say so: what a CLB gives them then is not documented.
    """
    annotations = (deployment["spec"]["template"].get("metadata") or {}).get("annotations") or {}
    said = [kind for kind, controller in CONTROLLERS.items() if controller.weight in annotations]
    found = {}
    for kind in kinds or said or CONTROLLERS:
        key = CONTROLLERS[kind].weight
        given = str(annotations.get(key, ""))
        if not given.isdecimal() or not 0 < int(given) <= _MOST:
            raise ManifestError(
                f"The pods of {ObjectRef.of(deployment)} do not say what they weigh behind the CLB",
                cause=f"their annotation {key} is {given!r}" if given else f"they have no annotation {key}",
                way_out=f"give the pod template {key}: \"10\" by a release with traffic='replicas' first",
            )
        found[key] = int(given)
    return found


def weigh(percent: float, pods: int, weights: Mapping[str, int]) -> tuple[int, dict[str, int]]:
    """Return how many pods a canary has, and what each of them weighs, by annotation.

    ``canary * weight / (canary * weight + pods * theirs) = percent / 100``, to the nearest whole weight, at least 1. As
    many pods as bear that share at the load that each has now, or more where a weight would go beyond 100.

    :param pods: that serve.
    :param weights: of each of those, by annotation.
    """
    pods = max(1, pods)
    totals = {key: pods * each * percent / (100 - percent) for key, each in weights.items()}
    canary = max(math.ceil(part) for part in (pods * percent / 100, *(total / _MOST for total in totals.values())))
    return canary, {key: max(1, round(total / canary)) for key, total in totals.items()}


def weighed(canary: Manifest, weights: Mapping[str, int], percent: float) -> Manifest:
    """Return a canary whose pods weigh this much. The old ones go first: two weights would add up for a moment."""
    changed = copy.deepcopy(canary)
    changed["spec"]["strategy"] = {"type": "Recreate"}
    metadata, pods = changed["metadata"], changed["spec"]["template"]["metadata"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), SHARE: f"{percent:g}"}
    pods["annotations"] = {**(pods.get("annotations") or {}), **{key: str(each) for key, each in weights.items()}}
    return changed


def actual(canary: int, weights: Mapping[str, int], pods: int, theirs: Mapping[str, int]) -> float:
    """Return the largest share, in percent, that the canary gets by these weights."""
    shares = (canary * each / (canary * each + max(1, pods) * theirs[key]) for key, each in weights.items())
    return max(shares) * 100
