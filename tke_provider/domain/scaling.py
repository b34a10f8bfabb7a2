"""Sizes: which writes bring a number where it should be, and whether it has got there."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal, TypedDict

from tke_provider.domain import rollouts
from tke_provider.domain.clusters import PoolKind
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.phrases import count, some
from tke_provider.domain.verdicts import State, Verdict, failed, passed, pending
from tke_provider.exceptions import InputError, OwnedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tke_provider.domain.clusters import NodePool, PoolNode, ScalingActivity
    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.owners import Owner

SIZE_BEFORE = "tke.airflow/size-before"
"""Annotation: the size, or the lower bound of its autoscaler, that the operation in ``SIZED_BY`` found."""

AUTOSCALER = "the cluster autoscaler"

_SIZED = frozenset({PoolKind.REGULAR, PoolKind.NATIVE})
_SIZELESS = {
    PoolKind.SUPER: "scale the pods alone: a super pool makes room for each of them by itself",
    PoolKind.EXTERNAL: "add or remove the machines where they live",
    PoolKind.UNKNOWN: "name a regular or native node pool, or update the provider",
}
_MOST_TOLD = 3
_LEAVING = frozenset({"deleting", "deleted"})

Direction = Literal["up", "down"]

Decision = TypedDict("Decision", {"target": str, "from": int, "to": int, "reason": str, "owner": str})
Decision.__doc__ = """What was decided about a size, as it lies in XCom.

``target`` names the thing, ``from`` and ``to`` are sizes (of ``owner``'s lower bound, where that was written instead),
``reason`` is one sentence, and ``owner`` names the autoscaler that writes the size, or is empty.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """The range that a size may move in.

    :raises InputError: when it is empty or below zero.
    """

    minimum: int
    maximum: int

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.maximum:
            raise InputError(
                f"Bounds from {self.minimum} to {self.maximum} hold no size",
                way_out="give a minimum of zero or more and a maximum that is not below it",
            )

    def check(self, size: int, target: str) -> None:
        """Refuse a size outside.

        :raises InputError: naming the target and the bound.
        """
        for outside, side, bound in (
            (size < self.minimum, "below its minimum", self.minimum),
            (size > self.maximum, "above its maximum", self.maximum),
        ):
            if outside:
                raise InputError(
                    f"{target} cannot get a size of {size}, which is {side} of {bound}",
                    way_out="ask for a size within, or change the bound in the same task",
                )


def whole_number(name: str, value: object) -> int:
    """Read a number that a template may have rendered to text.

    :param name: of the argument, for the error.
    :raises InputError: when it is no whole number of zero or more.
    """
    text = str(value).strip()
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"{name} is {value!r}", way_out="give a whole number of zero or more")
    return int(text)


def owned(target: str, owner: Owner | str) -> OwnedError:
    """Return the error that names who writes a size."""
    way_out = "change its bounds there, let this task do so where it can (`bounds`), or remove it"
    if not isinstance(owner, str) and owner.paused:
        way_out = "end the pause, or remove it: until then, its bounds move nothing"
    return OwnedError(f"The size of {target} is written by {owner}", way_out=way_out)


def assess_size(
    workload: Manifest,
    size: int,
    pods: Iterable[Manifest] = (),
    replica_sets: Iterable[Manifest] = (),
    events: Sequence[Manifest] = (),
    *,
    at_least: bool = False,
) -> Verdict:
    """Return whether a Deployment or StatefulSet has its size, with every pod available and none left over.

    :param pods: of the namespace, as ``replica_sets`` and ``events``; they say why a pod is not available.
    :param at_least: whether more is as good, as where an autoscaler moves the size above its lower bound.
    """
    ref = ObjectRef.of(workload)
    wanted = int(workload["spec"].get("replicas", 1))
    if wanted < size and at_least:
        return pending(f"{ref} waits for its autoscaler to raise it from {wanted} to {size} pods")
    if wanted != size and not at_least:
        return failed(f"the size of {ref} was {size} and something else made it {wanted}")
    rollout = rollouts.assess(workload, pods, replica_sets, events)
    if rollout.state is not State.PASSED:
        return rollout
    if (surplus := int(workload["status"].get("replicas", 0)) - wanted) > 0:
        return pending(f"{ref} has {count(surplus, 'pod')} too many, still to end")
    return passed(f"{ref} has {count(wanted, 'pod')}, all available")


