"""Let the cluster size a service by itself, by CPU and by what it sends, and make sure that it can.

Copy this file and set the targets. The task ends well only when the HPA sees every metric that it is to look at: one
that nobody provides would leave a service that never grows.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from tke_provider.operators.autoscalers import TkeConfigureHpaOperator

FORM = {
    "namespace": Param(
        "production", type="string", minLength=1, title="Namespace", description="Where in the cluster it runs."
    ),
    "service": Param("shop", type="string", minLength=1, title="Service", description="Name of the Deployment."),
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
    "cpu": Param(
        60, type="integer", minimum=1, maximum=10000, title="CPU", description="Per cent of what the pods request."
    ),
    "network_out": Param(
        "200k",
        type="string",
        minLength=1,
        title="Network",
        description="What a pod sends in a second, in the unit of the metric.",
    ),
}

with DAG(
    dag_id="autoscaler",
    schedule=None,
    params=FORM,
    tags=["tke", "scaling"],
    doc_md=__doc__,
) as dag:
    # [START hpa]
    TkeConfigureHpaOperator(
        task_id="hpa",
        namespace="{{ params.namespace }}",
        name="{{ params.service }}",
        minimum="{{ params.minimum }}",
        maximum="{{ params.maximum }}",
        metrics={"cpu": "{{ params.cpu }}", "network_out": "{{ params.network_out }}"},
        behavior={"scaleDown": {"stabilizationWindowSeconds": 60}},
        deferrable=True,
    )
    # [END hpa]
