"""Let the cluster itself scale by time, with TKE's own HorizontalPodCronscaler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

from tke_provider.clients.leases import held
from tke_provider.clients.objects import autoscalers
from tke_provider.domain.choices import check_choice
from tke_provider.domain.cron_scalers import ADD_ON, API_VERSION, KIND, TARGET_KINDS, CronRule, build, check_alone
from tke_provider.domain.manifests import ObjectRef, stamp
from tke_provider.domain.scaling import Bounds
from tke_provider.exceptions import InputError, NotFoundError
from tke_provider.links.console import ClusterLink
from tke_provider.operators.base import TkeBaseOperator, open_cluster, operation_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.kubernetes import Cluster

Presence = Literal["present", "absent"]
_API_VERSIONS = {"HorizontalPodAutoscaler": "autoscaling/v2"}
_KEYS = frozenset({"name", "schedule", "size", "min", "max", "exclude"})


class CronScaled(TypedDict):
    """The scaler, as it lies in XCom."""

    scaler: str
    target: str
    rules: list[str]


class TkeCronScalerOperator(TkeBaseOperator):
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

    async def perform(self, context: Context) -> CronScaled:
        """Apply the scaler, or remove it."""
        ref = ObjectRef(API_VERSION, KIND, self.namespace, self.name)
        api_version = _API_VERSIONS.get(self.target_kind, "apps/v1")
        target = ObjectRef(api_version, self.target_kind, self.namespace, self.target)
        manifest = build(ref, target, [_rule(each) for each in self.rules]) if self.state == "present" else None
        operation = operation_of(context).id
        async with await open_cluster(self) as cluster:
            await _check_add_on(cluster)
            if manifest is None:
                await cluster.delete(ref)
                return {"scaler": str(ref), "target": str(target), "rules": []}
            if await cluster.get(target) is None:
                raise NotFoundError(
                    f"There is no {target} in cluster {cluster.name}", way_out="check its name and kind"
                )
            async with held(cluster, [(target.namespace, target.name)], operation):
                check_alone(ref, target, await autoscalers(cluster, self.namespace))
                stamp([manifest], operation, "")
                await cluster.apply(manifest)
        return {
            "scaler": str(ref),
            "target": str(target),
            "rules": [each["name"] for each in manifest["spec"]["crons"]],
        }


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
