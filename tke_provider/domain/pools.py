"""Node pools: who else writes their size, and what a plan makes of nodes that do not come."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tke_provider.domain.phrases import count
from tke_provider.domain.scaling import Bounds
from tke_provider.exceptions import CapacityError, OwnedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tke_provider.domain.clusters import NodePool, PoolNode
    from tke_provider.domain.plans import Size


@dataclasses.dataclass(frozen=True, slots=True)
class GroupRule:
    """A scheduled action or an alarm policy of the scaling group behind a regular pool, which moves the pool's size.

    :param last: when it happens for the last time; none where it goes on.
    """

    what: str
    last: datetime | None = None

    def __str__(self) -> str:
        return self.what

    def is_over(self, now: datetime) -> bool:
        """Whether it will never happen again."""
        return self.last is not None and self.last < now

    @classmethod
    def of_action(cls, answer: Mapping[str, Any]) -> GroupRule:
        """Read one of ``ScheduledActionSet``."""
        again = answer.get("Recurrence") or ""
        when = f"cron {again}" if again else f"at {answer.get('StartTime')}"
        last = answer.get("EndTime") if again else answer.get("StartTime")
        return cls(f"the scheduled action {answer.get('ScheduledActionName')} ({when})", _instant(last))

    @classmethod
    def of_policy(cls, answer: Mapping[str, Any]) -> GroupRule:
        """Read one of ``ScalingPolicySet``."""
        metric = (answer.get("MetricAlarm") or {}).get("MetricName") or answer.get("PredefinedMetricType")
        return cls(f"the alarm policy {answer.get('ScalingPolicyName')} ({metric})")


def _instant(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else None


def ruled(pool: NodePool, rules: Iterable[GroupRule]) -> OwnedError:
    """Return the error that names the rules of its scaling group which write the size of a pool."""
    return OwnedError(
        f"The size of node pool {pool.id} is written by {' and by '.join(map(str, rules))}"
        f" of its scaling group {pool.autoscaling_group_id}",
        way_out="remove them there, in the console of Auto Scaling, or leave the pool's size to them",
    )


def gave_up(pool: NodePool, why: str) -> CapacityError:
    """Return the error that tells in the cloud's words why a pool gets no more nodes."""
    return CapacityError(
        f"Node pool {pool.id} has {pool.ready} nodes of {pool.desired}, and the cloud gave up on more",
        cause=why,
        way_out="give the pool more instance types, zones or subnets, raise the quota, or ask for fewer nodes",
    )


def came(nodes: Iterable[PoolNode]) -> int:
    """Return how many nodes came, or are on their way."""
    return sum(node.state != "failed" for node in nodes)


def settled_for(wanted: Size, size: int) -> Size:
    """Return what becomes of a wanted size where only so many nodes came."""
    return Bounds(min(wanted.minimum, size), wanted.maximum) if isinstance(wanted, Bounds) else size


def fell_back(name: str, size: int, missing: int, why: str) -> str:
    """Return in one sentence how a pool fell back, and why."""
    return f"{name} falls back to {count(size, 'node')}, {missing} fewer than planned: {why}"
