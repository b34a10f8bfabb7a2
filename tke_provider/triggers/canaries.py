"""Taking a canary from step to step, up to the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.domain.canaries import CANARY, Step, pods_for
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.triggers.tracks import TrackTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tke_provider.clients.releases import ServiceRelease


class CanaryTrigger(TrackTrigger):
    """Gives the new version its share of the requests step by step, and rolls it out when it was good at each.

    ``step`` of the record counts the steps that are done; one more than there are says that the new version replaces
    the old one. The canary stays until that is up, so that there are never fewer pods than before.

    :param steps: each ``{"weight", "pause"}``, as :class:`~tke_provider.domain.canaries.Step` has them.
    """

    track = CANARY
    arguments = (*TrackTrigger.arguments, "steps")

    def __init__(self, *, steps: Sequence[Mapping[str, Any]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps = [dict(each) for each in steps]

    async def advance(self, release: ServiceRelease) -> Verdict | None:
        """Do what is next."""
        done = release.record.step
        if done < len(self.steps):
            return await self._step(release, done + 1, Step.parse(self.steps[done]))
        if done == len(self.steps):
            await release.apply()
            await release.note(step=done + 1, since=None)
            self.log.info("The new version replaces the old one")
            return None
        return await self.whole(release)

    async def _step(self, release: ServiceRelease, number: int, step: Step) -> Verdict | None:
        stable = await self.stable(release)
        pods = pods_for(step.weight, int(stable["spec"].get("replicas", 1)))
        verdict = await self.second_is_up(release, pods)
        if verdict.state is State.PASSED:
            verdict = await self.stays_good(release, step.pause)
        if verdict.state is State.PASSED:
            self.log.info("Step %d of %d is good: %s", number, len(self.steps), verdict.reason or "up")
            await release.note(step=number, since=None)
            return None
        share = f"step {number} of {len(self.steps)}, {step.weight:g} percent by {pods} pods"
        return Verdict(verdict.state, f"{share}: {verdict.reason}")
