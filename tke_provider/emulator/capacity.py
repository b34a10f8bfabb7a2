"""What fits where: pods and machines as the scheduler sees them, roughly. Pure: no I/O, no clock.

Looked at are requests, taints, the node selector and required node affinity, by the field names of Kubernetes' own
objects. Not looked at are pods' affinity to one another, spread, volumes and host ports: a pod that only these keep
from its node gets no machine more than it would without them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tke_provider.emulator.models import Json

_SUFFIXES = {
    "n": "1e-9",
    "u": "1e-6",
    "m": "1e-3",
    "": "1",
    "k": "1e3",
    "M": "1e6",
    "G": "1e9",
    "T": "1e12",
    "P": "1e15",
    "E": "1e18",
}
_SUFFIXES |= {f"{letter}i": str(1024**power) for power, letter in enumerate("KMGTPE", start=1)}
_ENDED = ("Succeeded", "Failed")


@dataclass
class Machine:
    """A node, or one that would come.

    :param node: As the API server has it.
    :param free: What is left of each resource.
    """

    node: Json
    free: dict[str, Decimal]

    @classmethod
    def of(cls, node: Json, pods: Iterable[Json] = ()) -> Machine:
        """A node with its pods."""
        free = {name: amount(value) for name, value in node.get("status", {}).get("allocatable", {}).items()}
        machine = cls(node, free)
        for pod in pods:
            machine.take(pod)
        return machine

    def fits(self, pod: Json) -> bool:
        """Whether the pod could run here, beside those that do."""
        spec = self.node["spec"]
        room = all(self.free.get(name, Decimal(0)) >= wanted for name, wanted in requests(pod).items())
        return room and not spec.get("unschedulable") and _tolerated(pod, spec.get("taints")) and self._selected(pod)

    def take(self, pod: Json) -> None:
        """Let the pod run here."""
        for name, wanted in requests(pod).items():
            self.free[name] = self.free.get(name, Decimal(0)) - wanted

    def _selected(self, pod: Json) -> bool:
        labels = self.node["metadata"].get("labels") or {}
        if any(labels.get(name) != value for name, value in (pod["spec"].get("nodeSelector") or {}).items()):
            return False
        affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
        if not required:
            return True
        # The only field there is to match.
        known = {**labels, "metadata.name": self.node["metadata"]["name"]}
        kinds = ("matchExpressions", "matchFields")
        terms = [[each for kind in kinds for each in term.get(kind) or []] for term in required["nodeSelectorTerms"]]
        return any(term and all(_matches(known, each) for each in term) for term in terms)


def amount(quantity: str) -> Decimal:
    """A quantity of Kubernetes as a number: ``100m`` is 0.1, ``2Gi`` is 2147483648."""
    number = quantity.rstrip("".join({*"".join(_SUFFIXES)}))
    return Decimal(number) * Decimal(_SUFFIXES[quantity[len(number) :]])


def requests(pod: Json) -> dict[str, Decimal]:
    """What a pod asks for: its containers together, or its greediest init container, and one place."""
    spec = pod["spec"]
    together: Counter[str] = Counter()
    for container in spec["containers"]:
        together.update(_asked(container))
    most: dict[str, Decimal] = dict(together)  # type: ignore[arg-type]  # Counter's values may be any number
    for container in spec.get("initContainers") or []:
        for name, wanted in _asked(container).items():
            most[name] = max(most.get(name, Decimal(0)), wanted)
    return {**most, "pods": Decimal(1)}


def alive(pod: Json) -> bool:
    """Whether a pod takes room on its node."""
    return pod.get("status", {}).get("phase") not in _ENDED


def waiting(pod: Json) -> bool:
    """Whether the scheduler has looked for a node and found none, and nobody deletes the pod meanwhile."""
    conditions = pod.get("status", {}).get("conditions") or []
    refused = any(each["type"] == "PodScheduled" and each.get("reason") == "Unschedulable" for each in conditions)
    return refused and not pod["spec"].get("nodeName") and "deletionTimestamp" not in pod["metadata"]


def idle(pods: Iterable[Json]) -> bool:
    """Whether a machine with these pods does nothing: those of DaemonSets do not count."""
    owners = [[each["kind"] for each in pod["metadata"].get("ownerReferences") or []] for pod in pods]
    return all("DaemonSet" in kinds for kinds in owners)


def place(pods: Iterable[Json], machines: Iterable[Machine]) -> list[Json]:
    """Let pods run where they fit, the largest first, and return those that fit nowhere."""
    there = list(machines)
    left = []
    for pod in sorted(pods, key=lambda pod: requests(pod).get("cpu", Decimal(0)), reverse=True):
        machine = next((each for each in there if each.fits(pod)), None)
        if machine:
            machine.take(pod)
        else:
            left.append(pod)
    return left


def lacking(pods: Iterable[Json], template: Json, most: int) -> tuple[int, list[Json]]:
    """How many new machines the pods need, and which pods these do not help.

    :param template: The node that would come.
    :param most: So many at most.
    """
    new: list[Machine] = []
    left = list(pods)
    while left and len(new) < most:
        machine = Machine.of(template)
        rest = place(left, [machine])
        if len(rest) == len(left):
            break
        new.append(machine)
        left = rest
    return len(new), left


def _asked(container: Json) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    # A limit without a request is the request, too: the API server has filled it in already.
    return {name: amount(str(value)) for name, value in (resources.get("requests") or {}).items()}


def _tolerated(pod: Json, taints: list[Json] | None) -> bool:
    tolerations = pod["spec"].get("tolerations") or []
    hard = [each for each in taints or [] if each["effect"] != "PreferNoSchedule"]
    return all(any(_tolerates(each, taint) for each in tolerations) for taint in hard)


def _tolerates(toleration: Json, taint: Json) -> bool:
    if (toleration.get("effect") or taint["effect"]) != taint["effect"]:
        return False
    if toleration.get("operator") == "Exists":
        return bool((toleration.get("key") or taint["key"]) == taint["key"])
    return (toleration.get("key"), toleration.get("value") or "") == (taint["key"], taint.get("value") or "")


def _matches(labels: Mapping[str, str], expression: Json) -> bool:
    value = labels.get(expression["key"])
    operator, values = expression["operator"], expression.get("values") or []
    if operator in {"Exists", "DoesNotExist"}:
        return bool((value is not None) == (operator == "Exists"))
    if operator in {"In", "NotIn"}:
        return bool((value in values) == (operator == "In"))
    return False  # Gt and Lt: no pool here has numbers as labels
