"""A service follows its requests: one pod for every so many requests a second, within bounds.

Copy this file and put your own metric into the query, such as the length of a queue. For CPU and memory an HPA does the
same by itself; this is for what an HPA cannot see or cannot weigh.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import timezone
from airflow.sdk import DAG, CronTriggerTimetable, Param

from tke_provider.operators.metrics import TkeScaleOnMetricOperator

FORM = {
    "namespace": Param(
        "production", type="string", minLength=1, title="Namespace", description="Where in the cluster it runs."
    ),
    "service": Param("shop", type="string", minLength=1, title="Service", description="Name of the Deployment."),
    "requests_per_pod": Param(
        20,
        type="number",
        exclusiveMinimum=0,
        maximum=100000,
        title="Requests a second that one pod takes",
        description="By what one pod can take, the number of pods is computed.",
    ),
    "minimum": Param(
        1,
        type="integer",
        minimum=1,
        maximum=100,
        title="Least pods",
        description="As many run, however little is asked.",
    ),
    "maximum": Param(
        6, type="integer", minimum=1, maximum=100, title="Most pods", description="No more run, however much is asked."
    ),
}

with DAG(
    dag_id="metric_scaling",
    schedule=CronTriggerTimetable("*/5 * * * *", timezone="Asia/Shanghai"),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    is_paused_upon_creation=True,
    params=FORM,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    tags=["tke", "scaling"],
    doc_md=__doc__,
) as dag:
    # [START scale_on_metric]
    TkeScaleOnMetricOperator(
        task_id="pods",
        namespace="{{ params.namespace }}",
        name="{{ params.service }}",
        query='sum(rate(http_requests_total{namespace="{namespace}",app="{service}"}[1m]))',
        target="{{ params.requests_per_pod }}",
        minimum="{{ params.minimum }}",
        maximum="{{ params.maximum }}",
        stabilise_down=300,
        cooldown=60,
        deferrable=True,
    )
    # [END scale_on_metric]
