"""A command that runs in a pod of the cluster, with its output in the task's log."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from tke_provider.domain.run_pods import TESTS, Surroundings, run_pod
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import DeadlineError, InconclusiveError, InputError, TkeError
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.operators.base import TkeWaitingOperator, operation_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.domain.images import Image
    from tke_provider.domain.manifests import ObjectRef
    from tke_provider.domain.runs import Ended, Run
    from tke_provider.triggers.checks import PodRunTrigger

_LAST_WORDS_SECONDS = 30.0
_LAST_LINES = 1000


class TkePodRunOperator(TkeWaitingOperator, abc.ABC):
    """Runs tests in a pod. A subclass says which, sets the attributes below, and judges what they left."""

    namespace: str
    service_account: str
    secrets: Sequence[str]
    reader_image: str
    pod_spec: Mapping[str, Any] | None
    cluster_id: str | None
    region: str | None
    _following: asyncio.Future[None] | None = None

    @abc.abstractmethod
    def what(self, context: Context) -> tuple[Image, Run]:
        """Return what to run, and in which image."""

    @abc.abstractmethod
    async def ended(self, context: Context, image: Image, ended: Ended) -> Any:
        """Return what goes into XCom, or raise."""

    async def perform(self, context: Context) -> Any:
        """Run it; a task that is killed takes its pod along."""
        try:
            return await super().perform(context)
        except asyncio.CancelledError:
            await self._remove(context)
            raise

    def say(self, line: str) -> None:
        """Log a line of the output."""
        self.log.info("%s", line)

    async def change(self, context: Context) -> None:
        """Start the pod, or find the one that an earlier try has started."""
        from tke_provider.clients.run_pods import start

        manifest = run_pod(*self.what(context), self._surroundings())
        name = f"{self.namespace}/{manifest['metadata']['name']}"
        async with await self._hook().cluster() as cluster:
            await self._mask(cluster)
            found = await start(cluster, manifest)
        self.log.info("Pod %s %s", name, "is there already, as an earlier try left it" if found else "is created")
        if not self.deferrable:
            self._following = asyncio.ensure_future(self._follow(context))

    def trigger(self, context: Context, deadline: float) -> PodRunTrigger:
        """Return what waits for the pod."""
        from tke_provider.triggers.checks import PodRunTrigger

        ref = self._ref(context)
        return PodRunTrigger(
            namespace=ref.namespace,
            pod=ref.name,
            operation=operation_of(context).id,
            cluster_id=self.cluster_id,
            region=self.region,
            tke_conn_id=self.tke_conn_id,
            deadline=deadline,
            poll_interval=self.poll_interval,
        )

    async def conclude(self, context: Context, verdict: Verdict) -> Any:
        """Read what the pod left, delete it, and hand it on."""
        from tke_provider.clients.run_pods import collect

        image, run = self.what(context)
        try:
            async with await self._hook().cluster() as cluster:
                await self._mask(cluster)
                await self._log_output(cluster, context, verdict)
                if verdict.state is not State.PASSED:
                    raise self._not_ended(image, verdict)
                ended = await collect(cluster, self._ref(context), run.reports)
        finally:
            await self._remove(context)
        return await self.ended(context, image, ended)

    async def _follow(self, context: Context) -> None:
        """Log what the tests print, from when they begin."""
        from tke_provider.clients.pods import follow

        async with await self._hook().cluster() as cluster:
            while True:
                with contextlib.suppress(InputError):  # it has not started
                    return await follow(cluster, self._ref(context), TESTS, self.say)
                await asyncio.sleep(1)

    async def _log_output(self, cluster: Cluster, context: Context, verdict: Verdict) -> None:
        """Let the log have the whole output. It decides nothing, so a log that cannot be had changes no verdict."""
        from tke_provider.clients.pods import follow

        ref, ended = self._ref(context), verdict.state is State.PASSED
        try:
            if self._following:
                await asyncio.wait({self._following}, timeout=_LAST_WORDS_SECONDS if ended else 0)
                await self._stop_following()
            elif ended:
                await follow(cluster, ref, TESTS, self.say)
            else:
                for line in (await cluster.logs(ref.namespace, ref.name, TESTS, _LAST_LINES)).splitlines():
                    self.say(line)
        except TkeError as error:
            self.log.warning("The output of the tests cannot be read: %s", error)

    async def _stop_following(self) -> None:
        if self._following:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following

    async def _remove(self, context: Context) -> None:
        """Delete the pod, and read its output no more."""
        from tke_provider.clients.run_pods import remove

        with contextlib.suppress(TkeError):  # where the output counted, the log has said so by now
            await self._stop_following()
        try:
            async with await self._hook().cluster() as cluster:
                await remove(cluster, self._ref(context), operation_of(context).id)
        except TkeError as error:  # it decides nothing either, and the pod ends by its own deadline
            self.log.warning("The pod of the tests is left behind: %s", error)

    async def _mask(self, cluster: Cluster) -> None:
        """Let the log show no value of the Secrets."""
        from tke_provider.clients.run_pods import secret_values
        from tke_provider.hooks.connections import mask

        for name in self._surroundings().secrets:
            found = await secret_values(cluster, self.namespace, name)
            if found is None:
                self.log.warning("Secret %s cannot be read, so this log does not mask what it holds", name)
            await mask(*(found or ()))

    def _not_ended(self, image: Image, verdict: Verdict) -> TkeError:
        if verdict.state is State.EXPIRED:
            return DeadlineError(
                f"The tests of {image} were killed after {self.timeout:g} s",
                cause=verdict.reason,
                way_out="make them quicker, or raise the timeout",
            )
        if verdict.state is State.FAILED:
            return InputError(
                f"The tests of {image} cannot be run", cause=verdict.reason, way_out="correct what it names"
            )
        return InconclusiveError(
            f"The tests of {image} say nothing", cause=verdict.reason, way_out="run the task again"
        )

    def _hook(self) -> TkeKubernetesHook:
        return TkeKubernetesHook(self.tke_conn_id, self.cluster_id, self.region)

    def _ref(self, context: Context) -> ObjectRef:
        from tke_provider.clients.run_pods import ref_of

        return ref_of(self.namespace, operation_of(context).id)

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            namespace=self.namespace,
            service_account=self.service_account,
            secrets=tuple(self.secrets),
            reader_image=self.reader_image,
            pod_spec=self.pod_spec or {},
        )
