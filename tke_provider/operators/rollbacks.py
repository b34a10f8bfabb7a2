"""Going back to a release that was good: of one service, or of all that one run released."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException

from tke_provider.domain.releases import Stage, serving, way_back
from tke_provider.domain.rollouts import MAX_CRASHES
from tke_provider.domain.verdicts import State
from tke_provider.exceptions import ConflictError, InputError, RolloutError, TkeError
from tke_provider.links.console import ClusterLink
from tke_provider.operators.assets import emit_release
from tke_provider.operators.base import TkeBaseOperator, is_last_try, open_cluster
from tke_provider.operators.releases import TkeReleaseOperator, wait_for_the_old

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.clients.releases import ServiceRelease
    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.releases import Record
    from tke_provider.domain.rollouts import Release


class TkeRollbackServiceOperator(TkeReleaseOperator):
    """Puts back an earlier release of a service and waits until it serves.

    What was applied then is read from the release's record in the cluster: neither git nor Airflow's history is
    needed. Going back is a release of its own, with a record and a way back; objects that only later releases have
    stay. Without ``revision`` and ``digest`` it is the last good release: the one before what serves, or what served
    before a release that did not come up. What was left by a rollback before is passed over. The other parameters are
    those of :class:`~tke_provider.operators.releases.TkeReleaseOperator`.

    :param service: how the release is named.
    :param revision: number of the release, as ``record`` of a :class:`~tke_provider.domain.rollouts.Release` says.
    :param digest: of an image that the release ran, instead of its number.
    :return: a :class:`~tke_provider.domain.rollouts.Release`.
    :raises NotFoundError: when no such release is written down, or it was never found good; says which there are.
    :raises RolloutError: when it does not come up any more; what served before is put back.
    """

    template_fields: Collection[str] = tuple(sorted((*TkeReleaseOperator.template_fields, "digest", "revision")))
    strategy = "rollback"

    def __init__(
        self, *, service: str, revision: int | str | None = None, digest: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(service=service, **kwargs)
        self.revision = revision
        self.digest = digest

    async def intend(self, cluster: Cluster, draft: Record) -> tuple[Record, list[Manifest]]:
        """Return what was applied then; a retry goes where its first try went."""
        from tke_provider.clients.releases import history

        revision = self._number()
        records = await history(cluster, draft.namespace, draft.service)
        if records and records[0].op == draft.op:
            target, restores = records[0], records[0].restores
        else:
            target = way_back(records, revision, self.digest or "")
            restores = target.restores or target.revision
        self.log.info(
            "Going back to release %d of %s (%s)", restores, target.service, target.commit or "commit unknown"
        )
        draft = dataclasses.replace(draft, commit=target.commit, images=target.images, restores=restores)
        return draft, copy.deepcopy(list(target.applied))

    def _number(self) -> int | None:
        """Read the number, which a template makes a text."""
        if self.revision in {None, ""}:
            return None
        if self.digest or not str(self.revision).isdecimal():
            raise InputError(f"revision is {self.revision!r}", way_out="give the number of a release, or its digest")
        return int(str(self.revision))


class TkeUndoReleasesOperator(TkeBaseOperator):
    """Takes back what one run released to one place, service by service, when a part of it failed.

    Put it downstream of the deploys and of whatever judges them, as a teardown (``as_teardown()``): it waits until all
    of them are done. Where none failed it is skipped. Otherwise each service goes back to what it was before this run,
    the last released first, and the next one only when that serves again. The releases' records say why. A service
    that did not change stays untouched, and so does one that somebody else has released, or changed, since. One that
    did not come up was put back by its own task; where that died, or was to keep it, it is named and left to the next
    release. A retry, or a Clear, goes on where it was, and repeats nothing but the events: Airflow keeps those of a
    try that succeeds alone, so each tells of all services that are as before.

    :param releases: by service, what its deploy returned, or nothing where it did not come so far; in the order in
        which they were released.
    :param namespace: where the services are.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    :param rollback_timeout: seconds to wait for each service's old version to serve again.
    :param poll_interval: seconds between two looks where nothing reports a change.
    :param max_crashes: how often a container of the old version may end before it counts as failed.
    :return: what became of each service, in words.
    :raises BusyError: when another operation is changing a service; a retry helps.
    :raises RolloutError: when a service was not put back, or does not serve; all others were. Says which, and why.
    """

    template_fields: Collection[str] = ("cluster_id", "namespace", "region", "releases", "tke_conn_id")
    operator_extra_links = (ClusterLink(),)

    def __init__(
        self,
        *,
        releases: Mapping[str, Release | None],
        namespace: str,
        cluster_id: str | None = None,
        region: str | None = None,
        rollback_timeout: float = 300.0,
        poll_interval: float = 5.0,
        max_crashes: int = MAX_CRASHES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.releases = releases
        self.namespace = namespace
        self.cluster_id = cluster_id
        self.region = region
        self.rollback_timeout = rollback_timeout
        self.poll_interval = poll_interval
        self.max_crashes = max_crashes

    def execute(self, context: Context) -> Any:
        """Look what failed, and put everything back where something did."""
        failures = self._failures(context)
        if not failures:
            raise AirflowSkipException("Nothing failed: what was released stays")
        self._reason = f"{', '.join(failures)} failed in the same run"
        return super().execute(context)

    def _failures(self, context: Context) -> list[str]:
        """Return which tasks failed that this one waits for; where only their forerunners did, those that wait."""
        ti = context["ti"]
        task_ids = sorted(self.upstream_task_ids)
        states = ti.get_task_states(dag_id=ti.dag_id, task_ids=task_ids, run_ids=[ti.run_id]).get(ti.run_id, {})
        # Of a mapped task Airflow tells each instance, as "<task id>_<index>".
        failed = sorted(each for each, state in states.items() if state == "failed")
        return failed or sorted(each for each, state in states.items() if state == "upstream_failed")

    async def perform(self, context: Context) -> dict[str, str]:
        """Put back one service after the other; what fails for one does not keep the others from it.

        What a retry may mend ends the try at once, as long as there is another one.
        """
        done: dict[str, str] = {}
        problems: list[str] = []
        async with await open_cluster(self) as cluster:
            for service, release in reversed([*self.releases.items()]):
                try:
                    done[service] = await self._back(context, cluster, service, release)
                except TkeError as error:
                    if error.retryable and not is_last_try(context):
                        raise
                    done[service] = str(error)
                    problems.append(str(error))
                self.log.info("%s: %s", service, done[service])
        if problems:
            raise RolloutError(
                f"Not everything in namespace {self.namespace} is as it was before this run",
                cause=" ".join([f"{self._reason}.", *problems]),
                way_out="look at these services; all others are as before",
            )
        return done

    async def _back(self, context: Context, cluster: Cluster, service: str, release: Release | None) -> str:
        """Put back one service, and return what became of it."""
        from tke_provider.clients.releases import ServiceRelease, history

        records = await history(cluster, self.namespace, service)
        if not release and records and records[0].stage in {Stage.APPLYING, Stage.UNDOING, Stage.ABANDONED}:
            return f"release {records[0].revision} by {records[0].op} did not end, and was left alone"
        if not release:
            return "this run released nothing that stayed"
        record = next((each for each in records if each.op == release["op"]), None)
        if record is None or (record.stage is Stage.ROLLED_BACK and record is not records[0]):
            return "was put back already"
        if record is not records[0]:
            raise ConflictError(
                f"{service} was released since by {records[0].op}, and left alone", way_out="see what that one did"
            )
        if record.diff and not record.diff["objects"]:
            return "did not change in this run"
        if record.stage is not Stage.ROLLED_BACK:
            await self._undo(ServiceRelease(cluster, record))
        return self._announce(context, records)

    async def _undo(self, release: ServiceRelease) -> None:
        """Put back what was there before, and see it serve."""
        service = release.record.service
        try:
            await release.hold()
            # Only from here on can nobody else release it: what was read before may be history by now.
            release = await release.find(release.cluster, self.namespace, service, release.record.op)
            taken = await release.taken()
            for done in await release.undo(self._reason):
                self.log.warning("Undone: %s", done)
            if release.record.workloads_before() and not taken:
                verdict = await wait_for_the_old(self, release).wait()
                if verdict.state is not State.PASSED:
                    raise RolloutError(
                        f"{service} was put back, and does not serve", cause=verdict.reason, way_out="look at it now"
                    )
            await release.undone()
        finally:
            await release.give_back()
        if taken:
            raise ConflictError(
                f"Somebody else changed {', '.join(map(str, taken))}, which was left alone",
                way_out="agree with them who releases",
            )

    def _announce(self, context: Context, records: Sequence[Record]) -> str:
        """Tell of what serves again, and return it in words."""
        before = serving(records[1:])
        if before is None:
            return "is as it was before its first release"
        if "outlet_events" in context:  # only a task that Airflow runs has them
            emit_release(context, before, self.cluster_id)
        return f"is as it was, which is release {before.revision} ({before.commit[:12] or 'commit unknown'})"
