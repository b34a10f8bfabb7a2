"""Build without an engine: a pod asks BuildKit, which fetches the commit, builds it and pushes it.

Needs the connection ``buildkit_default`` to a shared ``buildkitd`` and an image with its client; ``docs/images.md``
tells how. The cluster and the registry come from the connection ``tke_default``.
"""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG, Param

from tke_provider.operators.checks import TkeRunTestsOperator
from tke_provider.operators.images import TkeBuildImageOperator

# The namespace of the pods: one of their own keeps their Secrets apart.
NAMESPACE = "default"
BUILDKIT_IMAGE = os.environ.get("BUILDKIT_IMAGE", "demo.tencentcloudcr.com/tools/buildkit:v0.34.2")

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
    dag_id="build_with_buildkit",
    schedule=None,
    params=FORM,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    tags=["tke", "delivery"],
    doc_md=__doc__,
) as dag:
    # [START buildkit]
    build = TkeBuildImageOperator(
        task_id="build",
        builder="buildkit",
        buildkit_image=BUILDKIT_IMAGE,
        namespace=NAMESPACE,
        git_url="{{ params.git_url }}",
        commit="{{ params.commit }}",
        subdirectory="{{ params.service }}",
        repository="test/{{ params.service }}",
        build_args={"BASE": "{{ params.base_image }}", "COMMIT": "{{ params.commit }}"},
        cache_tag="cache",
        attestations={"provenance": "mode=max"},
    )
    # [END buildkit]
    unit_tests = TkeRunTestsOperator(
        task_id="unit_tests",
        runner="pod",
        namespace=NAMESPACE,
        image=build.output,
        command=["python3", "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=/tmp/junit.xml"],
        report_path="/tmp/junit.xml",
    )
