"""Before somebody works on nodes: their pool keeps its size and is whole, and they are emptied as budgets allow.

While a node of the pool is missing, or another one is still closed to pods, none is emptied.
"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.sdk import DAG, Param, chain

from tke_provider.operators.node_pools import TkeConfigureNodePoolOperator
from tke_provider.operators.nodes import TkeDrainNodesOperator
from tke_provider.sensors.scaling import TkeNodePoolSensor

FORM = {
    "node_pool": Param("web", type="string", minLength=1, title="Node pool", description="Id or name."),
    "nodes": Param(
        type="string", minLength=1, title="Nodes", description="Names, with commas, as kubectl get nodes has them."
    ),
}

with DAG(
    dag_id="node_maintenance",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    params=FORM,
    max_active_runs=1,
    tags=["tke", "scaling"],
    doc_md=__doc__,
):
    # [START keep]
    keep = TkeConfigureNodePoolOperator(
        task_id="keep",
        node_pool="{{ params.node_pool }}",
        autoscaling=False,
    )
    # [END keep]
    # [START whole]
    whole = TkeNodePoolSensor(
        task_id="whole",
        node_pool="{{ params.node_pool }}",
        timeout=1800,
        deferrable=True,
    )
    # [END whole]
    # [START drain]
    drain = TkeDrainNodesOperator(
        task_id="drain",
        nodes="{{ params.nodes }}",
        timeout=1800,
        deferrable=True,
    )
    # [END drain]
    chain(keep, whole, drain)
