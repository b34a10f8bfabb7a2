"""A cluster for as long as it is used: made, given nodes and a way in, and deleted when a person says so.

Nothing here is ever made twice, whatever is retried, and nothing is deleted because a time has passed.
"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param, chain, task

from tke_provider.operators.clusters import TkeCreateClusterOperator, TkeDeleteClusterOperator
from tke_provider.operators.endpoints import TkeCloseEndpointOperator, TkeOpenEndpointOperator
from tke_provider.operators.node_pool_life import TkeCreateNodePoolOperator, TkeDeleteNodePoolOperator

CLUSTER = "{{ ti.xcom_pull('cluster')['cluster_id'] }}"
FORM = {
    "vpc": Param("vpc-local000", type="string", minLength=1, title="Private network", description="Its id."),
    "subnet": Param(
        "subnet-local000",
        type="string",
        minLength=1,
        title="Subnet",
        description="Where nodes and the way in get their addresses.",
    ),
    "security_group": Param(
        "sg-local000", type="string", minLength=1, title="Security group", description="Of the nodes."
    ),
    "nodes": Param(2, type="integer", minimum=1, maximum=10, title="Nodes", description="How many, until the end."),
}

with DAG(
    dag_id="cluster_for_a_day",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    params=FORM,
    max_active_runs=1,
    tags=["tke", "clusters"],
    doc_md=__doc__,
):
    # [START cluster]
    cluster = TkeCreateClusterOperator(
        task_id="cluster",
        name="for-a-day",
        vpc_id="{{ params.vpc }}",
        version="1.32.2",
        cidr="10.8.0.0/14",
        deletion_protection=False,
        deferrable=True,
    )
    # [END cluster]
    # [START pool]
    pool = TkeCreateNodePoolOperator(
        task_id="pool",
        name="work",
        kind="native",
        cluster_id=CLUSTER,
        subnets=["{{ params.subnet }}"],
        security_groups=["{{ params.security_group }}"],
        instance_types=["SA5.LARGE8"],
        desired="{{ params.nodes }}",
        maximum=10,
        deferrable=True,
    )
    # [END pool]
    # [START endpoint]
    way_in = TkeOpenEndpointOperator(
        task_id="way_in",
        external=False,
        cluster_id=CLUSTER,
        subnet_id="{{ params.subnet }}",
        deferrable=True,
    )
    # [END endpoint]

    @task
    def work() -> str:
        """Stand where the day's work is: any task of this provider, given the cluster's id."""
        return "done"

    used = ApprovalOperator(
        task_id="used",
        subject="Is the cluster for-a-day used no more?",
        body="With your approval it is deleted with its nodes; its disks stay.",
    )
    close = TkeCloseEndpointOperator(task_id="close", external=False, cluster_id=CLUSTER, deferrable=True)
    # [START delete]
    no_pool = TkeDeleteNodePoolOperator(
        task_id="no_pool",
        node_pool="work",
        confirm="work",
        instances="terminate",
        cluster_id=CLUSTER,
        deferrable=True,
    )
    no_cluster = TkeDeleteClusterOperator(
        task_id="no_cluster",
        cluster_id=CLUSTER,
        confirm="for-a-day",
        instances="terminate",
        disks="retain",
        deferrable=True,
    )
    # [END delete]
    chain(cluster, pool, way_in, work(), used, close, no_pool, no_cluster)
