"""Helm releases through TKE: install or upgrade, go back, remove. Helm runs in the cloud, not in the worker."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Literal, get_args

from tke_provider.domain.choices import check_choice
from tke_provider.domain.helm import (
    Chart,
    HelmRelease,
    HelmResult,
    HelmRevision,
    is_rollback,
    read_values,
    revision_before,
    same_values,
)
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import (
    BusyError,
    ConflictError,
    DeadlineError,
    InconclusiveError,
    InputError,
    NotFoundError,
    RolloutError,
    TkeError,
)
from tke_provider.hooks.helm import HelmHook
from tke_provider.links.console import ClusterLink
from tke_provider.operators.base import TkeWaitingOperator, first_found, recall
from tke_provider.triggers.helm import HelmAbsenceTrigger, HelmTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.helm import HelmReleases

OnFailure = Literal["rollback", "keep"]
_BEFORE = "before"


class TkeHelmBaseOperator(TkeWaitingOperator):
    """Changes one release. A change that is under way, as that of a try which died, is waited for first.

    :param release: the release's name.
    :param namespace: where it is.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param region: default: the connection's.
    :param wait_for_workloads: wait until the release's Deployments, StatefulSets and DaemonSets in its namespace are
        up, too. What helm calls deployed has only been handed to the cluster.
    """

    template_fields: Sequence[str] = ("cluster_id", "namespace", "region", "release", "tke_conn_id")
    operator_extra_links = (ClusterLink(),)
    # What the change leaves behind for the trigger, in the same process.
    _change_id = ""
    _after = 0

    def __init__(
        self,
        *,
        release: str,
        namespace: str,
        cluster_id: str | None = None,
        region: str | None = None,
        wait_for_workloads: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.release = release
        self.namespace = namespace
        self.cluster_id = cluster_id
        self.region = region
        self.wait_for_workloads = wait_for_workloads

    def trigger(self, context: Context, deadline: float) -> HelmTrigger:  # noqa: ARG002
        """Return what waits for the new revision."""
        return HelmTrigger(**self._ids(deadline), after=self._after, workloads=self.wait_for_workloads)

    def _ids(self, deadline: float) -> dict[str, Any]:
        return {
            "tke_conn_id": self.tke_conn_id,
            "release": self.release,
            "namespace": self.namespace,
            "cluster_id": self.cluster_id,
            "region": self.region,
            "change": self._change_id,
            "deadline": deadline,
            "poll_interval": self.poll_interval,
        }

    async def _open(self) -> HelmReleases:
        hook = HelmHook(self.tke_conn_id, self.region)
        connection = await hook.connection()
        self.cluster_id = self.cluster_id or await hook.default_cluster()
        self.region = self.region or connection.region
        return await hook.release(self.cluster_id, self.namespace, self.release)

    async def _at_rest(
        self, release: HelmReleases, seconds: float | None = None, *, stuck_is_rest: bool = False
    ) -> HelmRelease | None:
        """Return the release once nobody is at work on it.

        :param seconds: how long to wait for that; default: the task's timeout.
        :param stuck_is_rest: whether one that helm left in the middle of a change will do.
        """
        deadline = time.monotonic() + (self.timeout if seconds is None else seconds)
        while True:
            under_way = next((each.status for each in await release.changes() if not each.failed), "")
            found = await release.find()
            if found and found.changing and not stuck_is_rest:
                under_way = under_way or found.status
            if not under_way:
                return found
            if time.monotonic() > deadline:
                raise BusyError(
                    f"{self._name} is {under_way}",
                    way_out="wait until the change that is under way has ended; if helm was interrupted in it, go back "
                    "with TkeHelmRollbackOperator",
                )
            self.log.info("Another change of %s is under way; waiting for its end", self._name)
            await asyncio.sleep(self.poll_interval)

    async def _result(self, release: HelmReleases, previous: int) -> HelmResult:
        found = await release.find()
        if found is None:
            raise ConflictError(
                f"{self._name} was removed meanwhile", way_out="find out by whom, and run the task again"
            )
        return {
            "release": self.release,
            "namespace": self.namespace,
            "cluster": str(self.cluster_id),
            "chart": found.chart,
            "revision": found.revision,
            "previous": previous,
        }

    def _failure(self, problem: str, verdict: Verdict, then: str) -> TkeError:
        kinds: dict[State, type[TkeError]] = {State.EXPIRED: DeadlineError, State.FAILED: RolloutError}
        kind = kinds.get(verdict.state, InconclusiveError)
        return kind(f"{self._name} {problem}", cause=verdict.reason, way_out=then)

    @property
    def _name(self) -> str:
        return f"Helm release {self.namespace}/{self.release}"


class TkeHelmReleaseOperator(TkeHelmBaseOperator):
    """Installs a chart as a release, or upgrades the release to it, and goes back if that fails.

    A release that is of this chart and version with these values already is left alone. So a repeated task changes
    nothing, as long as a chart's version always means the same; the newest version, or an archive that is not called
    ``<chart>-<version>.tgz``, is upgraded to every time.

    The cloud has no tokens to repeat a call safely: where an answer is lost, the change is looked for, not repeated.

    :param chart: URL of the chart's ``.tgz``, without a redirect; or the chart's name.
    :param repository: URL of the chart repository that ``chart`` is a name in.
    :param chart_version: of a chart that is named; default: the newest.
    :param market_namespace: namespace of TKE's application market that ``chart`` is a name in.
    :param chart_conn_id: connection with login and password for the chart's repository.
    :param values: what overrides the chart's values: a mapping, or YAML. They take the place of all that were given
        before; where there are none, those of the revision before stay, as helm has it. They lie readable in Airflow
        and in the cluster: nothing secret.
    :param on_failure: ``rollback`` (default) goes back to the revision that served before, and removes what never
        served; ``keep`` leaves everything for a person to look at.
    :param rollback_timeout: seconds to wait for the way back.
    :return: ``{"release", "namespace", "cluster", "chart", "revision", "previous"}``; ``previous`` is the revision
        that served before, 0 for a first installation.
    :raises InputError: when chart or values make no sense. Nothing was changed.
    :raises BusyError: when another change of the release does not end; a retry helps.
    :raises RolloutError: when helm or a workload failed, with their words and what serves now.
    """

    template_fields = tuple(
        sorted(
            (
                *TkeHelmBaseOperator.template_fields,
                "chart",
                "chart_conn_id",
                "chart_version",
                "market_namespace",
                "repository",
                "values",
            )
        )
    )
    template_fields_renderers = {"values": "yaml"}  # noqa: RUF012  # as Airflow declares it

    def __init__(
        self,
        *,
        chart: str,
        repository: str | None = None,
        chart_version: str | None = None,
        market_namespace: str | None = None,
        chart_conn_id: str | None = None,
        values: Mapping[str, Any] | str | None = None,
        on_failure: OnFailure = "rollback",
        rollback_timeout: float = 300.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("on_failure", on_failure, get_args(OnFailure))
        self.chart = chart
        self.repository = repository
        self.chart_version = chart_version
        self.market_namespace = market_namespace
        self.chart_conn_id = chart_conn_id
        self.values = values
        self.on_failure = on_failure
        self.rollback_timeout = rollback_timeout

    # --- change -----------------------------------------------------------------------------------------------------

    async def change(self, context: Context) -> None:
        """Look what is there, then install, upgrade, or do nothing."""
        chart, values = self._wanted(), read_values(self.values)
        chart.check()
        login = await HelmHook(self.tke_conn_id).chart_login(self.chart_conn_id) if self.chart_conn_id else None
        async with await self._open() as release:
            found = await self._at_rest(release)
            history = await release.history() if found and not found.removed else []
            first_found(context, _BEFORE, {"serving": _serving(history), "newest": found.revision if found else 0})
            if found and not any(each.good for each in history):
                self.log.info("Nothing of %s works; removing what is left of it", self._name)
                await self._remove(release)
                found = None
            self._after = found.revision if found else 0
            if found is None:
                self._change_id = await release.install(chart, values, login)
            elif found.deployed and chart.is_in(found) and same_values(values, await release.config()):
                self.log.info("Revision %s is of this chart with these values already", found.revision)
                self._after -= 1
            else:
                self._change_id = await release.upgrade(chart, values, login)

    def _wanted(self) -> Chart:
        return Chart(self.chart, self.repository or "", self.chart_version or "", self.market_namespace or "")

    # --- conclude ---------------------------------------------------------------------------------------------------

    async def conclude(self, context: Context, verdict: Verdict) -> HelmResult:
        """Return the revision, or go back and raise what helm said."""
        before = recall(context, _BEFORE)
        async with await self._open() as release:
            if verdict.state is State.PASSED:
                return await self._result(release, before["serving"])
            way_back = "it was left as it is; correct the chart or its values, and run the task again"
            if self.on_failure == "rollback":
                way_back = await self._safely_go_back(release, before["serving"], before["newest"])
        raise self._failure(f"does not come to {self._wanted().name}", verdict, way_back)

    async def _safely_go_back(self, release: HelmReleases, serving: int, newest: int) -> str:
        """Go back and say what serves now; the failure that led here is what the task is to end with."""
        try:
            return await self._go_back(release, serving, newest)
        except TkeError as error:
            return f"going back failed, too ({error}), so look at the release before running the task again"

    async def _go_back(self, release: HelmReleases, serving: int, newest: int) -> str:
        found = await self._at_rest(release, self.rollback_timeout)
        correct = "correct the chart or its values, and run the task again"
        if not serving:
            return f"nothing of it is left; {correct}" if await self._remove(release) else "remove what is left of it"
        if found is None:
            return f"somebody removed it meanwhile; {correct}"
        if found.revision == newest:
            return f"revision {serving} serves as before; {correct}"
        if not self._wanted().is_in(found) and found.deployed:
            return "somebody else changed it meanwhile, so it was left as it is; agree with them"
        return await self._roll_back(release, found, serving)

    async def _roll_back(self, release: HelmReleases, found: HelmRelease, serving: int) -> str:
        self.log.warning("Going back to revision %s", serving)
        self._change_id, self._after = await release.rollback(serving), found.revision
        deadline = time.time() + self.rollback_timeout
        back = await HelmTrigger(**self._ids(deadline), after=self._after, workloads=self.wait_for_workloads).wait()
        if back.state is State.PASSED:
            return f"revision {serving} serves again; correct the chart or its values, and run the task again"
        return f"revision {serving} did not come back ({back.reason}), so look at the release now"

    async def _remove(self, release: HelmReleases) -> bool:
        """Remove what a failed installation left, and return whether it is gone."""
        for each in await release.changes():
            if each.failed:
                await release.cancel(each.id)
        self._change_id = await release.uninstall() if await self._at_rest(release, self.rollback_timeout) else ""
        gone = await HelmAbsenceTrigger(**self._ids(time.time() + self.rollback_timeout)).wait()
        return gone.state is State.PASSED


class TkeHelmRollbackOperator(TkeHelmBaseOperator):
    """Takes a release back to an earlier revision, as a new one. A release that was taken back already stays.

    :param revision: which; default: the newest one before the current that helm deployed.
    :return: as :class:`TkeHelmReleaseOperator`; ``previous`` is the revision that was left.
    :raises NotFoundError: when there is no such release or revision. Nothing was changed.
    :raises RolloutError: when helm or a workload failed, with their words.
    """

    template_fields = tuple(sorted((*TkeHelmBaseOperator.template_fields, "revision")))

    def __init__(self, *, revision: int | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.revision = revision

    async def change(self, context: Context) -> None:
        """Find the revision and go back to it, unless that was done."""
        async with await self._open() as release:
            found = await self._at_rest(release, stuck_is_rest=True)
            if found is None:
                raise NotFoundError(f"There is no {self._name}", way_out="check its name, namespace and cluster")
            history, self._after = await release.history(), found.revision
            first_found(context, _BEFORE, {"newest": found.revision})
            target = self._target(history, found.revision)
            if target == found.revision or (found.deployed and is_rollback(history, found.revision, self._asked)):
                self.log.info("Revision %s is the way back already", found.revision)
                self._after -= 1
            else:
                self._change_id = await release.rollback(target)

    async def conclude(self, context: Context, verdict: Verdict) -> HelmResult:
        """Return the revision, or raise what helm said."""
        if verdict.state is not State.PASSED:
            raise self._failure("does not go back", verdict, "look at the release; it was left as it is")
        async with await self._open() as release:
            return await self._result(release, recall(context, _BEFORE)["newest"])

    @property
    def _asked(self) -> int | None:
        try:
            return None if self.revision in {None, ""} else int(str(self.revision))
        except ValueError as error:
            raise InputError(f"revision is {self.revision!r}", way_out="give a number, or none") from error

    def _target(self, history: Sequence[HelmRevision], current: int) -> int:
        known = [each.revision for each in history]
        target = revision_before(history, current) if self._asked is None else self._asked
        if target not in known:
            raise NotFoundError(
                f"{self._name} has no revision {target or 'before the current one that worked'}",
                way_out=f"take one that helm remembers: {', '.join(map(str, known))}",
            )
        return int(str(target))


class TkeHelmUninstallOperator(TkeHelmBaseOperator):
    """Removes a release with everything that it made. One that is not there is a success.

    :return: nothing.
    :raises RolloutError: when helm failed, with its words.
    """

    async def change(self, context: Context) -> None:  # noqa: ARG002
        """Remove the release, unless it is gone."""
        async with await self._open() as release:
            if await self._at_rest(release, stuck_is_rest=True):
                self._change_id = await release.uninstall()

    def trigger(self, context: Context, deadline: float) -> HelmAbsenceTrigger:  # noqa: ARG002
        """Return what waits until it is gone."""
        return HelmAbsenceTrigger(**self._ids(deadline))

    async def conclude(self, context: Context, verdict: Verdict) -> None:  # noqa: ARG002
        """End well, or raise what helm said."""
        if verdict.state is not State.PASSED:
            raise self._failure("is not gone", verdict, "look what is left of it, and run the task again")


def _serving(history: Sequence[HelmRevision]) -> int:
    """Return the revision that helm would go on from: a failed upgrade leaves the one before deployed."""
    good = [each for each in history if each.good]
    return max((each.revision for each in good if each.status == "deployed"), default=0) or max(
        (each.revision for each in good), default=0
    )
