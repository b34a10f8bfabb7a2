"""What a released service is like at this moment, in the words of the board."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tke_provider.domain.releases import Stage
from tke_provider.domain.verdicts import State, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tke_provider.domain.manifests import Manifest, ObjectRef
    from tke_provider.domain.releases import Record


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """One look at a service.

    :param health: ``healthy``, ``changing`` or ``broken``.
    :param reason: a sentence for it.
    :param ready: replicas that serve; ``wanted``: how many should.
    :param holder: the operation that is changing it now; empty where none is.
    :param drift: what runs instead of what was released, one sentence each.
    """

    health: str
    reason: str
    ready: int
    wanted: int
    holder: str
    drift: tuple[str, ...]


_WORDS = {State.FAILED: "broken", State.PENDING: "changing", State.PASSED: "healthy"}


def observed(
    record: Record, live: Mapping[ObjectRef, Manifest | None], verdicts: Sequence[Verdict], holder: str
) -> Observation:
    """Say what a service is like.

    :param record: of its newest good release, or of the newest one where none was good.
    :param live: its workloads, by reference; ``None`` for one that is gone.
    :param verdicts: of the workloads that are there.
    :param holder: of its leases.
    """
    gone = [f"{ref} is gone" for ref, manifest in live.items() if manifest is None]
    there = [manifest for manifest in live.values() if manifest]
    drift = [f"{manifest['metadata']['name']}: {stray}" for manifest in there for stray in record.strays(manifest)]
    health, reason = _health(verdicts)
    return Observation(
        health="broken" if gone else health,
        reason="; ".join(gone) or reason,
        ready=sum(_ready(each) for each in there),
        wanted=sum(_wanted(each) for each in there),
        holder=holder,
        drift=tuple([*gone, *drift] if record.stage is Stage.LIVE and not holder else ()),
    )


def _health(verdicts: Sequence[Verdict]) -> tuple[str, str]:
    """Return the worst verdict's word, and every reason for it."""
    for state, word in _WORDS.items():
        if reasons := [each.reason for each in verdicts if each.state is state]:
            return word, "; ".join(reasons)
    return "broken", "it has no workload"


def _ready(workload: Manifest) -> int:
    field = "numberReady" if workload["kind"] == "DaemonSet" else "readyReplicas"
    return int((workload.get("status") or {}).get(field) or 0)


def _wanted(workload: Manifest) -> int:
    if workload["kind"] == "DaemonSet":
        return int((workload.get("status") or {}).get("desiredNumberScheduled") or 0)
    return int((workload.get("spec") or {}).get("replicas", 1))
