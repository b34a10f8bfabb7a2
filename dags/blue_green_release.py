"""Bring up a new version beside the old one, check it, and switch to it at once.

Copy this file and put your own service in. The image is one that a build task returned; in a pipeline of your own it
comes from there, as in ``ci_cd``.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from tke_provider.operators.blue_green import TkeBlueGreenDeployOperator

FORM = {
    "git_url": Param(type="string", minLength=1, title="Repository", description="Where the commit is cloned from."),
    "commit": Param(
        type="string",
        title="Commit",
        pattern="^[0-9a-f]{40}$",
        description="The full SHA, 40 digits: where the manifests are.",
    ),
    "image": Param(
        type="string", pattern="@sha256:[0-9a-f]{64}$", title="Image", description="By digest: repository@sha256:…"
    ),
    "namespace": Param(
        "production", type="string", minLength=1, title="Namespace", description="Where in the cluster it runs."
    ),
    "keep": Param(
        300,
        type="integer",
        minimum=0,
        maximum=86400,
        title="Seconds that the old version is kept",
        description="So long the way back is only a switch.",
    ),
}

with DAG(
    dag_id="blue_green_release",
    schedule=None,
    params=FORM,
    max_active_runs=1,
    default_args={"retries": 2},
    tags=["tke", "delivery"],
    doc_md=__doc__,
) as dag:
    # [START blue_green]
    release = TkeBlueGreenDeployOperator(
        task_id="release",
        git_url="{{ params.git_url }}",
        commit="{{ params.commit }}",
        manifests_path="shop/manifests.yaml",
        images={"shop": "{{ params.image }}"},
        namespace="{{ params.namespace }}",
        create_namespace=True,
        smoke_tests=[{"path": "/healthz"}],
        keep="{{ params.keep }}",
        deferrable=True,
    )
    # [END blue_green]
