"""What releases have in common that have a second version beside the one that serves."""

from __future__ import annotations

import abc
import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from tke_provider.domain.manifests import ObjectRef, stamp
from tke_provider.domain.metrics import Gate
from tke_provider.domain.releases import has_way_back
from tke_provider.domain.smoke_tests import SmokeTest
from tke_provider.domain.tracks import beside, deployment_of, is_second, leading_to, named, own_service
from tke_provider.exceptions import ManifestError
from tke_provider.operators.rollouts import TkeDeployServiceOperator

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.releases import Record


class TkeTrackDeployOperator(TkeDeployServiceOperator, abc.ABC):
    """Releases one Deployment with the new version beside the one that serves, and lets checks decide.

    :param gates: what metrics of the new version must be, each a :class:`~tke_provider.domain.metrics.Gate` or its
        plain form. Its queries may say ``{service}``, ``{namespace}``, ``{version}`` (the commit), ``{workload}`` (the
        Deployment) and ``{pods}`` (a regular expression of its pods' names). A gate that fails ends the release; one
        that says nothing is waited for, and never taken for a pass.
    :param smoke_tests: what the new version is asked, each the parameters of a
        :class:`~tke_provider.domain.smoke_tests.SmokeTest`; ``service`` is the Service that leads to the new version
        alone where none is given. The first wrong answer ends the release.
    :param prometheus_conn_id: connection to Prometheus, for gates.
    """

    template_fields: Collection[str] = tuple(
        sorted((*TkeDeployServiceOperator.template_fields, "gates", "prometheus_conn_id", "smoke_tests"))
    )
    track: ClassVar[str]

    def __init__(
        self,
        *,
        gates: Sequence[Gate | Mapping[str, Any]] = (),
        smoke_tests: Sequence[SmokeTest | Mapping[str, Any]] = (),
        prometheus_conn_id: str = "prometheus_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gates = gates
        self.smoke_tests = smoke_tests
        self.prometheus_conn_id = prometheus_conn_id

    @property
    @abc.abstractmethod
    def last_step(self) -> int:
        """How many steps a release has in which there are two versions."""

    async def meanwhile(
        self,
        cluster: Cluster,  # noqa: ARG002  # not each strategy needs to ask
        services: Sequence[Manifest],  # noqa: ARG002
        deployment: Manifest,  # noqa: ARG002
        stable: Manifest,  # noqa: ARG002
    ) -> Sequence[Manifest]:
        """Return what else is there, or is changed, only while the release goes on.

        :param services: those that lead to the pods that serve.
        :param deployment: as it is to be.
        :param stable: as it serves.
        """
        return ()

    async def intend(self, cluster: Cluster, draft: Record) -> tuple[Record, list[Manifest]]:
        """Check the inputs, and return the manifests with the images in them."""
        draft, manifests = await super().intend(cluster, draft)
        self._gates()
        self._smoke_tests(deployment_of(manifests, self.strategy)["metadata"]["name"])
        return draft, manifests

    def served(self, manifests: Sequence[Manifest]) -> list[Manifest]:
        """Return the Deployment: its Services may be others' manifests."""
        return [deployment_of(manifests, self.strategy)]

    async def start(self, cluster: Cluster, draft: Record, manifests: list[Manifest], context: Context) -> None:  # noqa: ARG002
        """Write down what is intended. Whatever waits takes the steps."""
        from tke_provider.clients.objects import place

        await place(cluster, manifests, self.namespace)
        deployment = deployment_of(manifests, self.strategy)
        stable = await cluster.get(ObjectRef.of(deployment))
        self._name = deployment["metadata"]["name"]
        if stable is None or await self._is_same(cluster, deployment, stable):
            # Nothing to compare with, or nothing to compare: then it is a plain rollout.
            await self.begin(cluster, dataclasses.replace(draft, step=self.last_step), manifests)
            return
        services = await self._services(cluster, draft, deployment)
        second = beside(deployment, self.track, int(stable["spec"].get("replicas", 1)))
        front = own_service(services, deployment, self.track)
        more = [*await self.meanwhile(cluster, services, deployment, stable)]
        stamp(more, draft.op, draft.commit)
        aside = {ObjectRef.of(each): each for each in (front, second, *more) if each}
        await self._refuse_namesake(cluster, [ref for ref, each in aside.items() if is_second(each)])
        await self.begin(cluster, draft, manifests, [*aside.values()])

    async def _is_same(self, cluster: Cluster, deployment: Manifest, stable: Manifest) -> bool:
        """Whether no pod would change."""
        after = await cluster.apply(deployment, dry_run=True)
        return bool(after["spec"]["template"] == stable["spec"]["template"])

    async def _services(self, cluster: Cluster, draft: Record, deployment: Manifest) -> list[Manifest]:
        """Return the Services that lead to the pods that serve, as they were before any release changed them."""
        from tke_provider.clients.releases import read
        from tke_provider.domain.releases import as_it_was

        previous = await read(cluster, draft.namespace, draft.service)
        known = previous.before if previous and has_way_back(previous, draft.op) else {}
        live = await cluster.list("v1", "Service", draft.namespace)
        found = [known.get(ObjectRef.of(each)) or as_it_was(each) for each in live if not is_second(each)]
        return leading_to(found, deployment)

    async def _refuse_namesake(self, cluster: Cluster, seconds: Sequence[ObjectRef]) -> None:
        for ref in seconds:
            live = await cluster.get(ref)
            if live is not None and not is_second(live):
                raise ManifestError(
                    f"{ref} is somebody's own, and the second version would take its name",
                    way_out="rename it, or use TkeDeployServiceOperator",
                )

    def tracking(self) -> dict[str, Any]:
        """Return the arguments that whatever takes the steps has beside those of every release."""
        return {
            "name": self._name,
            "gates": self._gates(),
            "smoke_tests": self._smoke_tests(self._name),
            "prometheus_conn_id": self.prometheus_conn_id,
        }

    def _gates(self) -> list[dict[str, Any]]:
        return [(each if isinstance(each, Gate) else Gate.parse(each)).as_dict() for each in self.gates]

    def _smoke_tests(self, name: str) -> list[dict[str, Any]]:
        plain = [dataclasses.asdict(each) if isinstance(each, SmokeTest) else dict(each) for each in self.smoke_tests]
        where = {"service": named(name, self.track), "namespace": self.namespace}
        tests = [SmokeTest(**({} if each.get("url") else where) | each) for each in plain]
        return [{**dataclasses.asdict(each), "command": list(each.command)} for each in tests]
