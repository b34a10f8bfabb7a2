"""How often, how fast and how safely the shop is released: DORA's four figures, every Monday morning."""

from __future__ import annotations

from airflow.sdk import DAG, CronTriggerTimetable, Param

from tke_provider.operators.dora import TkeDoraOperator

FORM = {
    "git_url": Param(
        None,
        type=["null", "string"],
        title="Git repository",
        description="Asked when each commit was made. Without it, lead times are unknown.",
    )
}

with DAG(
    dag_id="delivery_figures",
    schedule=CronTriggerTimetable("0 9 * * 1", timezone="Asia/Shanghai"),
    catchup=False,
    params=FORM,
    tags=["tke", "delivery"],
    doc_md=__doc__,
) as dag:
    # [START figures]
    figures = TkeDoraOperator(
        task_id="figures",
        services=["prices", "stock", "shop"],
        namespace="production",
        git_url="{{ params.git_url or '' }}",
    )
    # [END figures]