def assess_scale(
    ref: ObjectRef, scale: Manifest, pods: Iterable[Manifest] | None, size: int, *, at_least: bool = False
) -> Verdict:
    """Return whether something of any kind has its size, as its scale subresource and its pods say.

    :param pods: that its selector matches; none where it has no selector, so that only its own word counts.
    """
    wanted, have = scale["spec"].get("replicas", 0), (scale.get("status") or {}).get("replicas", 0)
    if wanted < size and at_least:
        return pending(f"{ref} waits for its autoscaler to raise it from {wanted} to {size}")
    if wanted != size and not at_least:
        return failed(f"the size of {ref} was {size} and something else made it {wanted}")
    if have != wanted:
        return pending(f"{ref} has {have} of {wanted}")
    ready = have if pods is None else sum(map(rollouts.serves, pods))
    if ready < wanted:
        return pending(f"{ref} has {ready} of {count(wanted, 'pod')} ready")
    return passed(f"{ref} has {count(wanted, 'pod')}, all ready")


@dataclasses.dataclass(frozen=True, slots=True)
class SetBounds:
    """A write of both bounds of a node pool.

    :param size: written with them, where that is the only way; else the size is left alone.
    """

    bounds: Bounds
    size: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class SetSize:
    """A write of the size of a node pool, which leaves its bounds alone."""

    size: int


def steps(
    pool: NodePool,
    desired: int,
    minimum: int | None = None,
    maximum: int | None = None,
    *,
    through_bounds: bool = False,
) -> tuple[SetBounds | SetSize, ...]:
    """Return the writes that bring a node pool to a size, so that min ≤ size ≤ max after every one of them.

    Nothing is left to write when it is there. After any of the writes, asking again gives those that remain; so a
    caller that looks, makes the first, and looks again, survives lost answers and its own death.

    :param minimum: new lower bound; default: the present one. With ``through_bounds``, the least that
        ``desired`` may be.
    :param maximum: new upper bound; default: the present one.
    :param through_bounds: where the cluster autoscaler writes the size, make ``desired`` its lower bound instead of
        refusing. The size itself is then written only as far as the bounds require.
    :raises InputError: when the pool has no size, or the size lies outside the bounds.
    :raises OwnedError: when the cluster autoscaler writes the size, and its bounds may not be changed.
    """
    target = f"Node pool {pool.id}"
    if pool.kind not in _SIZED:
        raise InputError(
            f"{target} is a pool of {pool.kind.value} nodes, which has no size that could be set",
            way_out=_SIZELESS[pool.kind],
        )
    # Where the lower bound is what moves, only the caller's own holds it.
    lowest = 0 if pool.autoscaling and through_bounds else pool.minimum
    bounds = Bounds(lowest if minimum is None else minimum, pool.maximum if maximum is None else maximum)
    bounds.check(desired, target)
    if not pool.autoscaling:
        return _writes(pool, bounds, desired)
    if not through_bounds:
        raise owned(target, AUTOSCALER)
    bounds = Bounds(desired, bounds.maximum)
    size = min(max(pool.desired, bounds.minimum), bounds.maximum)
    if pool.kind is PoolKind.NATIVE and size != pool.desired:
        # While autoscaling is on, ScaleNodePool is refused (Tencent Cloud document 457/54489). ModifyNodePool has both
        # in its metadata; that it takes both here is inferred.
        return (SetBounds(bounds, size),)
    return _writes(pool, bounds, size)


def carried_out(pool: NodePool, writes: Iterable[SetBounds | SetSize]) -> NodePool:
    """Return what the writes make of a pool."""
    for write in writes:
        if isinstance(write, SetSize):
            pool = dataclasses.replace(pool, desired=write.size)
        else:
            size = pool.desired if write.size is None else write.size
            pool = dataclasses.replace(pool, minimum=write.bounds.minimum, maximum=write.bounds.maximum, desired=size)
    return pool


def show_pool(pool: NodePool) -> str:
    """Return the size of a pool within its bounds, as people read it."""
    return f"{pool.desired} in {pool.minimum}..{pool.maximum}"


