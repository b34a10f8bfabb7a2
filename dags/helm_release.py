"""A Helm chart becomes a release in TKE, and the release goes back by itself if that fails.

Copy this file and name your chart. Helm runs in the cloud: the worker needs neither the program nor the chart.
"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.sdk import DAG, Param

from tke_provider.operators.helm import TkeHelmReleaseOperator

FORM = {
    "release": Param(
        "web", type="string", minLength=1, title="Release", description="Its name; it is installed where there is none."
    ),
    "namespace": Param(
        "default", type="string", minLength=1, title="Namespace", description="Where in the cluster it runs."
    ),
    "chart": Param(
        "https://charts.example.com/web-1.0.0.tgz",
        type="string",
        minLength=1,
        title="Chart",
        description="URL of the chart's .tgz, without a redirect.",
    ),
    "values": Param({}, type="object", title="Values", description="Nothing secret: they stay readable."),
}

with DAG(
    dag_id="helm_release",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    params=FORM,
    max_active_runs=1,
    render_template_as_native_obj=True,
    tags=["tke", "helm"],
    doc_md=__doc__,
):
    # [START helm_release]
    TkeHelmReleaseOperator(
        task_id="release",
        release="{{ params.release }}",
        namespace="{{ params.namespace }}",
        chart="{{ params.chart }}",
        values="{{ params['values'] }}",
    )
    # [END helm_release]
