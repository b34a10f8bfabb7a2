"""What every release of a service has in common, whichever strategy brings it to its users."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from tke_provider.domain.choices import check_choice
from tke_provider.domain.manifests import ObjectRef, images_of, is_awaited, is_rolled_out, stamp, workloads
from tke_provider.domain.releases import Record, Stage, check_service, lease_names
from tke_provider.domain.rollouts import MAX_CRASHES, Release, revision_of
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import ConflictError, ForbiddenError, NotFoundError, RolloutError, TkeError
from tke_provider.links.console import ClusterLink, WorkloadLink
from tke_provider.operators.assets import emit_release
from tke_provider.operators.base import InCluster, TkeWaitingOperator, is_last_try, open_cluster, operation_of
from tke_provider.triggers.rollouts import RolloutTrigger

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.clients.releases import ServiceRelease
    from tke_provider.domain.checks import Check
    from tke_provider.domain.manifests import Manifest


class TkeReleaseOperator(TkeWaitingOperator, abc.ABC):
    """Releases a service, waits until it is up, and puts back what was there before if it does not come up.

    All manifests are checked by the cluster before the first one is applied. What is intended and what was live
    before is written down first, in the Secret ``tke-release.<service>.v<number>``, so that a crash at any point
    leaves a way back. One change of a workload goes on at a time: a Lease ``tke-<workload>`` is held meanwhile.

    :param namespace: where the service is; manifests that name another namespace are refused.
    :param service: how the release is named.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    :param create_namespace: make the namespace where it does not exist.
    :param on_failure: ``rollback`` (default) puts back what was there before and waits until it serves again; ``keep``
        leaves everything for a person to look at, and the next release keeps the way back.
    :param rollback_timeout: seconds to wait for the old version to serve again.
    :param max_crashes: how often a new container may end before the release counts as failed.
    :param approver: who approved the release; kept in its record.
    :param checks: what was checked before, as the tasks returned it or a sentence each; kept in its record.
    """

    template_fields: Collection[str] = (
        "approver",
        "checks",
        "cluster_id",
        "namespace",
        "region",
        "service",
        "tke_conn_id",
    )
    operator_extra_links: Collection[BaseOperatorLink] = (ClusterLink(), WorkloadLink())
    strategy: ClassVar[str] = "deploy"
    _awaited: Sequence[ObjectRef] = ()

    def __init__(
        self,
        *,
        namespace: str,
        service: str | None = None,
        cluster_id: str | None = None,
        region: str | None = None,
        create_namespace: bool = False,
        on_failure: Literal["rollback", "keep"] = "rollback",
        rollback_timeout: float = 300.0,
        max_crashes: int = MAX_CRASHES,
        approver: str | None = None,
        checks: Sequence[Check | str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.namespace = namespace
        self.service = service
        self.cluster_id = cluster_id
        self.region = region
        self.create_namespace = create_namespace
        self.on_failure = on_failure
        self.rollback_timeout = rollback_timeout
        check_choice("on_failure", on_failure, ("rollback", "keep"))
        self.max_crashes = max_crashes
        self.approver = approver
        self.checks = checks

    # --- what a strategy says ---------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def intend(self, cluster: Cluster, draft: Record) -> tuple[Record, list[Manifest]]:
        """Return what is intended, and the manifests with the images in them, without changing anything."""

    async def start(self, cluster: Cluster, draft: Record, manifests: list[Manifest], context: Context) -> None:
        """Write down what is intended, and apply it. Its leases are held."""
        release = await self.begin(cluster, draft, manifests)
        try:
            for ref in await release.apply():
                self.log.info("Applied %s", ref)
        except TkeError as error:
            if error.retryable and not is_last_try(context):
                raise
            raise await self._undone(release, str(error)) from error

    async def begin(
        self, cluster: Cluster, draft: Record, manifests: Sequence[Manifest], beside: Sequence[Manifest] = ()
    ) -> ServiceRelease:
        """Write down what is intended, and show what it changes."""
        from tke_provider.clients.releases import ServiceRelease

        release = await ServiceRelease.begin(cluster, draft, manifests, beside)
        if release.record.diff:
            self.log.info("What changes: %s", release.record.diff["markdown"])
        return release

    # --- change -----------------------------------------------------------------------------------------------------

    async def perform(self, context: Context) -> Any:
        """Release and wait; a task that is killed meanwhile puts back what was there before."""
        try:
            return await super().perform(context)
        except asyncio.CancelledError:
            await self._killed(context)
            raise

    async def _killed(self, context: Context) -> None:
        from tke_provider.clients.releases import ServiceRelease

        self.log.warning("Killed: putting back what was there before")
        async with await self._cluster() as cluster:
            with contextlib.suppress(ConflictError):  # nothing was begun, or somebody else has taken over
                release = await ServiceRelease.find(cluster, self.namespace, self._service(), operation_of(context).id)
                await release.settle("failed")

    async def change(self, context: Context) -> None:
        """Check everything, write down what is there, and apply."""
        from tke_provider.clients import leases

        operation = operation_of(context).id
        async with await self._cluster() as cluster:
            draft, manifests = await self.intend(cluster, self._draft(context, operation))
            manifests = sorted(manifests, key=is_rolled_out)
            stamp(manifests, operation, draft.commit)
            self._awaited = [ObjectRef.of(each) for each in manifests if is_awaited(each)]
            names = lease_names(draft.service, map(ObjectRef.of, workloads(manifests)))
            held = [(self.namespace, name) for name in names]
            await self._ensure_namespace(cluster, operation)
            try:
                async with leases.held(cluster, held, operation, and_beyond=True):
                    await self._refuse_undone(cluster, operation)
                    await self._refuse_replaced(cluster, operation, context)
                    await self.start(cluster, draft, manifests, context)
            except TkeError as error:
                if not error.retryable:
                    await self._drop_namespace(cluster, operation)
                raise

    def _draft(self, context: Context, operation: str) -> Record:
        said = (each if isinstance(each, str) else f"{each['verdict']}: {each['reason']}" for each in self.checks or ())
        return Record(
            service=check_service(self._service()),
            namespace=self.namespace,
            op=operation,
            who=str(getattr(context.get("dag_run"), "triggering_user_name", "") or ""),
            approver=self.approver or "",
            checks=tuple(said),
            strategy=self.strategy,
        )

    async def _refuse_undone(self, cluster: Cluster, operation: str) -> None:
        """Finish what an earlier try began to undo, and fail as it would have."""
        from tke_provider.clients.releases import ServiceRelease, read

        record = await read(cluster, self.namespace, self._service())
        if record and record.op == operation and record.stage is Stage.UNDOING:
            raise await self._undone(ServiceRelease(cluster, record), record.reason)

    async def _refuse_replaced(self, cluster: Cluster, operation: str, context: Context) -> None:
        """Leave alone what somebody released since an earlier try: a late retry must not take back what they chose."""
        from tke_provider.clients.releases import history

        if context["ti"].try_number == 1:
            return
        records = await history(cluster, self.namespace, self._service())
        if any(each.op == operation for each in records) and records[0].op != operation:
            raise ConflictError(
                f"{self._service()} in namespace {self.namespace} was released since the first try by {records[0].op}",
                way_out="leave it at that, or clear the task to release it all the same",
            )

    async def _ensure_namespace(self, cluster: Cluster, operation: str) -> None:
        from tke_provider.clients.objects import make_namespace

        if await cluster.get(ObjectRef("v1", "Namespace", "", self.namespace)):
            return
        if not self.create_namespace:
            raise NotFoundError(
                f"Cluster {cluster.name} has no namespace {self.namespace}",
                way_out="create it, correct its name, or pass create_namespace=True",
            )
        await make_namespace(cluster, self.namespace, operation)

    async def _drop_namespace(self, cluster: Cluster, operation: str) -> None:
        """Delete the namespace that was made for a release which then was refused."""
        from tke_provider.clients.objects import drop_namespace

        if not self.create_namespace:
            return
        try:
            if await drop_namespace(cluster, self.namespace, operation):
                self.log.info("Deleted namespace %s again, which was made for this release", self.namespace)
        except ForbiddenError as error:
            self.log.warning("Namespace %s was made for this release and stays: %s", self.namespace, error)

    # --- wait -------------------------------------------------------------------------------------------------------

    def trigger(self, context: Context, deadline: float) -> RolloutTrigger:
        """Return what waits until the workloads are up, holding their leases."""
        return RolloutTrigger(workloads=_names(self._awaited), **self.waiting(context, deadline))

    def waiting(self, context: Context, deadline: float) -> dict[str, Any]:
        """Return the arguments that whatever waits for this release takes."""
        return {
            "tke_conn_id": self.tke_conn_id,
            "deadline": deadline,
            "poll_interval": self.poll_interval,
            "namespace": self.namespace,
            "cluster_id": self.cluster_id,
            "region": self.region,
            "service": self._service(),
            "operation": operation_of(context).id,
            "max_crashes": self.max_crashes,
        }

    # --- conclude ---------------------------------------------------------------------------------------------------

    async def conclude(self, context: Context, verdict: Verdict) -> Release:
        """Settle the record either way, and give the leases back."""
        from tke_provider.clients.releases import ServiceRelease

        async with await self._cluster() as cluster:
            release = await ServiceRelease.find(cluster, self.namespace, self._service(), operation_of(context).id)
            try:
                return await self._settled(context, release, await release.judge(verdict))
            finally:
                await release.give_back()

    async def _settled(self, context: Context, release: ServiceRelease, verdict: Verdict) -> Release:
        if verdict.state is State.PASSED:
            await release.finish()
            if "outlet_events" in context:  # only a task that Airflow runs has them
                emit_release(context, release.record, self.cluster_id)
            return await self._result(release)
        late = f"not up within {self.within:g} seconds: " if verdict.state is State.EXPIRED else ""
        reason = f"{late}{verdict.reason}"
        self.log.error("%s", reason)
        if taken := await release.taken():
            await release.undo(reason)
            await release.undone()
            raise ConflictError(
                f"Somebody else changed {', '.join(map(str, taken))} while it was released",
                cause=verdict.reason,
                way_out="agree with them who releases; what they changed was left alone, all else is as before",
            )
        if self.on_failure == "rollback":
            raise await self._undone(release, reason)
        raise RolloutError(
            f"{self._service()} in namespace {self.namespace} did not come up, and was left as it is",
            cause=reason,
            way_out="look at it, then deploy again: what was there before is still written down",
        )

    async def _undone(self, release: ServiceRelease, reason: str) -> RolloutError:
        """Put back what was there before, wait until it serves again, and return the error that says so.

        :raises OvertakenError: when it is not this process that ends the release any more.
        """
        from tke_provider.clients.releases import OvertakenError

        problem = f"{self._service()} in namespace {self.namespace} did not come up"
        try:
            for done in await release.undo(reason):
                self.log.warning("Undone: %s", done)
        except OvertakenError:
            raise
        except TkeError as error:
            return RolloutError(
                f"{problem}, and putting back what was there before failed too",
                cause=f"{reason} Then: {error}",
                way_out="clear the task once the cluster answers: the way back is written down, and will be gone",
            )
        before = release.record.workloads_before()
        if not before:
            await release.undone()
            return RolloutError(
                f"{problem}; nothing served before, so what it created was deleted",
                cause=reason,
                way_out="correct the service and deploy again",
            )
        verdict = await wait_for_the_old(self, release).wait()
        old = ", ".join(f"{name} {image}" for name, image in release.record.previous.items())
        if verdict.state is State.PASSED:
            await release.undone()
            return RolloutError(
                f"{problem} and was rolled back: {old} serves again",
                cause=reason,
                way_out="correct the service and deploy again",
            )
        return RolloutError(
            f"{problem} and was rolled back to {old}, which does not serve either ({verdict.reason})",
            cause=reason,
            way_out="look at it now",
        )

    async def _result(self, release: ServiceRelease) -> Release:
        record = release.record
        found = [await release.cluster.get(ref) for ref in record.workloads() if ref in record.targets()]
        live = [each for each in found if each]
        return Release(
            service=record.service,
            namespace=record.namespace,
            cluster=self.cluster_id or "",
            images=images_of(live),
            commit=record.commit,
            revision=", ".join(f"{each['metadata']['name']}={revision_of(each)}" for each in live),
            previous=dict(record.previous),
            op=record.op,
            record=record.revision,
        )

    # --- inputs -----------------------------------------------------------------------------------------------------

    async def _cluster(self) -> Cluster:
        """Return the cluster, having written down which service the console link and the result name."""
        self.service = self._service()
        return await open_cluster(self)

    def _service(self) -> str:
        return self.service or ""


class Restores(InCluster, Protocol):
    """A task that puts back what was there before a release."""

    namespace: str
    rollback_timeout: float
    poll_interval: float
    max_crashes: int


def wait_for_the_old(task: Restores, release: ServiceRelease) -> RolloutTrigger:
    """Return what waits for the old version, holding the leases until it serves."""
    return RolloutTrigger(
        tke_conn_id=task.tke_conn_id,
        deadline=time.time() + task.rollback_timeout,
        poll_interval=task.poll_interval,
        namespace=task.namespace,
        cluster_id=task.cluster_id,
        region=task.region,
        workloads=_names(release.record.workloads_before()),
        service=release.record.service,
        operation=release.record.op,
        back=True,
        max_crashes=task.max_crashes,
    )


def _names(refs: Sequence[ObjectRef]) -> list[str]:
    return [f"{ref.kind}/{ref.name}" for ref in refs]
