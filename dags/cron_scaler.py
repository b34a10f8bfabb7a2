"""Sizes by time that the cluster keeps to by itself, without Airflow: TKE's HorizontalPodCronscaler.

Copy this file and set the times. It is run once, and again when they change.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from tke_provider.operators.cron_scalers import TkeCronScalerOperator

FORM = {
    "namespace": Param(
        "production", type="string", minLength=1, title="Namespace", description="Where in the cluster it runs."
    ),
    "service": Param("shop", type="string", minLength=1, title="Service", description="Name of the Deployment."),
    "by_day": Param(8, type="integer", minimum=1, maximum=100, title="By day", description="Pods from 8:00 on."),
    "by_night": Param(2, type="integer", minimum=0, maximum=100, title="By night", description="Pods from 20:00 on."),
}

with DAG(
    dag_id="cron_scaler",
    schedule=None,
    params=FORM,
    tags=["tke", "scaling"],
    doc_md=__doc__,
) as dag:
    # [START hours]
    hours = TkeCronScalerOperator(
        task_id="hours",
        namespace="{{ params.namespace }}",
        name="{{ params.service }}-hours",
        target="{{ params.service }}",
        rules=[
            {"name": "morning", "schedule": "0 0 8 * * 1-5", "size": "{{ params.by_day }}"},
            {"name": "evening", "schedule": "0 0 20 * * *", "size": "{{ params.by_night }}"},
        ],
    )
    # [END hours]
