"""Give a service another size, by a form: of the DAG, or of the board, which finds this DAG by its tag."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from tke_provider.operators.scaling import TkeScaleServiceOperator

FORM = {
    "tke_conn_id": Param(
        "tke_default", type="string", minLength=1, title="Connection", description="Through which it was released."
    ),
    "cluster_id": Param(None, type=["null", "string"], title="Cluster", description="None: the connection's."),
    "namespace": Param(
        "production", type="string", minLength=1, title="Namespace", description="Where in the cluster it runs."
    ),
    "service": Param(type="string", minLength=1, title="Service", description="Name of the Deployment."),
    "replicas": Param(2, type="integer", minimum=0, maximum=100, title="Pods", description="How many should run."),
}

with DAG(
    dag_id="scale_service",
    schedule=None,
    params=FORM,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    tags=["tke", "scaling", "tke-scale"],
    doc_md=__doc__,
) as dag:
    # [START by_form]
    TkeScaleServiceOperator(
        task_id="scale",
        tke_conn_id="{{ params.tke_conn_id }}",
        cluster_id="{{ params.cluster_id or '' }}",
        namespace="{{ params.namespace }}",
        name="{{ params.service }}",
        replicas="{{ params.replicas }}",
        deferrable=True,
    )
    # [END by_form]
