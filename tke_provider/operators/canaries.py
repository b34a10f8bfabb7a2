"""Releasing a service to a few of its users first."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

from tke_provider.domain.canaries import (
    BY_CLB,
    BY_INGRESS,
    CANARY,
    SCALE_DOWN_DELAY,
    TRAFFIC,
    StepLike,
    check_delay,
    check_whole,
    parse_steps,
)
from tke_provider.domain.choices import check_choice
from tke_provider.domain.ingresses import (
    API_VERSION,
    INGRESS,
    INGRESS_CLASS,
    canary_of,
    check_class,
    check_rivals,
    class_of,
    led_to,
    routed_to,
)
from tke_provider.domain.load_balancers import CONTROLLERS, balanced, check_balanced, check_version, weights_of
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.tracks import own_services
from tke_provider.exceptions import ManifestError
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

    A second Deployment ``<name>-canary`` runs beside the first, whose pods all stay, and a Service ``<name>-canary``
    leads to it alone. When a pod does not come up, a smoke test is answered wrongly or a gate says no, the canary is
    taken away, and nothing else was changed. After the last step all manifests are applied, and the canary goes when
    the rollout is up. ConfigMaps, Secrets, ServiceAccounts and volume claims that are new are there from the first
    step on; whatever the old version may use is changed only then.

    What gives it its share, says ``traffic``:

    - ``replicas``: the same Services lead to the pods of both, and the canary has its share of all pods.
    - ``ingress``: an Ingress ``<ingress>-canary`` of ingress-nginx takes the share
      (https://www.tencentcloud.com/document/product/457/38413), and the Services lead to the old version alone until
      the last step. Who asks them within the cluster meets that.
    - ``clb``: a CLB that sends to pods directly goes by what each weighs
      (https://cloud.tencent.com/document/practice/457/128647), which the pods that serve have to say in an annotation.
      Those of the canary are made anew at each step; the size of the old version counts as it is when a step begins.

    With the last two the canary has as many pods as bear its share at the load that each old one has, at least one.

    A service that does not exist yet, or would not change, is rolled out at once. The other parameters are those of
    :class:`~tke_provider.operators.tracks.TkeTrackDeployOperator` and
    :class:`~tke_provider.operators.rollouts.TkeDeployServiceOperator`.

    :param steps: the weights in percent, each alone or as ``{"weight": 10, "pause": 60}``: seconds that the canary has
        to stay good at that weight.
    :param traffic: what gives the new version its share; by an Ingress, weights are whole percents.
    :param scale_down_delay: seconds between the moment at which an Ingress gives the canary nothing any more and its
        removal, however the release ends; 0 to 60. The default is what ingress-nginx as it is installed needs to hear
        of it, with a margin; a controller that was told to reload less often needs more.
    :param timeout: seconds for everything but the pauses.
    :return: a :class:`~tke_provider.domain.rollouts.Release`.
    :raises ManifestError: when no such Ingress or CLB leads to the service, or it does not know weights; says which
        does not and what would help. Nothing was changed.
    :raises RolloutError: when the new version was found bad; says at which step, why, and what serves now.
    """

    template_fields: Collection[str] = tuple(sorted((*TkeTrackDeployOperator.template_fields, "steps")))
    strategy = "canary"
    track = CANARY

    def __init__(
        self,
        *,
        steps: Sequence[StepLike] = (10, 50),
        traffic: Literal["replicas", "ingress", "clb"] = "replicas",
        scale_down_delay: float = SCALE_DOWN_DELAY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.steps = steps
        self.traffic = traffic
        self.scale_down_delay = scale_down_delay
        check_choice("traffic", traffic, TRAFFIC)

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
        steps = parse_steps(self.steps)
        draft = dataclasses.replace(draft, scale_down_delay=check_delay(self.scale_down_delay))
        if self.traffic == BY_INGRESS:
            check_whole(steps)
        return await super().intend(cluster, draft)

    async def meanwhile(
        self, cluster: Cluster, services: Sequence[Manifest], deployment: Manifest, stable: Manifest
    ) -> Sequence[Manifest]:
        """Check that there is what gives the canary its share, and return what it needs for that."""
        if self.traffic == BY_INGRESS:
            return await self._by_ingress(cluster, services, deployment)
        if self.traffic == BY_CLB:
            await self._check_clb(cluster, services, (deployment, stable))
        return ()

    async def _by_ingress(
        self, cluster: Cluster, services: Sequence[Manifest], deployment: Manifest
    ) -> Sequence[Manifest]:
        names = {each["metadata"]["name"] for each in services}
        everyone = await cluster.list(API_VERSION, INGRESS, self.namespace)
        if not (routed := routed_to(everyone, names)):
            raise ManifestError(
                f"No Ingress leads to {ObjectRef.of(deployment)}, so none can give its canary a share",
                way_out="deploy an Ingress of ingress-nginx first, or write traffic='replicas'",
            )
        for each in routed:
            name = class_of(each)
            ref = ObjectRef(API_VERSION, INGRESS_CLASS, "", name)
            check_class(each, await cluster.get(ref) if name else None)
        check_rivals(everyone, routed, names)
        canaries = [canary_of(each, names, CANARY) for each in routed]
        return [*own_services(led_to(routed, services), deployment, CANARY), *canaries, *services]

    async def _check_clb(self, cluster: Cluster, services: Sequence[Manifest], versions: Sequence[Manifest]) -> None:
        names = {each["metadata"]["name"] for each in services}
        ingresses = routed_to(await cluster.list(API_VERSION, INGRESS, self.namespace), names)
        if not (fronts := balanced(services, ingresses)):
            raise ManifestError(
                f"No CLB leads to {ObjectRef.of(versions[0])}, so none can give its canary a share",
                way_out="use a Service of type LoadBalancer or an Ingress of class qcloud, or write traffic='replicas'",
            )
        for each in fronts:
            check_balanced(each)
        kinds = sorted({each["kind"] for each in fronts})
        for kind in kinds:
            config = await cluster.get(ObjectRef("v1", "ConfigMap", "kube-system", CONTROLLERS[kind].config))
            check_version(kind, str(((config or {}).get("data") or {}).get("VERSION", "")))
        for version in versions:
            weights_of(version, kinds)

    def trigger(self, context: Context, deadline: float) -> CanaryTrigger:
        """Return what takes the steps."""
        steps = [dataclasses.asdict(step) for step in parse_steps(self.steps)]
        return CanaryTrigger(steps=steps, traffic=self.traffic, **self.tracking(), **self.waiting(context, deadline))
