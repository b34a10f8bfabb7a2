"""How every operator runs: a coroutine as a task, its errors as Airflow understands them, its wait deferred."""

from __future__ import annotations

import abc
import asyncio
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator, conf

from tke_provider.domain.operations import Operation
from tke_provider.domain.verdicts import State, Verdict, VerdictEvent
from tke_provider.exceptions import TkeError
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.hooks.tke import TkeHook

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.clients.tke import Tke
    from tke_provider.triggers.base import TkeBaseTrigger

T = TypeVar("T")


class TkeBaseOperator(BaseOperator, abc.ABC):
    """Runs one coroutine as the task.

    :param tke_conn_id: connection to Tencent Cloud. An error on which no retry helps ends the task at once.
    """

    template_fields: Collection[str] = ("tke_conn_id",)
    _running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def __init__(self, *, tke_conn_id: str = "tke_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tke_conn_id = tke_conn_id

    @abc.abstractmethod
    async def perform(self, context: Context) -> Any:
        """Do the task's work and return what goes into XCom."""

    def execute(self, context: Context) -> Any:
        """Do the task's work."""
        return self.run_coroutine(self.perform(context))

    def run_coroutine(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it; an error on which no retry helps becomes the one that Airflow does not retry."""
        try:
            return asyncio.run(self._killable(coroutine))
        except TkeError as error:
            if error.retryable:
                raise
            raise AirflowFailException(str(error)) from error

    def on_kill(self) -> None:
        """Cancel what runs: its ``finally`` blocks put away what it had taken up."""
        if self._running:
            loop, task = self._running
            loop.call_soon_threadsafe(task.cancel)

    async def _killable(self, coroutine: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # always so in a coroutine that runs
        self._running = (asyncio.get_running_loop(), task)
        try:
            return await coroutine
        finally:
            self._running = None


class TkeWaitingOperator(TkeBaseOperator, abc.ABC):
    """Changes something and waits until it took effect, without a worker where ``deferrable``.

    The order holds for all: change (idempotent, so that a retry may repeat it), wait, conclude. A subclass supplies
    the change, the trigger that waits for it, and the conclusion.

    :param timeout: seconds to wait for the effect, counted from the change. Where ``deferrable``, a shorter
        ``execution_timeout`` ends the wait too.
    :param poll_interval: seconds between two looks where nothing reports a change.
    :param deferrable: whether to wait in the triggerer; default: ``[operators] default_deferrable``.
    :param defer_after: seconds to wait in the worker first: to defer and to resume takes as long as most rollouts.
    """

    def __init__(
        self,
        *,
        timeout: float = 600.0,
        poll_interval: float = 5.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        defer_after: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.timeout = timeout
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        self.defer_after = defer_after

    @abc.abstractmethod
    async def change(self, context: Context) -> None:
        """Write the wanted state. Called again by a retry, so it must be idempotent."""

    @abc.abstractmethod
    def trigger(self, context: Context, deadline: float) -> TkeBaseTrigger:
        """Return what waits for the effect; also called when the task resumes, so from inputs alone."""

    @abc.abstractmethod
    async def conclude(self, context: Context, verdict: Verdict) -> Any:
        """Return what goes into XCom when the verdict is a pass; else undo what should be undone, and raise."""

    @property
    def seconds(self) -> float:
        """How long the effect may take in all."""
        return self.timeout

    @property
    def within(self) -> float:
        """When the wait is given up, in seconds; Airflow holds no ``execution_timeout`` while a task is deferred."""
        if self.deferrable and self.execution_timeout:
            return min(self.seconds, self.execution_timeout.total_seconds())
        return self.seconds

    async def perform(self, context: Context) -> Any:
        """Change, wait, conclude."""
        await self.change(context)
        deadline = time.time() + self.within
        patience = min(deadline, time.time() + self.defer_after) if self.deferrable else deadline
        verdict = await self.trigger(context, patience).wait()
        if verdict.state is State.EXPIRED and patience < deadline:
            self.log.info("Waiting in the triggerer: %s", verdict.reason)
            self.defer(trigger=self.trigger(context, deadline), method_name="execute_complete")
        return await self.conclude(context, verdict)

    def execute_complete(self, context: Context, event: VerdictEvent | None = None) -> Any:
        """Conclude with the verdict that the trigger handed over."""
        return self.run_coroutine(self.conclude(context, Verdict.from_event(event)))


class InRegion(Protocol):
    """A task that works in one region. The console links read these attributes."""

    tke_conn_id: str
    region: str | None


class InCluster(InRegion, Protocol):
    """A task that works in one cluster."""

    cluster_id: str | None


async def open_region(task: InRegion) -> Tke:
    """Return TKE in the task's region, which is written down on the task for the console links.

    Use it as ``async with await open_region(self) as tke:``.
    """
    hook = TkeHook(task.tke_conn_id, task.region)
    connection = await hook.connection()
    task.region = task.region or connection.region
    return await hook.tke(connection)


async def open_tke(task: InCluster) -> Tke:
    """Return TKE for work on the task's cluster, as :func:`open_region` does.

    :raises InputError: when neither task nor connection names a cluster.
    """
    task.cluster_id = task.cluster_id or await TkeHook(task.tke_conn_id, task.region).default_cluster()
    return await open_region(task)


async def open_cluster(task: InCluster) -> Cluster:
    """Return the task's cluster, having written down on the task what the console links name.

    Use it as ``async with await open_cluster(self) as cluster:``.

    :raises InputError: when neither task nor connection names a cluster.
    :raises NotFoundError: when there is no such cluster, or its endpoint is not open.
    """
    return await (await locate(task)).cluster()


async def locate(task: InCluster) -> TkeKubernetesHook:
    """Return the hook of the task's cluster, having written down on the task what the console links name."""
    hook = TkeKubernetesHook(task.tke_conn_id, task.cluster_id, task.region)
    connection = await hook.connection()
    task.cluster_id = task.cluster_id or connection.cluster_id
    task.region = task.region or connection.region
    return hook


def operation_of(context: Context) -> Operation:
    """Return the operation that this try belongs to."""
    ti = context["ti"]
    map_index = -1 if ti.map_index is None else ti.map_index
    return Operation(ti.dag_id, ti.run_id, ti.task_id, map_index, ti.max_tries)


def first_found(context: Context, name: str, found: T) -> T:
    """Return what the first try of this operation found, which is ``found`` itself where this is the first.

    What a retry finds is what the first try left behind. Kept in XCom, which a deferral outlives, and where Airflow has
    it (3.3) in the task state store, which a retry outlives.

    :param name: under which it is kept, also for :func:`recall`.
    :param found: what JSON can hold.
    """
    operation, store = operation_of(context).id, context.get("task_state_store")
    kept: Any = store.get(name) if store else None
    if not isinstance(kept, dict) or kept.get("operation") != operation:
        kept = {"operation": operation, "found": found}
        if store:
            store.set(name, kept)
    context["ti"].xcom_push(key=name, value=kept["found"])
    first: T = kept["found"]
    return first


def recall(context: Context, name: str) -> Any:
    """Return what :func:`first_found` kept."""
    return context["ti"].xcom_pull(key=name, map_indexes=context["ti"].map_index)


def is_last_try(context: Context) -> bool:
    """Whether Airflow will not try again by itself: it retries while ``try_number <= max_tries``."""
    ti = context["ti"]
    return bool(ti.try_number > ti.max_tries)
