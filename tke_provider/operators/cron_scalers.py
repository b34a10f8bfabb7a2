"""Let the cluster itself scale by time, with TKE's own HorizontalPodCronscaler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

from tke_provider.clients.leases import held, others
from tke_provider.clients.objects import autoscalers
from tke_provider.clients.plan_targets import being_changed
from tke_provider.domain.choices import check_choice
from tke_provider.domain.cron_scalers import (
    ADD_ON,
    API_VERSION,
    KIND,
    TARGET_KINDS,
    CronRule,
    build,
    check_alone,
    show,
)
from tke_provider.domain.manifests import ObjectRef, stamp
from tke_provider.domain.rehearsals import Line
from tke_provider.domain.scaling import Bounds
from tke_provider.exceptions import InputError, NotFoundError, OwnedError
from tke_provider.links.console import ClusterLink
from tke_provider.operators.base import open_cluster, operation_of
from tke_provider.operators.rehearsals import TkeRehearsableOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.domain.manifests import Manifest

Presence = Literal["present", "absent"]
_API_VERSIONS = {"HorizontalPodAutoscaler": "autoscaling/v2"}
_KEYS = frozenset({"name", "schedule", "size", "min", "max", "exclude"})


class CronScaled(TypedDict):
    """The scaler, as it lies in XCom."""

    scaler: str
    target: str
    rules: list[str]


class TkeCronScalerOperator(TkeRehearsableOperator):
    """Give a workload, or the HPA of one, sizes at times of the day, which the cluster keeps to without Airflow.

    Needs TKE's add-on ``tke-hpc-controller``. Its clock is that of the cluster's nodes. For calendars with holidays,
    and for nodes that come before pods, use a scaling plan.

    :param namespace: of the scaler and of what it scales.
    :param name: of the scaler.
    :param target: name of the Deployment, StatefulSet or HorizontalPodAutoscaler.
    :param target_kind: one of these three.
    :param rules: each ``{"name", "schedule", "size"}``, or of an HPA ``{"name", "schedule", "min", "max"}``; schedules
        have six cron fields, the first of which is the second; ``exclude`` lists days to leave out, in six fields, too.
    :param state: ``present``, or ``absent`` to remove the scaler: the size then stays as it last was.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param region: default: the connection's.
    :param dry_run: only say what would be changed; see
        :class:`~tke_provider.operators.rehearsals.TkeRehearsableOperator`.
    :returns: the scaler, its target, and the names of its rules.
    :raises InputError: when a rule cannot be understood. Nothing was changed.
    :raises NotFoundError: when there is no such target, or the add-on is not installed. Nothing was changed.
    :raises OwnedError: when something else writes the size already. Nothing was changed.
    :raises BusyError: while another operation changes the target; a retry helps.
    """

    template_fields = ("cluster_id", "name", "namespace", "region", "rules", "target", "tke_conn_id")
    operator_extra_links = (ClusterLink(),)

    def __init__(
        self,
        *,
        namespace: str,
        name: str,
        target: str,
        rules: Sequence[Mapping[str, Any]] = (),
        target_kind: str = "Deployment",
        state: Presence = "present",
        cluster_id: str | None = None,
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.namespace = namespace
        self.name = name
        self.target = target
        self.rules = rules
        check_choice("target_kind", target_kind, TARGET_KINDS)
        check_choice("state", state, get_args(Presence))
        self.target_kind = target_kind
        self.state = state
        self.cluster_id = cluster_id
        self.region = region

    @property
    def ref(self) -> ObjectRef:
        """The scaler."""
        return ObjectRef(API_VERSION, KIND, self.namespace, self.name)

    @property
    def scaled(self) -> ObjectRef:
        """What it scales."""
        api_version = _API_VERSIONS.get(self.target_kind, "apps/v1")
        return ObjectRef(api_version, self.target_kind, self.namespace, self.target)

    async def perform(self, context: Context) -> CronScaled:
        """Apply the scaler, or remove it."""
        ref, target, manifest = self.ref, self.scaled, self._manifest()
        operation = operation_of(context).id
        async with await open_cluster(self) as cluster:
            await self._check(cluster)
            if manifest is None:
                await cluster.delete(ref)
                return {"scaler": str(ref), "target": str(target), "rules": []}
            async with held(cluster, [(target.namespace, target.name)], operation):
                check_alone(ref, target, await autoscalers(cluster, self.namespace))
                stamp([manifest], operation, "")
                await cluster.apply(manifest)
        return {
            "scaler": str(ref),
            "target": str(target),
            "rules": [each["name"] for each in manifest["spec"]["crons"]],
        }

    async def rehearse(self, context: Context) -> list[Line]:
        """Let the cluster check the scaler, and say what would become of its rules."""
        manifest = self._manifest()
        async with await open_cluster(self) as cluster:
            await self._check(cluster)
            live = await cluster.get(self.ref)
            wanted = await cluster.apply(manifest, dry_run=True) if manifest else None
            blockers = await self._blockers(cluster, operation_of(context).id) if manifest else ()
        before, after = show(live), show(wanted)
        return [Line(ref=str(self.ref), before=before, after=after, why="as asked for", blockers=blockers)]

    async def _blockers(self, cluster: Cluster, operation: str) -> tuple[str, ...]:
        held_by = await others(cluster, self.namespace, operation)
        told = being_changed(held_by.get(self.target))
        try:
            check_alone(self.ref, self.scaled, await autoscalers(cluster, self.namespace))
        except OwnedError as error:
            return (error.problem, *told)
        return told

    def _manifest(self) -> Manifest | None:
        """Return what is asked for; nothing where the scaler is to go."""
        return build(self.ref, self.scaled, [_rule(each) for each in self.rules]) if self.state == "present" else None

    async def _check(self, cluster: Cluster) -> None:
        await _check_add_on(cluster)
        if self.state == "present" and await cluster.get(self.scaled) is None:
            raise NotFoundError(
                f"There is no {self.scaled} in cluster {cluster.name}", way_out="check its name and kind"
            )


async def _check_add_on(cluster: Cluster) -> None:
    try:
        await cluster.namespaced(API_VERSION, KIND)
    except NotFoundError as error:
        raise NotFoundError(
            f"Cluster {cluster.name} has no {KIND}", cause=error.cause, way_out=f"install the add-on {ADD_ON}"
        ) from error


def _rule(said: Mapping[str, Any]) -> CronRule:
    if unknown := said.keys() - _KEYS:
        raise InputError(f"A rule says {', '.join(sorted(unknown))}", way_out=f"it may say {', '.join(sorted(_KEYS))}")
    try:
        size = int(said["size"]) if "size" in said else Bounds(int(said["min"]), int(said["max"]))
        return CronRule(
            name=said["name"], schedule=said["schedule"], size=size, exclude=tuple(said.get("exclude") or ())
        )
    except KeyError as error:
        raise InputError(
            f"A rule has no {error.args[0]}", way_out="give name, schedule, and size or min and max"
        ) from error
