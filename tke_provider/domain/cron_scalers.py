"""TKE's own ``HorizontalPodCronscaler``: sizes at times of the day, written by the cluster itself.

Fields and spelling: Tencent Cloud document 457/40956. Its clock is that of the nodes it runs on; it has no time zone.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.scaling import Bounds
from tke_provider.exceptions import InputError, OwnedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tke_provider.domain.manifests import Manifest

API_VERSION, KIND = "autoscaling.cloud.tencent.com/v1", "HorizontalPodCronscaler"
ADD_ON = "tke-hpc-controller"
# The document spells it so.
_TARGETS = {
    "Deployment": ("apps/v1", "Deployment"),
    "StatefulSet": ("apps/v1", "Statefulset"),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "HorizontalPodAutoscaler"),
}
_FIELDS = 6
TARGET_KINDS = tuple(_TARGETS)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CronRule:
    """At which times a size is written.

    :param name: of the rule, unique within its scaler.
    :param schedule: **six** cron fields: second, minute, hour, day of month, month, weekday.
    :param size: how many pods; or of an HPA its bounds.
    :param exclude: times of which the days are left out, in six fields, too, such as ``* * * 15 11 *``.
    :raises InputError: when a schedule cannot be understood.
    """

    name: str
    schedule: str
    size: int | Bounds
    exclude: Sequence[str] = ()

    def __post_init__(self) -> None:
        for each in (self.schedule, *self.exclude):
            _check(self.name, each)

    def spec(self) -> dict[str, Any]:
        """Return the rule as the cluster has it."""
        size = {"targetSize": self.size}
        if isinstance(self.size, Bounds):
            size = {"minSize": self.size.minimum, "maxSize": self.size.maximum}
        days = {"excludeDates": list(self.exclude)} if self.exclude else {}
        return {"name": self.name, "schedule": " ".join(self.schedule.split()), **size, **days}


def build(ref: ObjectRef, target: ObjectRef, rules: Sequence[CronRule]) -> dict[str, Any]:
    """Return the scaler of a workload or HPA.

    :param ref: of the scaler.
    :param target: what it scales, in the same namespace.
    :raises InputError: when there is no rule, two bear one name, or a rule has the wrong kind of size for its target.
    """
    if target.kind not in _TARGETS:
        raise InputError(f"{target} cannot be scaled by time", way_out=f"name one of {', '.join(_TARGETS)}")
    names = [rule.name for rule in rules]
    if not names or len(set(names)) < len(names):
        raise InputError(f"The rules of {ref} are {names or 'none'}", way_out="give each rule a name of its own")
    for rule in rules:
        if isinstance(rule.size, Bounds) is not (target.kind == "HorizontalPodAutoscaler"):
            wants = "bounds" if target.kind == "HorizontalPodAutoscaler" else "a number"
            raise InputError(f"Rule {rule.name} has the wrong size for {target}", way_out=f"give it {wants}")
    api_version, kind = _TARGETS[target.kind]
    aim = {"apiVersion": api_version, "kind": kind, "name": target.name, "namespace": target.namespace}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": ref.name, "namespace": ref.namespace},
        "spec": {"scaleTarget": aim, "crons": [rule.spec() for rule in rules]},
    }


def show(scaler: Manifest | None) -> str:
    """Return what a scaler does, in a few words."""
    rules = scaler["spec"]["crons"] if scaler else ()
    return "; ".join(map(_shown, rules)) or "none"


def check_alone(ref: ObjectRef, target: ObjectRef, autoscalers: Iterable[Manifest]) -> None:
    """Refuse a scaler beside another writer of the same number: they would fight.

    :raises OwnedError: naming the other one; of an HPA, the scaler may move the bounds instead.
    """
    for each in autoscalers:
        aim = each["spec"].get("scaleTargetRef") or each["spec"].get("scaleTarget") or {}
        other = ObjectRef.of(each)
        same = (str(aim.get("kind", "Deployment")).lower(), aim.get("name")) == (target.kind.lower(), target.name)
        if same and other != ref:
            way_out = f"scale {other.kind} {other.name} by time instead" if _is_hpa(other) else "remove one of the two"
            raise OwnedError(f"The size of {target} is written by {other} already", way_out=way_out)


def _shown(rule: Mapping[str, Any]) -> str:
    size = rule["targetSize"] if "targetSize" in rule else f"{rule['minSize']}..{rule['maxSize']}"
    days = f", not at {', '.join(rule['excludeDates'])}" if rule.get("excludeDates") else ""
    return f"{rule['name']}: {size} at {rule['schedule']}{days}"


def _is_hpa(ref: ObjectRef) -> bool:
    return ref.kind == "HorizontalPodAutoscaler"


def _check(name: str, cron: str) -> None:
    import croniter

    try:
        if len(cron.split()) != _FIELDS:
            raise croniter.CroniterBadCronError(f"it has {len(cron.split())} fields")
        croniter.croniter(cron, second_at_beginning=True).get_next()
    except (croniter.CroniterError, ValueError, KeyError) as error:
        raise InputError(
            f"Rule {name} has {cron!r}, which is no schedule of a {KIND}",
            cause=str(error),
            way_out="write six fields: second, minute, hour, day of month, month, weekday",
        ) from error
