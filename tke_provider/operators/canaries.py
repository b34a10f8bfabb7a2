"""Releasing a service to a few of its users first."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tke_provider.domain.canaries import CANARY, StepLike, parse_steps
from tke_provider.operators.tracks import TkeTrackDeployOperator
from tke_provider.triggers.canaries import CanaryTrigger

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.releases import Record


class TkeCanaryDeployOperator(TkeTrackDeployOperator):
    """Gives a new version a share of the requests step by step, and rolls it out when it was good at each.

    The share is one of pods: a second Deployment ``<name>-canary`` runs beside the first, whose pods all stay, and the
    same Services lead to both. A Service ``<name>-canary`` leads to it alone. When a pod does not come up, a smoke test
    is answered wrongly or a gate says no, the canary is taken away, and nothing else was changed. After the last step
    all manifests are applied, and the canary goes when the rollout is up. ConfigMaps, Secrets, ServiceAccounts and
    volume claims that are new are there from the first step on; whatever the old version may use is changed only then.

    A service that does not exist yet, or would not change, is rolled out at once. The other parameters are those of
    :class:`~tke_provider.operators.tracks.TkeTrackDeployOperator` and
    :class:`~tke_provider.operators.rollouts.TkeDeployServiceOperator`.

    :param steps: the weights in percent, each alone or as ``{"weight": 10, "pause": 60}``: seconds that the canary has
        to stay good at that weight.
    :param timeout: seconds for everything but the pauses.
    :return: a :class:`~tke_provider.domain.rollouts.Release`.
    :raises RolloutError: when the new version was found bad; says at which step, why, and what serves now.
    """

    template_fields: Collection[str] = tuple(sorted((*TkeTrackDeployOperator.template_fields, "steps")))
    strategy = "canary"
    track = CANARY

    def __init__(self, *, steps: Sequence[StepLike] = (10, 50), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps = steps

    @property
    def seconds(self) -> float:
        """How long it may take in all."""
        return self.timeout + sum(step.pause for step in parse_steps(self.steps))

    @property
    def last_step(self) -> int:
        """How many steps there are before the rollout."""
        return len(self.steps)

    async def intend(self, cluster: Cluster, draft: Record) -> tuple[Record, list[Manifest]]:
        """Check the steps too."""
        parse_steps(self.steps)
        return await super().intend(cluster, draft)

    def trigger(self, context: Context, deadline: float) -> CanaryTrigger:
        """Return what takes the steps."""
        steps = [dataclasses.asdict(step) for step in parse_steps(self.steps)]
        return CanaryTrigger(steps=steps, **self.tracking(), **self.waiting(context, deadline))
