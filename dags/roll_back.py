"""Put back an earlier release of a service, from what the cluster itself has written down of it."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from tke_provider.operators.rollbacks import TkeRollbackServiceOperator

FORM = {
    "service": Param("shop", type="string", title="Service"),
    "namespace": Param("production", type="string", title="Namespace"),
    "revision": Param("", type="string", title="Number of the release", description="Empty: the last good one."),
}

with DAG(
    dag_id="roll_back",
    schedule=None,
    params=FORM,
    max_active_runs=1,
    default_args={"retries": 2},
    tags=["tke", "delivery"],
    doc_md=__doc__,
) as dag:
    # [START rollback]
    rollback = TkeRollbackServiceOperator(
        task_id="rollback",
        service="{{ params.service }}",
        namespace="{{ params.namespace }}",
        revision="{{ params.revision }}",
        deferrable=True,
    )
    # [END rollback]
