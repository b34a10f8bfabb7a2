"""Build without an engine and without a shared daemon: BuildKit runs in the build's own pod, and goes with it.

Its cache goes too, so what it learned is kept in the registry. Needs an image with BuildKit's daemon and its client;
``docs/images.md`` tells which, and what the nodes have to allow. Cluster and registry come from the connection
``tke_default``.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta

from airflow.sdk import DAG, Param

from tke_provider.operators.images import TkeBuildImageOperator

# The namespace of the pods: one of their own, for it has to allow what the daemon needs.
NAMESPACE = "default"
BUILDKIT_IMAGE = os.environ.get("BUILDKIT_IMAGE", "demo.tencentcloudcr.com/tools/buildkit:v0.34.2-rootless")
# What your cluster asks of such pods: {"nodeSelector": {…}, "tolerations": […], "imagePullSecrets": […]}
POD_SPEC = json.loads(os.environ.get("BUILDKIT_POD_SPEC", "{}"))

FORM = {
    "git_url": Param(
        "https://example.com/shop.git",
        type="string",
        pattern=r"^https?://.*\.git$",
        title="Git repository",
        description="BuildKit fetches the commit itself.",
    ),
    "commit": Param(type="string", pattern="^[0-9a-f]{40}$", title="Commit", description="The full SHA, 40 digits."),
    "service": Param(
        "prices", type="string", minLength=1, title="Service", description="Its folder in the repository."
    ),
    "base_image": Param(
        "python:3.12-slim", type="string", minLength=1, title="Base image", description="Build argument BASE."
    ),
}

with DAG(
    dag_id="build_in_its_own_pod",
    schedule=None,
    params=FORM,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    tags=["tke", "delivery"],
    doc_md=__doc__,
) as dag:
    # [START own_daemon]
    build = TkeBuildImageOperator(
        task_id="build",
        builder="buildkit",
        buildkit_daemon="rootless",
        buildkit_image=BUILDKIT_IMAGE,
        buildkit_resources={"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "4Gi"}},
        pod_spec=POD_SPEC,
        namespace=NAMESPACE,
        git_url="{{ params.git_url }}",
        commit="{{ params.commit }}",
        subdirectory="{{ params.service }}",
        repository="test/{{ params.service }}",
        build_args={"BASE": "{{ params.base_image }}", "COMMIT": "{{ params.commit }}"},
        cache_tag="cache-of-pods",
    )
    # [END own_daemon]
