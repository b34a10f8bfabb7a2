"""Waiting until the new version of a service is up."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

from tke_provider.clients.leases import Renewal
from tke_provider.domain.manifests import JOB, ObjectRef, annotation
from tke_provider.domain.operations import OPERATION
from tke_provider.domain.rollouts import MAX_CRASHES
from tke_provider.domain.settling import SETTLE_SECONDS
from tke_provider.domain.verdicts import State, Verdict, failed, passed, pending
from tke_provider.exceptions import ConflictError
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.triggers.base import TkeBaseTrigger
from tke_provider.triggers.watches import Listener, Scope, Watch, listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.clients.rollouts import RolloutLook

_LEAST_SECONDS = 1.0  # between two looks, however much changes
_QUIET_SECONDS = 20.0  # between two looks while nothing changes; fewer at first, for the events that explain it follow
_APPS = "apps/v1"


class RolloutTrigger(TkeBaseTrigger):
    """Waits until workloads are up in their newest version; it wakes when a pod or workload changes.

    While it waits it holds the workloads' leases, if it waits for an operation. When a person marks the waiting task
    as failed, what was there before is put back, wherever the objects still carry the operation; when they mark it
    as succeeded, what is there is kept; when they clear it, the new try decides. (Airflow 3.3; before it, a killed
    wait leaves everything as it is, and the next deploy takes over.)

    :param namespace: where the workloads are.
    :param workloads: ``Kind/name`` each.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    :param service: whose record belongs to the operation; empty for a mere question.
    :param operation: the operation whose work this is, and whose leases are held; empty for a mere question.
    :param back: whether the workloads are awaited as they were before the operation, so that they need not carry it.
    :param max_crashes: how often a new container may end before the rollout counts as failed.
    """

    arguments: ClassVar[tuple[str, ...]] = (
        "namespace",
        "workloads",
        "cluster_id",
        "region",
        "service",
        "operation",
        "back",
        "max_crashes",
    )

    def __init__(
        self,
        *,
        namespace: str,
        workloads: Sequence[str],
        cluster_id: str | None = None,
        region: str | None = None,
        service: str = "",
        operation: str = "",
        back: bool = False,
        max_crashes: int = MAX_CRASHES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.namespace = namespace
        self.workloads = list(workloads)
        self.cluster_id = cluster_id
        self.region = region
        self.service = service
        self.operation = operation
        self.back = back
        self.max_crashes = max_crashes
        self._names = [each.partition("/")[2] for each in self.workloads]
        self._leases = [each.partition("/")[2] for each in self.workloads if not each.startswith(JOB)] or [service]
        self._listener = Listener(self._concerns)
        self._watches: list[Watch] = []
        self._cluster: Cluster | None = None
        self._renewal = Renewal()
        self._settling = False
        self._quiet = _LEAST_SECONDS

    # --- looking ----------------------------------------------------------------------------------------------------

    async def look(self) -> Verdict:
        """Look at every workload; the worst verdict counts."""
        async with self._open() as cluster:
            await self._hold(cluster, self._leases)
            return await self._up(cluster, self.workloads)

    async def _up(self, cluster: Cluster, workloads: Sequence[str]) -> Verdict:
        """Say whether all workloads, ``Kind/name`` each, are up."""
        from tke_provider.clients.rollouts import RolloutLook

        look = RolloutLook(cluster, self.namespace)
        verdicts = [await self._assess(look, *each.split("/", 1)) for each in workloads]
        by_state = {verdict.state: verdict for verdict in reversed(verdicts)}
        for state in (State.FAILED, State.PENDING):
            if state in by_state:
                return by_state[state]
        return passed("; ".join(verdict.reason for verdict in verdicts) or "there is nothing to wait for")

    async def _assess(self, look: RolloutLook, kind: str, name: str) -> Verdict:
        ref = ObjectRef(_api_version(kind), kind, self.namespace, name)
        workload = await look.cluster.get(ref)
        if workload is None:
            # Deleted under our eyes; a question may be asked before the thing is there.
            return failed(f"{ref} was deleted meanwhile") if self.operation else pending(f"{ref} does not exist yet")
        other = annotation(workload, OPERATION)
        if self.operation and not self.back and other != self.operation:
            return failed(f"{ref} was changed meanwhile by {other or 'somebody who leaves no name'}")
        verdict = await look.assess(workload, self.max_crashes)
        if verdict.state is State.PASSED:
            verdict = await look.settled(workload, verdict, self.max_crashes)
            self._settling = self._settling or not verdict.final
        return verdict

    async def _hold(self, cluster: Cluster, names: Sequence[str]) -> None:
        """Renew the leases when it is time; whoever lost one must not go on."""
        if self.operation:
            await self._renewal.renew(cluster, [(self.namespace, name) for name in names], self.operation)

    # --- waiting ----------------------------------------------------------------------------------------------------

    async def wait(self) -> Verdict:
        """Look until the verdict is final, woken by what changes."""
        kinds = {
            ("v1", "Pod"),
            *((_api_version(kind), kind) for kind, _, _ in (e.partition("/") for e in self.workloads)),
        }
        async with contextlib.AsyncExitStack() as self._stack:
            for api_version, kind in sorted(kinds):
                scope = Scope(self.tke_conn_id, self.cluster_id, self.region, self.namespace, api_version, kind)
                self._watches.append(await self._stack.enter_async_context(listen(self._hook(), scope, self._listener)))
            try:
                return await super().wait()
            finally:
                self._cluster, self._watches = None, []

    async def changed(self, timeout: float) -> None:
        """Return when something happened to a pod or workload, or it is time to look anyway."""
        await asyncio.sleep(min(_LEAST_SECONDS, timeout))
        quiet = self._quiet if all(watch.works for watch in self._watches) else self.poll_interval
        if self._settling:  # that a container stays up is told by nobody
            quiet, self._settling = min(quiet, SETTLE_SECONDS), False
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._listener.happened.wait(), min(quiet, timeout))
        self._quiet = _LEAST_SECONDS if self._listener.happened.is_set() else min(2 * self._quiet, _QUIET_SECONDS)
        self._listener.happened.clear()

    def _concerns(self, changed: dict[str, Any]) -> bool:
        name = changed["metadata"]["name"]
        return any(name == own or name.startswith(f"{own}-") for own in self._names)

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[Cluster]:
        """The cluster: one connection for as long as we wait, or for a single look."""
        if not self._watches:
            async with await self._hook().cluster() as cluster:
                yield cluster
            return
        if self._cluster is None:
            self._cluster = await self._stack.enter_async_context(await self._hook().cluster())
        yield self._cluster

    def _hook(self) -> TkeKubernetesHook:
        return TkeKubernetesHook(self.tke_conn_id, self.cluster_id, self.region)

    # --- a person intervenes ----------------------------------------------------------------------------------------

    async def ended_by_person(self) -> None:
        """Settle the operation as the person who ended the wait wants it, and give the leases back."""
        if not (self.operation and self.service):
            return
        from tke_provider.clients.releases import ServiceRelease

        state = await self._task_state()
        async with await self._hook().cluster() as cluster:
            with contextlib.suppress(ConflictError):  # a newer release has taken over
                release = await ServiceRelease.find(cluster, self.namespace, self.service, self.operation)
                await release.settle(state)

    async def _task_state(self) -> str | None:
        """Return the state that the person gave the task; ``removed`` where its run was deleted."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
        from asgiref.sync import sync_to_async

        ti = self.task_instance
        if ti is None:
            return None
        states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
        key = ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"
        state: str | None = states.get(ti.run_id, {}).get(key, "removed")
        return state


def _api_version(kind: str) -> str:
    return "batch/v1" if kind == JOB else _APPS
