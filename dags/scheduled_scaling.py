"""A service and its node pool on working hours: nodes before pods on the way up, pods before nodes on the way down.

Copy this file and set the windows. Each run sets the size that should hold *now*, so a late, missed or repeated run
heals. Started from the UI, the form can name another instant, to see what would hold then.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import timezone
from airflow.sdk import DAG, CronTriggerTimetable, Param, chain, task

from tke_provider.operators.scaling import TkeScaleNodePoolOperator, TkeScaleServiceOperator

ZONE = "Asia/Shanghai"
# Weekdays as in cron: 1 is Monday.
WORKING_HOURS = {"days": "1-5", "start": "08:00", "end": "20:00"}

FORM = {
    "namespace": Param(
        "production", type="string", minLength=1, title="Namespace", description="Where in the cluster it runs."
    ),
    "service": Param("shop", type="string", minLength=1, title="Service", description="Name of the Deployment."),
    "node_pool": Param("web", type="string", minLength=1, title="Node pool", description="Id or name."),
    "pods_by_day": Param(
        4,
        type="integer",
        minimum=1,
        maximum=100,
        title="Pods in working hours",
        description="Set from Monday to Friday.",
    ),
    "pods_by_night": Param(
        1, type="integer", minimum=0, maximum=100, title="Pods otherwise", description="Set at all other times."
    ),
    "nodes_by_day": Param(
        3,
        type="integer",
        minimum=0,
        maximum=100,
        title="Nodes in working hours",
        description="They are there before the pods come.",
    ),
    "nodes_by_night": Param(
        1,
        type="integer",
        minimum=0,
        maximum=100,
        title="Nodes otherwise",
        description="They go after the pods have gone.",
    ),
    "at": Param(
        None,
        type=["null", "string"],
        format="date-time",
        title="Instant",
        description="Set the size that holds at this instant instead of now.",
    ),
}

with DAG(
    dag_id="scheduled_scaling",
    # [START schedule]
    # A little more often than the size changes: what one run missed, the next one heals.
    schedule=CronTriggerTimetable("*/30 7-21 * * *", timezone=ZONE),
    # [END schedule]
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    is_paused_upon_creation=True,
    params=FORM,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=30)},
    tags=["tke", "scaling"],
    doc_md=__doc__,
) as dag:

    @task
    def size_for_now(params: dict[str, Any]) -> dict[str, int]:
        """Return the sizes that should hold, and log which window they come from."""
        from tke_provider.domain.windows import Window, size_at

        now = timezone.parse(params["at"]) if params["at"] else timezone.utcnow()
        sizes = {}
        for what in ("pods", "nodes"):
            window = Window(**WORKING_HOURS, zone=ZONE, size=params[f"{what}_by_day"])
            sizes[what] = size_at(now, [window], otherwise=params[f"{what}_by_night"])
        print(f"At {now.isoformat()}: {sizes['pods']} pods on {sizes['nodes']} nodes")
        return sizes

    sizes = size_for_now()

    # [START scale_nodes]
    nodes_up = TkeScaleNodePoolOperator(
        task_id="nodes_up",
        node_pool="{{ params.node_pool }}",
        desired=sizes["nodes"],
        direction="up",
        deferrable=True,
    )
    # [END scale_nodes]
    # [START scale_service]
    pods = TkeScaleServiceOperator(
        task_id="pods",
        namespace="{{ params.namespace }}",
        name="{{ params.service }}",
        replicas=sizes["pods"],
        deferrable=True,
    )
    # [END scale_service]
    nodes_down = TkeScaleNodePoolOperator(
        task_id="nodes_down",
        node_pool="{{ params.node_pool }}",
        desired=sizes["nodes"],
        direction="down",
        deferrable=True,
    )
    chain(sizes, nodes_up, pods, nodes_down)
