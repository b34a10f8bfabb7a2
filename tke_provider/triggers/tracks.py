"""Taking a release through the steps of its strategy, with a second version beside the one that serves.

Whoever waits takes the steps, be it the worker or the triggerer, and how far they got stands in the release's record:
so any of them may die at any point, and whoever looks next goes on from there. A step repeated changes nothing.
"""

from __future__ import annotations

import abc
import copy
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

from tke_provider.domain.load_balancers import SHARE
from tke_provider.domain.manifests import ObjectRef, annotation, workloads
from tke_provider.domain.metrics import Gate
from tke_provider.domain.operations import COMMIT, OPERATION
from tke_provider.domain.releases import Stage
from tke_provider.domain.smoke_tests import SmokeTest
from tke_provider.domain.tracks import is_second, named, narrowed, needed, pods_pattern
from tke_provider.domain.verdicts import State, Verdict, failed, passed, pending
from tke_provider.exceptions import NotFoundError
from tke_provider.hooks.metrics import MetricsHook
from tke_provider.triggers.rollouts import RolloutTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.clients.releases import ServiceRelease
    from tke_provider.domain.manifests import Manifest


class TrackTrigger(RolloutTrigger):
    """Takes the steps of a release until it is whole, and says no as soon as the new version is found bad.

    :param name: of the Deployment that is released.
    :param gates: what metrics of the new version must be, in the plain form of
        :class:`~tke_provider.domain.metrics.Gate`.
    :param smoke_tests: what the new version is asked, each a :class:`~tke_provider.domain.smoke_tests.SmokeTest` as a
        dict.
    :param prometheus_conn_id: connection to Prometheus.
    """

    track: ClassVar[str]
    arguments: ClassVar[tuple[str, ...]] = (
        "name",
        "namespace",
        "cluster_id",
        "region",
        "service",
        "operation",
        "max_crashes",
        "gates",
        "smoke_tests",
        "prometheus_conn_id",
    )

    def __init__(
        self,
        *,
        name: str,
        gates: Sequence[Mapping[str, Any]] = (),
        smoke_tests: Sequence[Mapping[str, Any]] = (),
        prometheus_conn_id: str = "prometheus_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(workloads=[f"Deployment/{name}"], **kwargs)
        self.name = name
        self.gates = [dict(each) for each in gates]
        self.smoke_tests = [dict(each) for each in smoke_tests]
        self.prometheus_conn_id = prometheus_conn_id
        self._due: dt.datetime | None = None

    @abc.abstractmethod
    async def advance(self, release: ServiceRelease) -> Verdict | None:
        """Do what is next; ``None`` when a step was done, so that there is something to do at once."""

    async def look(self) -> Verdict:
        """Take every step that is due."""
        from tke_provider.clients.releases import OvertakenError, ServiceRelease

        async with self._open() as cluster:
            release = await ServiceRelease.find(cluster, self.namespace, self.service, self.operation)
            await self._hold(cluster, release.record.leases())
            if release.record.stage is not Stage.APPLYING:
                return _ended(release)
            self._due = None
            try:
                while (verdict := await self.advance(release)) is None:
                    pass
            except OvertakenError as error:  # the same wait goes on elsewhere too: look again how far it got
                return pending(str(error))
            return verdict

    async def changed(self, timeout: float) -> None:
        """Return when something happened, or a pause is over."""
        if self._due is not None:
            timeout = min(timeout, max(0.0, (self._due - _now()).total_seconds()))
        await super().changed(timeout)

    # --- what steps are made of -------------------------------------------------------------------------------------

    def target(self, release: ServiceRelease) -> Manifest:
        """Return the Deployment that is released."""
        return workloads(release.record.applied)[0]

    async def stable(self, release: ServiceRelease) -> Manifest:
        """Return the Deployment that serves, as it is now.

        :raises NotFoundError: when somebody deleted it meanwhile.
        """
        ref = ObjectRef.of(self.target(release))
        live = await release.cluster.get(ref)
        if live is None:
            raise NotFoundError(f"{ref} was deleted meanwhile", way_out="ask who did, then deploy again")
        return live

    def second(self, release: ServiceRelease) -> Manifest:
        """Return the Deployment of the second version, as it was written down."""
        return copy.deepcopy(workloads(each for each in release.record.meanwhile if is_second(each))[0])

    async def second_is_up(self, release: ServiceRelease, wanted: Manifest | None = None) -> Verdict:
        """Have the second version, with a Service of its own, and say whether it is up.

        :param wanted: its Deployment; default: as it was written down.
        """
        wanted = wanted or self.second(release)
        ref = ObjectRef.of(wanted)
        live = await release.cluster.get(ref)
        if live is not None and release.record.is_taken(ref, live):
            return failed(f"{ref} was changed meanwhile by {annotation(live, OPERATION) or 'somebody'}")
        if live is None or _differs(live, wanted):
            services = [each for each in release.record.meanwhile if is_second(each) and each["kind"] == "Service"]
            for each in (*needed(release.record.applied, release.record.before), *services, wanted):
                await release.cluster.apply(each)
            self.log.info("%s gets %d pods of the new version", ref, wanted["spec"]["replicas"])
        return await self._up(release.cluster, [f"{ref.kind}/{ref.name}"])

    async def second_answers(self, release: ServiceRelease) -> bool:
        """Whether any pod of the second version takes requests."""
        live = await release.cluster.get(ObjectRef.of(self.second(release)))
        return bool(live and (live.get("status") or {}).get("availableReplicas"))

    def _services(self, release: ServiceRelease) -> list[Manifest]:
        """Return the Services that are led elsewhere meanwhile, as they were."""
        return [each for each in release.record.meanwhile if each["kind"] == "Service" and not is_second(each)]

    async def _lead(self, release: ServiceRelease, where: Mapping[str, str]) -> None:
        """Have these Services lead there; to all pods where nothing is said."""
        for service in self._services(release):
            wanted = narrowed(service, where)
            live = await release.cluster.get(ObjectRef.of(wanted))
            if live is None or live["spec"].get("selector") != wanted["spec"]["selector"]:
                await release.cluster.apply(wanted)
                self.log.info("%s leads to %s", ObjectRef.of(wanted), dict(where) or "all pods")

    async def stays_good(self, release: ServiceRelease, seconds: float) -> Verdict:
        """Say whether the new version, which is up, was found good for that long; counted over a death of ours."""
        if release.record.since is None:
            await release.note(since=_now())
        since = release.record.since or _now()
        verdict = await self.judge(release)
        if verdict.state is not State.PASSED:
            return verdict
        due = since + dt.timedelta(seconds=seconds)
        if _now() >= due:
            return verdict
        self._due = due
        return pending(f"good so far, until {due:%H:%M:%S} UTC{f' ({verdict.reason})' if verdict.reason else ''}")

    async def judge(self, release: ServiceRelease) -> Verdict:
        """Ask all smoke tests and gates of the new version once. Whatever says nothing is waited for."""
        verdict = await self.smoke(release)
        if verdict.state is not State.PASSED or not self.gates:
            return verdict
        new, old = await self._words(release)
        hook = MetricsHook(self.prometheus_conn_id, self.tke_conn_id, self.region)
        said = await hook.ask([Gate.parse(each) for each in self.gates], new=new, old=old)
        if said.state is State.INCONCLUSIVE:
            return pending(said.reason)
        return Verdict(said.state, "; ".join(filter(None, (verdict.reason, said.reason))))

    async def smoke(self, release: ServiceRelease) -> Verdict:
        """Ask all smoke tests of the new version once, as often in a row as they say."""
        reasons = []
        for each in self.smoke_tests:
            verdict = await self._ask(release.cluster, SmokeTest(**{**each, "command": tuple(each["command"])}))
            if verdict.state is not State.PASSED:
                return verdict
            reasons.append(verdict.reason)
        return passed("; ".join(reasons))

    async def _ask(self, cluster: Cluster, test: SmokeTest) -> Verdict:
        from tke_provider.clients.probes import ask_service, ask_url

        said = ""
        for turn in range(test.in_a_row):
            answer = await (ask_url(test) if test.url else ask_service(cluster, test, turn))
            if answer is None:
                return pending(f"{test.where} has no endpoints")
            if answer.wrong:
                return failed(f"{test.where} {answer.wrong}")
            said = answer.seen
        return passed(f"{test.where} {said} as expected")

    async def _words(self, release: ServiceRelease) -> tuple[dict[str, str], dict[str, str]]:
        """Return what ``{word}`` of a query stands for, of the new version and of the old one."""
        second = named(self.name, self.track)
        new = {"service": self.service, "namespace": self.namespace, "version": release.record.commit}
        old = {"version": annotation(await self.stable(release), COMMIT)}
        return (
            {**new, "workload": second, "pods": pods_pattern(second)},
            {**old, "workload": self.name, "pods": pods_pattern(self.name)},
        )

    async def whole(self, release: ServiceRelease) -> Verdict:
        """Say whether everything that is released is up. Until then the second version serves, and must not break."""
        verdict = await self._up(release.cluster, [f"{ref.kind}/{ref.name}" for ref in release.record.awaited()])
        seconds = [ObjectRef.of(each) for each in workloads(release.record.meanwhile)]
        if verdict.state is not State.PENDING or not seconds or await release.cluster.get(seconds[0]) is None:
            return verdict
        second = await self._up(release.cluster, [f"{ref.kind}/{ref.name}" for ref in seconds])
        return failed(f"while it takes over: {second.reason}") if second.state is State.FAILED else verdict


def _differs(live: Manifest, wanted: Manifest) -> bool:
    return live["spec"]["replicas"] != wanted["spec"]["replicas"] or any(
        annotation(live, key) != annotation(wanted, key) for key in (OPERATION, SHARE)
    )


def _ended(release: ServiceRelease) -> Verdict:
    record = release.record
    if record.stage is Stage.LIVE:
        return passed(f"release {record.revision} of {record.service} is live")
    return failed(record.reason or f"release {record.revision} of {record.service} is {record.stage.value}")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)
