"""Put back an earlier release of a service, from what the cluster itself has written down of it."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from tke_provider.operators.rollbacks import TkeRollbackServiceOperator

FORM = {
    "tke_conn_id": Param(
        "tke_default", type="string", minLength=1, title="Connection", description="Through which it was released."
    ),
    "cluster_id": Param(None, type=["null", "string"], title="Cluster", description="None: the connection's."),
    "service": Param("shop", type="string", minLength=1, title="Service", description="As its releases are named."),
    "namespace": Param(
        "production", type="string", minLength=1, title="Namespace", description="Where in the cluster it runs."
    ),
    "revision": Param(
        "", type="string", pattern="^[0-9]*$", title="Number of the release", description="Empty: the last good one."
    ),
}

with DAG(
    dag_id="roll_back",
    schedule=None,
    params=FORM,
    max_active_runs=1,
    default_args={"retries": 2},
    tags=["tke", "delivery", "tke-rollback"],
    doc_md=__doc__,
) as dag:
    # [START rollback]
    rollback = TkeRollbackServiceOperator(
        task_id="rollback",
        tke_conn_id="{{ params.tke_conn_id }}",
        cluster_id="{{ params.cluster_id or '' }}",
        service="{{ params.service }}",
        namespace="{{ params.namespace }}",
        revision="{{ params.revision }}",
        deferrable=True,
    )
    # [END rollback]
