"""Whether the newest version of a workload is up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.domain.rollouts import MAX_CRASHES
from tke_provider.links.console import ClusterLink, WorkloadLink
from tke_provider.sensors.base import TkeBaseSensor
from tke_provider.triggers.rollouts import RolloutTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence


class TkeRolloutSensor(TkeBaseSensor):
    """Waits until a workload that anybody changed is up in its newest version. A workload yet to be made is awaited.

    Fails at once when waiting cannot help: the image does not exist, the container crashes again and again.

    :param name: the workload's name.
    :param namespace: where it is.
    :param kind: ``Deployment`` (default), ``StatefulSet``, ``DaemonSet`` or ``Job``, which is awaited until it is done.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    :param max_crashes: how often a new container may end before the rollout counts as failed.
    """

    template_fields: Sequence[str] = ("cluster_id", "kind", "name", "namespace", "region", "tke_conn_id")
    operator_extra_links = (ClusterLink(), WorkloadLink())

    def __init__(
        self,
        *,
        name: str,
        namespace: str,
        kind: str = "Deployment",
        cluster_id: str | None = None,
        region: str | None = None,
        max_crashes: int = MAX_CRASHES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.namespace = namespace
        self.kind = kind
        self.cluster_id = cluster_id
        self.region = region
        self.max_crashes = max_crashes

    @property
    def service(self) -> str:
        """The workload, as the console link calls it."""
        return self.name

    def trigger(self, deadline: float) -> RolloutTrigger:
        """Return what looks at the workload."""
        return RolloutTrigger(
            tke_conn_id=self.tke_conn_id,
            deadline=deadline,
            poll_interval=self.poke_interval,
            namespace=self.namespace,
            workloads=[f"{self.kind}/{self.name}"],
            cluster_id=self.cluster_id,
            region=self.region,
            max_crashes=self.max_crashes,
        )
