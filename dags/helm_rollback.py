"""A Helm release goes back to an earlier revision, by default to the newest one before the current that worked.

Started twice it goes back once.
"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.sdk import DAG, Param

from tke_provider.operators.helm import TkeHelmRollbackOperator

FORM = {
    "release": Param(
        "web", type="string", minLength=1, title="Release", description="Its name, as helm list shows it."
    ),
    "namespace": Param(
        "default", type="string", minLength=1, title="Namespace", description="Where in the cluster it runs."
    ),
    "revision": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Revision",
        description="Its number, as helm history shows it; none: the newest before the current that worked.",
    ),
}

with DAG(
    dag_id="helm_rollback",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    params=FORM,
    max_active_runs=1,
    tags=["tke", "helm"],
    doc_md=__doc__,
):
    # [START helm_rollback]
    TkeHelmRollbackOperator(
        task_id="go_back",
        release="{{ params.release }}",
        namespace="{{ params.namespace }}",
        revision="{{ params.revision or '' }}",
    )
    # [END helm_rollback]
