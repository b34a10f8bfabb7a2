"""Let the cluster size a service and its nodes by itself, within bounds that stand here.

Copy this file and set the bounds. The pods follow what they send and use; the nodes follow the pods that find no room.
Neither waits for Airflow: it set the bounds once, and sets them again whenever this is run.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain

from tke_provider.operators.autoscalers import TkeConfigureHpaOperator
from tke_provider.operators.cluster_autoscaler import TkeConfigureClusterAutoscalerOperator
from tke_provider.operators.node_pools import TkeConfigureNodePoolOperator

FORM = {
    "namespace": Param(
        "production", type="string", minLength=1, title="Namespace", description="Where in the cluster it runs."
    ),
    "service": Param("shop", type="string", minLength=1, title="Service", description="Name of the Deployment."),
    "most_pods": Param(
        6, type="integer", minimum=1, maximum=100, title="Most pods", description="No more run, however much is asked."
    ),
    "network_out": Param(
        "200k", type="string", minLength=1, title="Network", description="What a pod should send in a second."
    ),
    "calm": Param(60, type="integer", minimum=0, maximum=3600, title="Calm", description="Seconds before pods go."),
    "node_pool": Param("web", type="string", minLength=1, title="Node pool", description="Id or name."),
    "most_nodes": Param(
        4,
        type="integer",
        minimum=0,
        maximum=100,
        title="Most nodes",
        description="No more are bought, however many pods wait.",
    ),
    "idle": Param(
        10,
        type="integer",
        minimum=0,
        maximum=1440,
        title="Idle",
        description="Minutes that a node of any pool does nothing before it goes.",
    ),
}

with DAG(
    dag_id="elastic",
    schedule=None,
    params=FORM,
    # The number of seconds is to arrive as a number, deep inside of the HPA.
    render_template_as_native_obj=True,
    max_active_runs=1,
    tags=["tke", "scaling"],
    doc_md=__doc__,
) as dag:
    # [START nodes]
    nodes = TkeConfigureNodePoolOperator(
        task_id="nodes",
        node_pool="{{ params.node_pool }}",
        autoscaling=True,
        minimum=0,
        maximum="{{ params.most_nodes }}",
    )
    # [END nodes]
    # [START idle]
    idle = TkeConfigureClusterAutoscalerOperator(
        task_id="idle",
        options={"expander": "least-waste", "scale_down_unneeded_time": "{{ params.idle }}"},
    )
    # [END idle]
    # [START pods]
    pods = TkeConfigureHpaOperator(
        task_id="pods",
        namespace="{{ params.namespace }}",
        name="{{ params.service }}",
        minimum=1,
        maximum="{{ params.most_pods }}",
        metrics={"cpu": 400, "network_out": "{{ params.network_out }}"},
        behavior={"scaleDown": {"stabilizationWindowSeconds": "{{ params.calm }}"}},
        deferrable=True,
    )
    # [END pods]
    chain(nodes, idle, pods)
