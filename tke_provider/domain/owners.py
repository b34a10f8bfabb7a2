"""Owners: which autoscaler writes the size of a workload, and the change to its bounds that moves it."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tke_provider.domain.scaling import Bounds, owned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tke_provider.domain.manifests import Manifest


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """Whoever writes the size of a workload.

    :param bounds: between which it moves the size; none where setting some would not move it.
    :param paused: the annotation by which somebody has told it to stand still.
    """

    api_version: str
    kind: str
    name: str
    bounds: Bounds | None = None
    paused: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}{self.paused and f', paused by its annotation {self.paused}'}"


@dataclasses.dataclass(frozen=True, slots=True)
class _Autoscaler:
    """Where a kind of autoscaler keeps what it scales, and its bounds with their defaults."""

    target: str
    minimum: tuple[str, int] | None = None
    maximum: tuple[str, int] | None = None


# Sources: Kubernetes API reference, autoscaling/v2; keda.sh, ScaledObject specification; Tencent Cloud document
# 457/40956 on HorizontalPodCronscaler. The first writes through the last, and the second may, so their order counts.
_AUTOSCALERS = {
    "ScaledObject": _Autoscaler("scaleTargetRef", ("minReplicaCount", 0), ("maxReplicaCount", 100)),
    "HorizontalPodCronscaler": _Autoscaler("scaleTarget"),
    "HorizontalPodAutoscaler": _Autoscaler("scaleTargetRef", ("minReplicas", 1), ("maxReplicas", 1)),
}
AUTOSCALER_KINDS: tuple[tuple[str, str], ...] = (
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("autoscaling.cloud.tencent.com/v1", "HorizontalPodCronscaler"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
)
"""API version and kind of everything known to write the size of a workload."""

# keda.sh, "Pause autoscaling": KEDA removes its HPA, sets the size that the first of them names, and then lets it be.
_PAUSED = ("autoscaling.keda.sh/paused-replicas", "autoscaling.keda.sh/paused")
# As Go's ParseBool reads it, KEDA takes all else for true.
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def find_owner(kind: str, name: str, autoscalers: Iterable[Manifest]) -> Owner | None:
    """Return who writes the size of a workload, or the bounds of an HPA; nothing when nobody does.

    Where one autoscaler writes through another (KEDA makes an HPA; a HorizontalPodCronscaler may move the bounds of
    one), the outermost is the owner, because it undoes what is written further in.

    :param autoscalers: live objects of ``AUTOSCALER_KINDS`` in the workload's namespace.
    """
    targets = {(kind.lower(), name)}
    inner_first = sorted(autoscalers, key=lambda each: list(_AUTOSCALERS).index(each["kind"]), reverse=True)
    owner, makers = None, set[tuple[str, str]]()
    for autoscaler in inner_first:
        itself = _itself(autoscaler)
        if _target(autoscaler) in targets or itself in makers:
            owner = owner_of(autoscaler)
            targets.add(itself)
        if itself in targets:
            makers.update(_makers(autoscaler))
    return owner


class Autoscalers:
    """The autoscalers of one namespace, of which each workload's are found without a look at all the others.

    :param live: objects of ``AUTOSCALER_KINDS``.
    """

    def __init__(self, live: Iterable[Manifest]) -> None:
        self._about: dict[tuple[str, str], list[Manifest]] = defaultdict(list)
        for each in live:
            self._about[_itself(each)].append(each)
            self._about[_target(each)].append(each)

    def owner(self, kind: str, name: str) -> Owner | None:
        """Return as :func:`find_owner` does."""
        seen: dict[tuple[str, str], Manifest] = {}
        to_see = [(kind.lower(), name)]
        while to_see:
            for each in self._about.get(to_see.pop(), ()):
                if (itself := _itself(each)) not in seen:
                    seen[itself] = each
                    to_see += [itself, *_makers(each)]
        return find_owner(kind, name, seen.values())


def floor(owner: Owner, size: int, target: str) -> dict[str, Any]:
    """Return the change to its owner that keeps a workload at a size or above.

    :raises OwnedError: when the owner has no lower bound that could be set.
    :raises InputError: when the size lies above the upper bound, which this never raises by itself.
    """
    minimum = _AUTOSCALERS[owner.kind].minimum
    if owner.bounds is None or minimum is None:
        raise owned(target, owner)
    Bounds(0, owner.bounds.maximum).check(size, f"{owner} of {target}")
    return {"spec": {minimum[0]: size}}


def bound(owner: Owner, bounds: Bounds, target: str) -> dict[str, Any]:
    """Return the change to its owner that keeps a workload within bounds.

    :raises OwnedError: when the owner has no bounds that could be set.
    """
    shape = _AUTOSCALERS[owner.kind]
    if owner.bounds is None or shape.minimum is None or shape.maximum is None:
        raise owned(target, owner)
    return {"spec": {shape.minimum[0]: bounds.minimum, shape.maximum[0]: bounds.maximum}}


def owner_of(autoscaler: Manifest) -> Owner:
    """Read an object of ``AUTOSCALER_KINDS``."""
    shape, spec, paused = _AUTOSCALERS[autoscaler["kind"]], autoscaler["spec"], _paused(autoscaler)
    bounds = None
    if shape.minimum and shape.maximum and not paused:
        bounds = Bounds(*(spec.get(field, default) for field, default in (shape.minimum, shape.maximum)))
    return Owner(autoscaler["apiVersion"], autoscaler["kind"], autoscaler["metadata"]["name"], bounds, paused)


def _itself(autoscaler: Manifest) -> tuple[str, str]:
    return autoscaler["kind"].lower(), autoscaler["metadata"]["name"]


def _target(autoscaler: Manifest) -> tuple[str, str]:
    reference = autoscaler["spec"].get(_AUTOSCALERS[autoscaler["kind"]].target, {})
    return reference.get("kind", "Deployment").lower(), reference.get("name", "")


def _makers(autoscaler: Manifest) -> Iterator[tuple[str, str]]:
    for reference in autoscaler["metadata"].get("ownerReferences") or ():
        yield reference["kind"].lower(), reference["name"]


def _paused(autoscaler: Manifest) -> str:
    if autoscaler["kind"] != "ScaledObject":
        return ""
    annotations = autoscaler["metadata"].get("annotations") or {}
    at, still = _PAUSED
    if at in annotations:
        return at
    return still if annotations.get(still, "false") not in _FALSE else ""
