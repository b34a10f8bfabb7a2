"""HPAs: what they look at by TKE's names, and whether they get to see it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, TypedDict

from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.rehearsals import Line
from tke_provider.domain.verdicts import Verdict, passed, pending
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.scaling import Bounds

API_VERSION, KIND = "autoscaling/v2", "HorizontalPodAutoscaler"

# Tencent Cloud document 457/38929, "HPA metrics". Both are what the pods of a service send and receive in a second.
NETWORK = {
    "network_in": "k8s_pod_network_receive_bytes_bw",
    "network_out": "k8s_pod_network_transmit_bytes_bw",
}
RESOURCES = ("cpu", "memory")

# Kubernetes documentation, "Quantity": digits, and a decimal or binary suffix.
_QUANTITY = re.compile(r"\d+(\.\d+)?([munkMGTPE]|[KMGTPE]i)?")
_METRIC = re.compile(r"[a-z_][a-z0-9_:./-]*")


class Autoscaler(TypedDict):
    """An HPA as it lies in XCom.

    ``name`` names it, ``minimum`` and ``maximum`` are its bounds, ``metrics`` what it looks at: name to target.
    """

    name: str
    minimum: int
    maximum: int
    metrics: dict[str, str]
    reason: str


def manifest(
    ref: ObjectRef,
    target: ObjectRef,
    bounds: Bounds,
    metrics: Mapping[str, object],
    behavior: Mapping[str, Any] | None = None,
) -> Manifest:
    """Return an HPA.

    :param ref: of the HPA.
    :param target: the workload that it sizes.
    :param metrics: name to target for the average pod: ``cpu`` and ``memory`` in per cent of what its containers
        request, ``network_in`` and ``network_out`` and every other name in the metric's own unit.
    :param behavior: as in ``autoscaling/v2``.
    :raises InputError: when there is no metric, or a name or target makes no sense.
    """
    if not metrics:
        raise InputError(f"{ref} would look at nothing", way_out="give at least one metric, such as cpu")
    if bounds.minimum < 1:
        raise InputError(f"{ref} cannot go down to {bounds.minimum}", way_out="give a minimum of 1 or more")
    spec = {
        "scaleTargetRef": {"apiVersion": target.api_version, "kind": target.kind, "name": target.name},
        "minReplicas": bounds.minimum,
        "maxReplicas": bounds.maximum,
        "metrics": [_metric(name, value) for name, value in metrics.items()],
        **({"behavior": dict(behavior)} if behavior else {}),
    }
    metadata = {"name": ref.name, "namespace": ref.namespace}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}


def assess(live: Manifest) -> Verdict:
    """Return whether an HPA sees every metric that it looks at; else why not, in its own words."""
    ref = ObjectRef.of(live)
    status = live.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    for kind in ("AbleToScale", "ScalingActive"):
        condition = conditions.get(kind)
        if condition is None:
            return pending(f"{ref} was not looked after yet")
        if condition["status"] != "True":
            return pending(f"{ref} does not scale: {condition.get('reason', '')}: {condition.get('message', '')}")
    seen = {_name(each) for each in status.get("currentMetrics") or ()}
    wanted = [_name(each) for each in live["spec"]["metrics"]]
    if blind := [name for name in wanted if name not in seen]:
        return pending(f"{ref} has no value of {', '.join(blind)} yet")
    return passed(f"{ref} sees {', '.join(wanted)}")


def metrics_of(live: Manifest) -> dict[str, str]:
    """Return what an HPA looks at: name to target, as Kubernetes writes it."""
    found = {}
    for each in live["spec"]["metrics"]:
        target = next(value["target"] for value in each.values() if isinstance(value, dict))
        percent = target.get("averageUtilization")
        found[_name(each)] = f"{percent}%" if percent is not None else str(target.get("averageValue", ""))
    return found


def compare(live: Manifest | None, wanted: Manifest) -> Line:
    """Return what would become of an HPA: its bounds, and what it looks at.

    :param wanted: as the cluster would have it.
    """
    before, after = _shown(live), _shown(wanted)
    if live and before == after and live["spec"].get("behavior") != wanted["spec"].get("behavior"):
        after += ", at another pace"
    return Line(ref=str(ObjectRef.of(wanted)), before=before, after=after, why="as asked for")


def _shown(live: Manifest | None) -> str:
    if live is None:
        return "none"
    metrics = ", ".join(f"{name} {target}" for name, target in metrics_of(live).items())
    return f"{live['spec'].get('minReplicas', 1)}..{live['spec']['maxReplicas']} by {metrics}"


def _metric(name: str, target: object) -> dict[str, Any]:
    if name in RESOURCES:
        percent = str(target).removesuffix("%").strip()
        if not (percent.isascii() and percent.isdigit() and int(percent)):
            raise InputError(
                f"The target for {name} is {target!r}", way_out="give a whole number of per cent, as in 60"
            )
        aim: dict[str, Any] = {"type": "Utilization", "averageUtilization": int(percent)}
        return {"type": "Resource", "resource": {"name": name, "target": aim}}
    if not _METRIC.fullmatch(name):
        raise InputError(
            f"{name!r} is no metric", way_out=f"name {', '.join((*RESOURCES, *NETWORK))}, or one of TKE's, k8s_pod_…"
        )
    aim = {"type": "AverageValue", "averageValue": _quantity(name, target)}
    return {"type": "Pods", "pods": {"metric": {"name": NETWORK.get(name, name)}, "target": aim}}


def _quantity(name: str, target: object) -> str:
    text = str(target).strip()
    # Kubernetes would take 1e3 for it, but not 1E3 or 1000.0.
    if isinstance(target, float) and math.isfinite(target) and target == int(target):
        text = str(int(target))
    if not _QUANTITY.fullmatch(text) or not re.search("[1-9]", text):
        raise InputError(
            f"The target for {name} is {target!r}", way_out="give a quantity of more than zero, as in 500k"
        )
    return text


def _name(metric: Mapping[str, Any]) -> str:
    body: dict[str, Any] = next((value for value in metric.values() if isinstance(value, dict)), {})
    return str(body.get("name") or body.get("metric", {}).get("name", ""))
