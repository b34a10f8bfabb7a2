"""What a plan finds in a cluster: in bulk, by one look a namespace, not one a service."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from tke_provider.clients import leases
from tke_provider.clients.objects import autoscalers, served_autoscalers
from tke_provider.clients.scaling import APPS
from tke_provider.domain.cron_rules import rule_sizes, target_of, usual_sizes
from tke_provider.domain.cron_scalers import KIND as CRON_SCALER
from tke_provider.domain.manifests import ObjectRef, annotation
from tke_provider.domain.operations import OPERATION, SIZED_BY
from tke_provider.domain.owners import Autoscalers, owner_of
from tke_provider.domain.plans import USUAL, Kind, least, read_size
from tke_provider.domain.proposals import Began, Present, named_once
from tke_provider.domain.quotas import room
from tke_provider.domain.scaling import SIZE_BEFORE, Bounds
from tke_provider.exceptions import ForbiddenError, NotFoundError, TkeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tke_provider.clients.kubernetes import Cluster, Objects
    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.owners import Owner
    from tke_provider.domain.plans import Size, Target

log = logging.getLogger(__name__)

_AT_ONCE = 20  # namespaces
_SCALERS = {Kind.HPA: "HorizontalPodAutoscaler", Kind.CRON_SCALER: CRON_SCALER}


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """One object of a cluster that a plan sizes.

    :param number: the object in which the size is written: the workload, or its autoscaler.
    :param workload: whose pods come and go; none of an autoscaler that is a target itself.
    :param rule: of a HorizontalPodCronscaler, which has the size.
    :param lease: whose lease keeps everybody else away.
    :param owner: the autoscaler that is written instead of the workload.
    :param marked: whether it says already that a task sized it.
    :param operation: that changed it last.
    """

    present: Present
    number: ObjectRef
    workload: ObjectRef | None
    lease: ObjectRef
    owner: Owner | None = None
    rule: str = ""
    marked: bool = False
    operation: str = ""

    def sizes(self, live: Manifest) -> tuple[Size, Size | None]:
        """Return the size that is written in the object as it is now, and the usual one that is recorded there.

        :raises NotFoundError: when it has no such rule any more.
        """
        if self.rule:
            sizes = rule_sizes(live)
            if self.rule not in sizes:
                raise NotFoundError(f"{self.number} has no rule {self.rule} any more", way_out="correct the plan")
            return sizes[self.rule], usual_sizes(live).get(self.rule)
        owner = owner_of(live) if self.owner else None
        number = int(live["spec"].get("replicas", 1))
        return owner.bounds if owner and owner.bounds else number, _recorded(live)


async def find(
    cluster: Cluster, targets: Iterable[Target], operation: str, *, closely: bool = False
) -> tuple[list[Found], list[str]]:
    """Return every object of the targets, and in words what was not found.

    :param operation: whose leases do not stand against a change.
    :param closely: look also for who is changing one, and for what would keep pods from coming: quotas, and pods that
        wait already.
    """
    by_namespace: dict[str, list[Target]] = defaultdict(list)
    for target in targets:
        by_namespace[target.namespace].append(target)
    scalers, gate = await served_autoscalers(cluster), asyncio.Semaphore(_AT_ONCE)

    async def look(name: str) -> tuple[list[Found], list[str]]:
        async with gate:
            return await _Namespace(cluster, name, operation, closely).find(by_namespace[name], scalers)

    found, missing = [], []
    for objects, absent in await asyncio.gather(*map(look, sorted(by_namespace))):
        found += objects
        missing += absent
    return _named_once(found), missing


def _named_once(found: Sequence[Found]) -> list[Found]:
    targets: dict[tuple[ObjectRef, str], list[str]] = defaultdict(list)
    for each in found:
        targets[each.number, each.rule].append(each.present.target)
    return [
        dataclasses.replace(each, present=named_once(each.present, targets[each.number, each.rule])) for each in found
    ]


class _Namespace:
    """What one namespace holds."""

    def __init__(self, cluster: Cluster, name: str, operation: str, closely: bool) -> None:
        self.cluster = cluster
        self.name = name
        self.operation = operation
        self.closely = closely
        self.scalers: dict[tuple[str, str], Manifest] = {}
        self.owners = Autoscalers(())
        self.held: dict[str, str] = {}
        self.waiting: Counter[str] = Counter()
        self.quotas: Objects = []
        self._every_of: dict[str, dict[str, Manifest]] = {}

    async def find(
        self, targets: Sequence[Target], scalers: Sequence[tuple[str, str]]
    ) -> tuple[list[Found], list[str]]:
        self.scalers = {
            (each["kind"], _name(each)): each for each in await autoscalers(self.cluster, self.name, scalers)
        }
        self.owners = Autoscalers(self.scalers.values())
        if self.closely:
            self.held = await leases.others(self.cluster, self.name, self.operation)
            self.waiting, self.quotas = await self._waiting(), await self._quotas()
        found, missing = [], []
        for target in targets:
            objects = await self._objects(target)
            if target.kind is Kind.CRON_SCALER:
                there = [rule for each in objects for rule in self._rules(target, each)]
            else:
                there = [self._found(target, each) for each in objects]
            if not there and not target.selector:
                missing.append(f"there is no {target} in cluster {self.cluster.name}")
            found += there
        return found, missing

    async def _objects(self, target: Target) -> Objects:
        if kind := _SCALERS.get(target.kind):
            return [each] if (each := self.scalers.get((kind, target.object_name))) else []
        if target.selector:
            return await self.cluster.list(APPS, target.workload, self.name, label_selector=target.selector)
        live = await self._every(target.workload)
        return [live[target.object_name]] if target.object_name in live else []

    async def _every(self, kind: str) -> dict[str, Manifest]:
        if kind not in self._every_of:
            listed = await self.cluster.list(APPS, kind, self.name)
            self._every_of[kind] = {_name(each): each for each in listed}
        return self._every_of[kind]

    def _found(self, target: Target, live: Manifest) -> Found:
        ref = ObjectRef.of(live)
        workload = None if target.kind is Kind.HPA else ref
        writer = self.owners.owner(ref.kind, ref.name)
        owner = writer if workload else owner_of(live)
        number, size, blockers = live, int(live["spec"].get("replicas", 1)), []
        if writer and (workload is None or target.on_owner == "refuse" or writer.bounds is None):
            blockers.append(f"its size is written by {writer}")
        if owner and workload:
            number = self.scalers[owner.kind, owner.name]
        if owner and owner.bounds:
            size = owner.bounds.minimum
        scaled = ((live.get("spec") or {}).get("scaleTargetRef") or {}).get("name", ref.name)
        lease = ObjectRef(APPS, target.workload, self.name, scaled)
        marked, operation = bool(annotation(number, SIZED_BY)), annotation(number, OPERATION)
        present = Present(
            target=target.name,
            ref=str(ref),
            size=size,
            bounds=owner.bounds if owner else None,
            recorded=_recorded(number),
            owner=str(owner) if owner and workload else "",
            blockers=(*blockers, *self._being_changed(lease)),
            growth_blockers=self._waiting_pods(scaled),
            room=room(self.quotas, live["spec"]["template"]["spec"]) if workload else None,
            began=_began(number, owner) if operation == self.operation else None,
        )
        return Found(present, ObjectRef.of(number), workload, lease, owner, marked=marked, operation=operation)

    def _rules(self, target: Target, scaler: Manifest) -> list[Found]:
        """Return every rule of a HorizontalPodCronscaler, or the one that is the target."""
        ref, recorded = ObjectRef.of(scaler), usual_sizes(scaler)
        lease = ObjectRef(APPS, target.workload, self.name, target_of(scaler))
        found = []
        for rule, size in rule_sizes(scaler).items():
            if target.rule not in {"", rule}:
                continue
            present = Present(
                target=target.name,
                ref=f"{ref} rule {rule}",
                size=least(size),
                bounds=size if isinstance(size, Bounds) else None,
                recorded=recorded.get(rule),
                blockers=self._being_changed(lease),
            )
            operation = annotation(scaler, OPERATION)
            found.append(Found(present, ref, None, lease, rule=rule, marked=True, operation=operation))
        return found

    def _being_changed(self, lease: ObjectRef) -> tuple[str, ...]:
        return being_changed(self.held.get(lease.name))

    def _waiting_pods(self, workload: str) -> tuple[str, ...]:
        number = self.waiting[workload]
        return (f"{number} of its pods wait for a node",) if number else ()

    async def _waiting(self) -> Counter[str]:
        """Name of a workload to how many pods of it have no node."""
        unplaced = "status.phase=Pending,spec.nodeName="
        pods = await list_if_allowed(self.cluster, "v1", "Pod", self.name, field_selector=unplaced)
        return Counter(map(_workload_of, pods))

    async def _quotas(self) -> Objects:
        return await list_if_allowed(self.cluster, "v1", "ResourceQuota", self.name)


async def list_if_allowed(
    cluster: Cluster, api_version: str, kind: str, namespace: str = "", field_selector: str | None = None
) -> Objects:
    """Return what a rehearsal looks at besides what is sized; nothing, with a warning, where it may not."""
    try:
        return await cluster.list(api_version, kind, namespace, field_selector=field_selector)
    except ForbiddenError as error:
        log.warning("What could stand against a change is not fully known. %s", error)
        return []


def being_changed(holder: str | None) -> tuple[str, ...]:
    """Return what stands against a change of something whose lease somebody else holds."""
    return (f"it is being changed by {holder}",) if holder else ()


def _name(live: Manifest) -> str:
    return str(live["metadata"]["name"])


def _workload_of(pod: Manifest) -> str:
    """Return the name of the workload that a pod belongs to; a Deployment's pods belong to it by a ReplicaSet."""
    owner = next(iter(pod["metadata"].get("ownerReferences") or ()), {"kind": "", "name": _name(pod)})
    name = str(owner["name"])
    return name.rpartition("-")[0] if owner["kind"] == "ReplicaSet" else name


def _began(number: Manifest, owner: Owner | None) -> Began | None:
    """Return what it had before an earlier try of this operation wrote it, if that left a note which makes sense."""
    text = annotation(number, SIZE_BEFORE)
    try:
        before = read_size(text)
    except (TkeError, ValueError):
        return None
    if isinstance(before, Bounds):
        return Began(before.minimum, before)
    return None if owner and owner.bounds else Began(before)


def _recorded(live: Manifest) -> Size | None:
    text = annotation(live, USUAL)
    try:
        return read_size(text) if text else None
    except (TkeError, ValueError):
        log.warning("%s has %r as its usual size, which is none; its present one counts", ObjectRef.of(live), text)
        return None
