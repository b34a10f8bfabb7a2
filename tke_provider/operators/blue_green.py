"""Releasing a service beside the version that serves, and switching to it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.domain.blue_green import GREEN, KEPT
from tke_provider.exceptions import InputError
from tke_provider.operators.tracks import TkeTrackDeployOperator
from tke_provider.triggers.blue_green import BlueGreenTrigger

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.releases import Record


class TkeBlueGreenDeployOperator(TkeTrackDeployOperator):
    """Brings up the new version at full size beside the old one, checks it, and switches the Services to it.

    The new version runs as ``<name>-green``, and a Service ``<name>-green`` leads to it alone. Before the switch it is
    asked the smoke tests, by which no user is reached; after it smoke tests and gates, as long as the old version is
    kept. Whenever it is found bad, or the task is killed, the Services lead to the old version again. Then the
    Deployment itself is rolled out to the new version, unasked by users, the Services become what the manifests say,
    and ``<name>-green`` goes: so names, autoscalers and manifests stay true.

    A service that does not exist yet, or would not change, is rolled out at once. The other parameters are those of
    :class:`~tke_provider.operators.tracks.TkeTrackDeployOperator` and
    :class:`~tke_provider.operators.rollouts.TkeDeployServiceOperator`.

    :param keep: seconds that the old version is kept at full size after the switch.
    :param timeout: seconds for everything but ``keep``.
    :return: a :class:`~tke_provider.domain.rollouts.Release`.
    :raises InputError: when no Service leads to the pods, so that nothing can be switched.
    :raises RolloutError: when the new version was found bad; says why, and what serves now.
    """

    template_fields: Collection[str] = tuple(sorted((*TkeTrackDeployOperator.template_fields, "keep")))
    strategy = "blue-green"
    track = GREEN
    last_step = KEPT

    def __init__(self, *, keep: float | str = 300.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keep = keep

    @property
    def seconds(self) -> float:
        """How long it may take in all."""
        return self.timeout + self._kept()

    async def intend(self, cluster: Cluster, draft: Record) -> tuple[Record, list[Manifest]]:
        """Check ``keep`` too."""
        self._kept()
        return await super().intend(cluster, draft)

    def _kept(self) -> float:
        """Read the seconds, which a template makes a text."""
        try:
            seconds = float(self.keep)
        except ValueError:
            seconds = -1
        if not 0 <= seconds < float("inf"):
            raise InputError(f"keep is {self.keep!r}", way_out="give seconds, 0 or more")
        return seconds

    async def meanwhile(
        self,
        cluster: Cluster,  # noqa: ARG002  # what leads to the pods says enough
        services: Sequence[Manifest],
        deployment: Manifest,  # noqa: ARG002
        stable: Manifest,  # noqa: ARG002
    ) -> Sequence[Manifest]:
        """Return the Services that are switched."""
        if not services:
            raise InputError(
                f"No Service leads to the pods of {self._name} in namespace {self.namespace}",
                way_out="let a Service select them, or use TkeDeployServiceOperator: there is nothing to switch",
            )
        return services

    def trigger(self, context: Context, deadline: float) -> BlueGreenTrigger:
        """Return what takes the steps."""
        return BlueGreenTrigger(keep=self._kept(), **self.tracking(), **self.waiting(context, deadline))
