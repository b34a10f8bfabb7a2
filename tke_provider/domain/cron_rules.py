"""The rules of a live ``HorizontalPodCronscaler``, each of which a plan sizes like an object of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tke_provider.domain.manifests import ObjectRef, annotation
from tke_provider.domain.operations import OPERATION
from tke_provider.domain.plans import USUAL, Size, read_size, show_size
from tke_provider.domain.scaling import Bounds
from tke_provider.exceptions import NotFoundError, TkeError

if TYPE_CHECKING:
    from tke_provider.domain.manifests import Manifest


def rule_sizes(scaler: Manifest) -> dict[str, Size]:
    """Return the size that each rule gives: of a workload a number, of an HPA its bounds."""
    return {str(rule["name"]): _size(rule) for rule in scaler["spec"].get("crons") or ()}


def usual_sizes(scaler: Manifest) -> dict[str, Size]:
    """Return the usual sizes that are recorded, by the rule; what cannot be read counts as not recorded."""
    try:
        return {name: read_size(size) for name, size in json.loads(annotation(scaler, USUAL) or "{}").items()}
    except (AttributeError, TkeError, ValueError):
        return {}


def target_of(scaler: Manifest) -> str:
    """Return the name of the workload or HPA that it scales."""
    return str((scaler["spec"].get("scaleTarget") or {}).get("name", ""))


def resized(scaler: Manifest, name: str, size: Size, usual: Size | None, operation: str) -> dict[str, Any]:
    """Return the one patch that gives a rule its size, says who did, and keeps the usual size while it is left.

    A list is only patched as a whole, so the patch holds for the very object that was read.

    :param usual: what to record; none where the rule is back at it.
    :raises NotFoundError: when the rule is gone.
    """
    rules = [dict(rule) for rule in scaler["spec"].get("crons") or ()]
    if name not in {rule["name"] for rule in rules}:
        raise NotFoundError(f"{ObjectRef.of(scaler)} has no rule {name} any more", way_out="correct the plan")
    for rule in rules:
        if rule["name"] == name:
            rule.update(_fields(size))
    recorded = {rule: show_size(each) for rule, each in usual_sizes(scaler).items() if rule != name}
    if usual is not None:
        recorded[name] = show_size(usual)
    marks = {OPERATION: operation, USUAL: json.dumps(recorded, sort_keys=True) if recorded else None}
    version = scaler["metadata"]["resourceVersion"]
    return {"metadata": {"annotations": marks, "resourceVersion": version}, "spec": {"crons": rules}}


def _fields(size: Size) -> dict[str, int]:
    return {"minSize": size.minimum, "maxSize": size.maximum} if isinstance(size, Bounds) else {"targetSize": size}


def _size(rule: Manifest) -> Size:
    if "targetSize" in rule:
        return int(rule["targetSize"])
    return Bounds(int(rule.get("minSize") or 0), int(rule.get("maxSize") or rule.get("minSize") or 0))
