"""Let the cluster follow a metric by itself: HPAs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tke_provider.clients import leases
from tke_provider.clients.plan_targets import being_changed
from tke_provider.clients.scaling import find_number
from tke_provider.domain.autoscalers import API_VERSION, KIND, Autoscaler, compare, manifest, metrics_of
from tke_provider.domain.choices import check_choice
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.operations import OPERATION
from tke_provider.domain.scaling import Bounds, owned, whole_number
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import ConflictError, DeadlineError, InconclusiveError, InputError, TkeError
from tke_provider.links.console import ClusterLink, WorkloadLink
from tke_provider.operators.base import TkeWaitingOperator, open_cluster, operation_of
from tke_provider.operators.rehearsals import TkeRehearsableOperator
from tke_provider.triggers.autoscalers import AutoscalerTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.clients.scaling import Number
    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.owners import Owner
    from tke_provider.domain.rehearsals import Line

_KINDS = ("Deployment", "StatefulSet")


class TkeConfigureHpaOperator(TkeRehearsableOperator, TkeWaitingOperator):
    """Give a service an HPA (``autoscaling/v2``), or change the one it has, and wait until that sees its metrics.

    A misspelt metric, or one that nobody provides, leaves an HPA that never scales and tells nobody but its status;
    this task fails then, in the HPA's own words.

    :param namespace: where the service runs.
    :param name: of its Deployment or StatefulSet; also of an HPA that is made.
    :param minimum: the least pods, 1 or more.
    :param maximum: the most pods.
    :param metrics: name to target for the average pod: ``cpu`` and ``memory`` in per cent of what its containers
        request; ``network_in`` and ``network_out``, and any other metric by its name in TKE (``k8s_pod_…``), in that
        metric's unit.
    :param behavior: how fast it goes up and down, as in ``autoscaling/v2``; default: Kubernetes' own.
    :param kind: ``Deployment`` or ``StatefulSet``.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param region: of the cluster; default: the connection's.
    :param timeout: seconds until it has to see its metrics; the first minute after its making it rarely does.
    :param dry_run: only say what would be changed; see
        :class:`~tke_provider.operators.rehearsals.TkeRehearsableOperator`.
    :return: ``{"name", "minimum", "maximum", "metrics", "reason"}``
    :raises InputError: when bounds or metrics make no sense, or the service has a size of 0. Nothing was changed.
    :raises NotFoundError: when there is no such service. Nothing was changed.
    :raises OwnedError: when KEDA or a HorizontalPodCronscaler writes the size or the bounds. Nothing was changed.
    :raises DeadlineError: when it does not see its metrics in time; says why. It stays as it was asked for.
    """

    template_fields = (
        "behavior",
        "cluster_id",
        "kind",
        "maximum",
        "metrics",
        "minimum",
        "name",
        "namespace",
        "region",
        "tke_conn_id",
    )
    operator_extra_links = (ClusterLink(), WorkloadLink())
    _hpa = ""  # its name, found before anything is written

    def __init__(
        self,
        *,
        namespace: str,
        name: str,
        minimum: int | str,
        maximum: int | str,
        metrics: Mapping[str, object],
        behavior: Mapping[str, Any] | None = None,
        kind: str = "Deployment",
        cluster_id: str | None = None,
        region: str | None = None,
        timeout: float = 180.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.namespace = namespace
        self.name = name
        self.minimum = minimum
        self.maximum = maximum
        self.metrics = metrics
        self.behavior = behavior
        self.kind = kind
        self.cluster_id = cluster_id
        self.region = region

    @property
    def service(self) -> str:
        """The workload, as the console link calls it."""
        return self.name

    @property
    def ref(self) -> ObjectRef:
        """The workload."""
        return ObjectRef("apps/v1", self.kind, self.namespace, self.name)

    async def change(self, context: Context) -> None:
        """Apply the HPA, as the service's only one."""
        operation = operation_of(context).id
        wanted = self._manifest(self.name, operation)
        async with await open_cluster(self) as cluster:
            await leases.acquire(cluster, self.namespace, self.name, operation)
            try:
                number = await self._number(cluster)
                if number.owner and _is_foreign(number.owner):
                    raise owned(str(self.ref), number.owner)
                self._hpa = wanted["metadata"]["name"] = number.owner.name if number.owner else self.name
                await cluster.apply(wanted)
            finally:
                await leases.release(cluster, self.namespace, self.name, operation)

    async def rehearse(self, context: Context) -> list[Line]:
        """Let the cluster check the HPA, and say what it would become."""
        operation = operation_of(context).id
        wanted = self._manifest(self.name, operation)
        async with await open_cluster(self) as cluster:
            number = await self._number(cluster)
            blockers = being_changed((await leases.others(cluster, self.namespace, operation)).get(self.name))
            if _is_foreign(number.owner):
                blockers = (f"its size is written by {number.owner}", *blockers)
            elif number.owner:
                wanted["metadata"]["name"] = number.owner.name
            after = await cluster.apply(wanted, dry_run=True)
            live = await cluster.get(ObjectRef.of(after))
        return [dataclasses.replace(compare(live, after), owner=str(number.owner or ""), blockers=blockers)]

    async def _number(self, cluster: Cluster) -> Number:
        """Find what sizes the service now.

        :raises InputError: when it has no pods: the cluster disables its HPA then.
        """
        number = await find_number(cluster, self.ref)
        live = await cluster.get(self.ref) if number.owner else number.live
        if live and not _is_foreign(number.owner) and not live["spec"].get("replicas", 1):
            raise InputError(
                f"{self.ref} has a size of 0, at which an HPA does nothing",
                way_out="give it a pod or more first; an HPA never does",
            )
        return number

    def trigger(self, context: Context, deadline: float) -> AutoscalerTrigger:  # noqa: ARG002
        """Return what waits."""
        return AutoscalerTrigger(
            tke_conn_id=self.tke_conn_id,
            deadline=deadline,
            poll_interval=self.poll_interval,
            namespace=self.namespace,
            name=self._hpa,
            cluster_id=self.cluster_id,
            region=self.region,
        )

    async def conclude(self, context: Context, verdict: Verdict) -> Autoscaler:  # noqa: ARG002
        """Return the HPA, or say what it does not see."""
        if verdict.state is not State.PASSED:
            kinds: dict[State, type[TkeError]] = {State.EXPIRED: DeadlineError, State.FAILED: ConflictError}
            raise kinds.get(verdict.state, InconclusiveError)(
                f"The HPA of {self.ref} does not see its metrics",
                cause=verdict.reason,
                way_out="correct the metric, or provide it; meanwhile the HPA stays and does not scale",
            )
        async with await open_cluster(self) as cluster:
            owner = (await find_number(cluster, self.ref)).owner
            name = owner.name if owner else self.name
            live = await cluster.get(ObjectRef(API_VERSION, KIND, self.namespace, name))
        spec = (live or self._manifest(name, ""))["spec"]
        return {
            "name": f"{self.namespace}/{name}",
            "minimum": spec["minReplicas"],
            "maximum": spec["maxReplicas"],
            "metrics": metrics_of({"spec": spec}),
            "reason": verdict.reason,
        }

    def _manifest(self, name: str, operation: str) -> Manifest:
        check_choice("kind", self.kind, _KINDS)
        bounds = Bounds(whole_number("minimum", self.minimum), whole_number("maximum", self.maximum))
        ref = ObjectRef(API_VERSION, KIND, self.namespace, name)
        wanted = manifest(ref, self.ref, bounds, self.metrics, self.behavior)
        wanted["metadata"]["annotations"] = {OPERATION: operation}
        return wanted


def _is_foreign(owner: Owner | None) -> bool:
    """Whether something else than an HPA writes the size."""
    return owner is not None and owner.kind != KIND
