"""Taking a release from blue to green, and making green the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.domain.blue_green import GREEN, KEPT, SWITCHED, TAKEN
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.rollouts import assess, newest_hash
from tke_provider.domain.tracks import HASH, TRACK, leads
from tke_provider.domain.verdicts import State, Verdict, failed
from tke_provider.triggers.tracks import TrackTrigger

if TYPE_CHECKING:
    from tke_provider.clients.releases import ServiceRelease


class BlueGreenTrigger(TrackTrigger):
    """Brings up the new version beside the old one, switches the Services to it, and replaces the old one later.

    Blue is the Deployment that serves, green a second one that is there only meanwhile. Services lead to blue's pods
    by a selector that green's match too, so they are narrowed to blue's present version first. When green has served
    long enough, blue is rolled out to the new version while nobody asks it, and the Services are as the manifests say.

    :param keep: seconds that the old version is kept at full size after the switch, to be switched back to.
    """

    track = GREEN
    arguments = (*TrackTrigger.arguments, "keep")

    def __init__(self, *, keep: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keep = keep

    async def advance(self, release: ServiceRelease) -> Verdict | None:
        """Do what is next."""
        done = release.record.step
        if done < SWITCHED:
            return await self._bring_up(release)
        if done < KEPT:
            return await self._watch_green(release)
        if done < TAKEN:
            await self._replace(release)
            return None
        verdict = await self.whole(release)
        if verdict.state is State.PASSED:
            await release.apply()  # the Services too, by now
            return verdict
        return await self._deserted(release) or verdict

    async def _bring_up(self, release: ServiceRelease) -> Verdict | None:
        blue = await self.stable(release)
        sets = await release.cluster.list("apps/v1", "ReplicaSet", self.namespace)
        if (resting := assess(blue, (), ())).state is not State.PASSED:
            return Verdict(resting.state, f"before anything else: {resting.reason}")
        await self._lead(release, {HASH: newest_hash(blue, sets)})
        verdict = await self.second_is_up(release)
        if verdict.state is State.PASSED:
            verdict = await self.smoke(release)
        if verdict.state is not State.PASSED:
            return Verdict(verdict.state, f"before the switch: {verdict.reason}")
        await self._lead(release, {TRACK: GREEN})
        await release.note(step=SWITCHED, since=None)
        self.log.info("Switched to the new version")
        return None

    async def _watch_green(self, release: ServiceRelease) -> Verdict | None:
        await self._lead(release, {TRACK: GREEN})
        verdict = await self.second_is_up(release)
        if verdict.state is State.PASSED:
            verdict = await self.stays_good(release, self.keep)
        elif deserted := await self._deserted(release):
            verdict = deserted
        if verdict.state is not State.PASSED:
            return Verdict(verdict.state, f"after the switch: {verdict.reason}")
        await release.note(step=KEPT, since=None)
        self.log.info("The old version is kept no longer")
        return None

    async def _replace(self, release: ServiceRelease) -> None:
        switched = {ObjectRef.of(each) for each in self._services(release)}
        await release.apply(but=switched)
        await release.note(step=TAKEN)

    async def _deserted(self, release: ServiceRelease) -> Verdict | None:
        """Say so when the Services lead to green alone and none of its pods answers; whoever does gets the requests.

        That is done here, because the task may take a while to resume and undo the rest.
        """
        live = [await release.cluster.get(ObjectRef.of(each)) for each in self._services(release)]
        if not any(leads(each, TRACK) for each in live) or await self.second_answers(release):
            return None
        await self._lead(release, {})
        return failed(f"no pod of {ObjectRef.of(self.second(release))} answers any more")
