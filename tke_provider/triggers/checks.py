"""Waits until the tests in a pod have ended."""

from __future__ import annotations

from typing import Any, ClassVar

from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.run_pods import all_run, assess_run
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.triggers.base import TkeBaseTrigger


class PodRunTrigger(TkeBaseTrigger):
    """Waits until the tests in a pod have ended, or it is certain that they never will.

    When a person ends the waiting task, whatever for, the pod is deleted. (Airflow 3.3; before it, the pod ends by its
    own deadline.)

    :param namespace: where the pod is.
    :param pod: its name.
    :param operation: whose it is.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    """

    arguments: ClassVar[tuple[str, ...]] = ("namespace", "pod", "operation", "cluster_id", "region")

    def __init__(
        self,
        *,
        namespace: str,
        pod: str,
        operation: str,
        cluster_id: str | None = None,
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.namespace = namespace
        self.pod = pod
        self.operation = operation
        self.cluster_id = cluster_id
        self.region = region

    async def look(self) -> Verdict:
        """Look at the pod; where it has not come up, at the events that tell why."""
        ref = ObjectRef("v1", "Pod", self.namespace, self.pod)
        async with await self._hook().cluster() as cluster:
            pod = await cluster.get(ref)
            verdict = assess_run(self.pod, pod)
            if pod is None or verdict.state is not State.PENDING or all_run(pod):
                return verdict
            fields = f"type=Warning,involvedObject.name={self.pod}"
            return assess_run(self.pod, pod, await cluster.list("v1", "Event", self.namespace, field_selector=fields))

    async def ended_by_person(self) -> None:
        """Delete the pod: nobody waits for it any more."""
        from tke_provider.clients.run_pods import ref_of, remove

        async with await self._hook().cluster() as cluster:
            await remove(cluster, ref_of(self.namespace, self.operation), self.operation)

    def _hook(self) -> TkeKubernetesHook:
        return TkeKubernetesHook(self.tke_conn_id, self.cluster_id, self.region)
