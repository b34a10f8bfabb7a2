"""A Helm release is removed with everything that it made.

Started twice it removes once: a release that is not there is a success.
"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.sdk import DAG, Param

from tke_provider.operators.helm import TkeHelmUninstallOperator

FORM = {
    "release": Param(type="string", minLength=1, title="Release", description="Its name, as helm list shows it."),
    "namespace": Param(
        "default", type="string", minLength=1, title="Namespace", description="Where in the cluster it runs."
    ),
}

with DAG(
    dag_id="helm_uninstall",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    params=FORM,
    max_active_runs=1,
    tags=["tke", "helm"],
    doc_md=__doc__,
):
    # [START helm_uninstall]
    TkeHelmUninstallOperator(
        task_id="remove",
        release="{{ params.release }}",
        namespace="{{ params.namespace }}",
    )
    # [END helm_uninstall]
