"""Give a new version a tenth of the requests first, then half of them, then all, by the weights of a CLB.

The CLB sends to the pods directly, and each says in an annotation what it weighs; ``docs/rollouts.md`` tells how. Copy
this file and put your own service in. The image is one that a build task returned; in a pipeline of your own it comes
from there, as in ``ci_cd``.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from tke_provider.operators.canaries import TkeCanaryDeployOperator

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
    "pause": Param(
        60,
        type="integer",
        minimum=0,
        maximum=86400,
        title="Seconds that each step has to stay good",
        description="Longer tells more, and takes longer.",
    ),
}

with DAG(
    dag_id="canary_by_clb",
    schedule=None,
    params=FORM,
    max_active_runs=1,
    default_args={"retries": 2},
    tags=["tke", "delivery"],
    doc_md=__doc__,
) as dag:
    # [START canary_by_clb]
    canary = TkeCanaryDeployOperator(
        task_id="canary",
        git_url="{{ params.git_url }}",
        commit="{{ params.commit }}",
        manifests_path="shop/manifests.yaml",
        images={"shop": "{{ params.image }}"},
        namespace="{{ params.namespace }}",
        create_namespace=True,
        traffic="clb",
        steps=[{"weight": weight, "pause": "{{ params.pause }}"} for weight in (10, 50)],
        smoke_tests=[{"path": "/healthz"}],
        deferrable=True,
    )
    # [END canary_by_clb]
