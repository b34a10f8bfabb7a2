"""Taking a canary from step to step, up to the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.domain.canaries import BY_CLB, BY_INGRESS, BY_REPLICAS, CANARY, Step, pods_for, pods_to_bear
from tke_provider.domain.ingresses import INGRESS, weighing, weight_of
from tke_provider.domain.load_balancers import SHARE, actual, weigh, weighed, weights_of
from tke_provider.domain.manifests import ObjectRef, annotation
from tke_provider.domain.operations import OPERATION
from tke_provider.domain.phrases import count
from tke_provider.domain.rollouts import assess, newest_hash
from tke_provider.domain.tracks import HASH, is_second, leads
from tke_provider.domain.verdicts import State, Verdict, failed, passed
from tke_provider.exceptions import ConflictError
from tke_provider.triggers.tracks import TrackTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tke_provider.clients.releases import ServiceRelease
    from tke_provider.domain.manifests import Manifest


class CanaryTrigger(TrackTrigger):
    """Gives the new version its share of the requests step by step, and rolls it out when it was good at each.

    ``step`` of the record counts the steps that are done; one more than there are says that the new version replaces
    the old one. The canary stays until that is up, so that there are never fewer pods than before.

    :param steps: each ``{"weight", "pause"}``, as :class:`~tke_provider.domain.canaries.Step` has them.
    :param traffic: what gives it its share.
    """

    track = CANARY
    arguments = (*TrackTrigger.arguments, "steps", "traffic")

    def __init__(self, *, steps: Sequence[Mapping[str, Any]], traffic: str = BY_REPLICAS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps = [dict(each) for each in steps]
        self.traffic = traffic

    async def advance(self, release: ServiceRelease) -> Verdict | None:
        """Do what is next."""
        done = release.record.step
        if done < len(self.steps):
            return await self._step(release, done + 1, Step.parse(self.steps[done]))
        if done == len(self.steps):
            await self._lead(release, {})  # before the pods are replaced that the Services were narrowed to
            await release.apply()
            await release.note(step=done + 1, since=None)
            self.log.info("The new version replaces the old one")
            return None
        verdict = await self.whole(release)
        if self._ingresses(release) and (verdict.state is State.FAILED or not await self.second_answers(release)):
            await self._weigh(release, 0)
        return verdict

    async def _step(self, release: ServiceRelease, number: int, step: Step) -> Verdict | None:
        stable = await self.stable(release)
        verdict = await self._apart(release, stable)
        wanted = await self._wanted(release, stable, step)
        if verdict.state is State.PASSED:
            verdict = await self._divide(release, await self.second_is_up(release, wanted), step)
        if verdict.state is State.PASSED:
            verdict = await self.stays_good(release, step.pause)
        if verdict.state is State.FAILED:  # now, for the task may take a while to resume and undo the rest
            await self._weigh(release, 0)
        if verdict.state is State.PASSED:
            self.log.info("Step %d of %d is good: %s", number, len(self.steps), verdict.reason or "up")
            await release.note(step=number, since=None)
            return None
        by = count(wanted["spec"]["replicas"], "pod")
        share = f"step {number} of {len(self.steps)}, {step.weight:g} percent by {by}"
        return Verdict(verdict.state, f"{share}: {verdict.reason}")

    async def _wanted(self, release: ServiceRelease, stable: Manifest, step: Step) -> Manifest:
        """Return the canary's Deployment of a step."""
        second, size = self.second(release), int(stable["spec"].get("replicas", 1))
        if self.traffic == BY_CLB:
            return await self._weighed(release, second, stable, step.weight)
        second["spec"]["replicas"] = (pods_to_bear if self.traffic == BY_INGRESS else pods_for)(step.weight, size)
        return second

    # --- by an Ingress ----------------------------------------------------------------------------------------------

    async def _apart(self, release: ServiceRelease, stable: Manifest) -> Verdict:
        """Have the Services lead to the old version alone: the canary gets what the Ingress gives it, and no more."""
        if not (services := self._services(release)):
            return passed("")
        newest = newest_hash(stable, await release.cluster.list("apps/v1", "ReplicaSet", self.namespace))
        for each in services:
            live = await release.cluster.get(ObjectRef.of(each))
            ours = annotation(live, OPERATION) == self.operation
            if live and ours and leads(live, HASH) and live["spec"]["selector"][HASH] != newest:
                await self._lead(release, {})  # or it would soon lead to nobody
                return failed(f"{ObjectRef.of(stable)} was rolled out by somebody else meanwhile")
        if (resting := assess(stable, (), ())).state is not State.PASSED:
            return Verdict(resting.state, f"of the old version, {resting.reason}")
        await self._lead(release, {HASH: newest})
        return passed("")

    async def _divide(self, release: ServiceRelease, verdict: Verdict, step: Step) -> Verdict:
        """Give the canary its share once it is up, and none while none of its pods answers.

        Before any user meets it, it is asked the smoke tests.
        """
        if not (ingresses := self._ingresses(release)):
            return verdict
        if verdict.state is State.PASSED:
            live = [await release.cluster.get(ObjectRef.of(each)) for each in ingresses]
            if any(weight_of(each) in {"", "0"} for each in live):
                verdict = await self.smoke(release)
        if verdict.state is State.PASSED:
            await self._weigh(release, int(step.weight))
        elif not await self.second_answers(release):
            await self._weigh(release, 0)
            if release.record.since:
                await release.note(since=None)  # its pause begins anew
        return verdict

    def _ingresses(self, release: ServiceRelease) -> list[Manifest]:
        return [each for each in release.record.meanwhile if is_second(each) and each["kind"] == INGRESS]

    async def _weigh(self, release: ServiceRelease, weight: int) -> None:
        """Have the canary's Ingresses take so many percent."""
        for each in self._ingresses(release):
            ref = ObjectRef.of(each)
            live = await release.cluster.get(ref)
            if live is not None and annotation(live, OPERATION) != self.operation:
                by = annotation(live, OPERATION) or "somebody"
                raise ConflictError(f"{ref} was changed meanwhile by {by}", way_out="ask who did, then deploy again")
            if weight_of(live) != str(weight) and (live or weight):
                await release.cluster.apply(weighing(each, weight))
                self.log.info("%s takes %d percent of the requests", ref, weight)

    # --- by a CLB ---------------------------------------------------------------------------------------------------

    async def _weighed(self, release: ServiceRelease, second: Manifest, stable: Manifest, percent: float) -> Manifest:
        """Return the canary as it was weighed when the step began: its pods are made anew for another weight."""
        live = await release.cluster.get(ObjectRef.of(second))
        if live and annotation(live, OPERATION) == self.operation and annotation(live, SHARE) == f"{percent:g}":
            wanted = weighed(second, {}, percent)
            wanted["spec"]["replicas"] = live["spec"]["replicas"]
            return wanted
        size, theirs = int(stable["spec"].get("replicas", 1)), weights_of(stable)
        pods, weights = weigh(percent, size, theirs)
        wanted = weighed(second, weights, percent)
        wanted["spec"]["replicas"] = pods
        share = actual(pods, weights, size, theirs)
        self.log.info("The CLB gives the canary %.1f percent: %d pods of weight %s", share, pods, weights)
        return wanted