def sizeless(pool: NodePool) -> str:
    """Return why a pool has no size that could be set; empty where it has one."""
    if pool.kind in _SIZED:
        return ""
    return f"it is a pool of {pool.kind.value} nodes, which has no size that could be set"


def written(pool: NodePool) -> int:
    """Return the number that a task writes: the size, or the lower bound where the cluster autoscaler sizes it."""
    return pool.minimum if pool.autoscaling else pool.desired


def against(pool: NodePool, desired: int, direction: Direction | None) -> str:
    """Return why a pool is left as it is, where this size lies against the one direction allowed; else nothing."""
    if direction == "up" and desired < written(pool):
        return f"node pool {pool.id} already has more than {desired} nodes, and this task only adds some"
    if direction == "down" and desired > written(pool):
        return f"node pool {pool.id} already has fewer than {desired} nodes, and this task only removes some"
    return ""


def at_rest(pool: NodePool) -> Verdict:
    """Return whether a node pool takes a write; while another one is under way, the cloud refuses it."""
    if pool.life_state.lower() in _LEAVING:
        return failed(f"node pool {pool.id} is {pool.life_state}")
    verdict = passed if pool.settled else pending
    return verdict(f"node pool {pool.id} is {pool.life_state}")


def assess_pool(
    pool: NodePool, nodes: Iterable[PoolNode], desired: int | None = None, *, at_least: bool = False
) -> Verdict:
    """Return whether a node pool has come to rest, with every node ready and open to pods.

    :param desired: the size it was given; default: whatever it is set to.
    :param at_least: whether more is as good, as where an autoscaler moves the size above its lower bound.
    """
    rest = at_rest(pool)
    if rest.state is not State.PASSED:
        return rest
    name = f"node pool {pool.id}"
    if desired is not None and pool.desired < desired and at_least:
        return pending(f"{name} waits for its autoscaler to raise it from {pool.desired} to {desired}")
    if desired is not None and pool.desired != desired and not at_least:
        return failed(f"the size of {name} was {desired} and something else made it {pool.desired}")
    if pool.ready < pool.desired:
        told = [f"{node.id} {node.reason}" for node in nodes if node.reason]
        why = f": {some(told, _MOST_TOLD, ': ')}" if told else ""
        return pending(f"{name} has {pool.ready} of {count(pool.desired, 'node')} ready{why}")
    if pool.ready > pool.desired and not at_least:
        return pending(f"{name} has {count(pool.ready - pool.desired, 'node')} too many, still to leave")
    if closed := [node.id for node in nodes if node.cordoned and node.state == "running"]:
        return pending(f"{name} has {count(len(closed), 'node')} cordoned: {some(closed, _MOST_TOLD)}")
    return passed(f"{name} has {count(pool.desired, 'node')}, all ready")


def shortage(pool: NodePool, activities: Sequence[ScalingActivity], seen: str = "") -> str:
    """Return why the cloud gave a pool no more nodes, in its own words; nothing where it has not given up.

    The scaling group may try again by its retry policy. Its latest word counts, once nothing is under way.

    :param activities: of the pool's scaling group, newest first.
    :param seen: the id of the newest one before this task wrote; older ones say nothing about that write.
    """
    if pool.ready >= pool.desired:
        return ""
    for activity in activities:
        if activity.id == seen or activity.status in {"INIT", "RUNNING"}:
            return ""
        if activity.kind == "SCALE_OUT":
            return activity.reason or activity.status if activity.failed else ""
    return ""


def _writes(pool: NodePool, bounds: Bounds, size: int) -> tuple[SetBounds | SetSize, ...]:
    """Bounds and size are two calls: whichever comes first must agree with what the other still is."""
    present = Bounds(pool.minimum, pool.maximum)
    set_bounds = (SetBounds(bounds),) if bounds != present else ()
    set_size = (SetSize(size),) if size != pool.desired else ()
    if not set_bounds or bounds.minimum <= pool.desired <= bounds.maximum:
        return (*set_bounds, *set_size)
    if present.minimum <= size <= present.maximum:
        return (*set_size, *set_bounds)
    wide = Bounds(min(bounds.minimum, present.minimum), max(bounds.maximum, present.maximum))
    return (SetBounds(wide), *set_size, *set_bounds)
