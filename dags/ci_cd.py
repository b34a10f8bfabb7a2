"""From a commit to production: build, unit tests, pre-release, smoke test, approval, production.

Copy this file, list your own services, and start it from the UI (a form asks for the commit) or with
``airflow dags trigger ci_cd --conf '{"git_url": …, "commit": …}'``. The cluster and the registry come from the
connection ``tke_default``.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import DAG, Param, TaskGroup, chain

from tke_provider.operators.approvals import TkeApprovalOperator
from tke_provider.operators.checks import TkeRunTestsOperator
from tke_provider.operators.images import TkeBuildImageOperator
from tke_provider.operators.promotions import TcrPromoteImageOperator
from tke_provider.operators.rollouts import TkeDeployServiceOperator
from tke_provider.operators.smoke_tests import TkeSmokeTestOperator

if TYPE_CHECKING:
    from airflow.sdk import XComArg

# In the order of their release: a service comes after those that it calls.
SERVICES = ["prices", "stock", "shop"]
FRONT = "shop"

PRE_RELEASE = {"namespace": "pre-release", "repositories": "test"}
PRODUCTION = {"namespace": "production", "repositories": "production"}

# The connection with the git host's login; None for a public repository.
GIT_CONN_ID = None

FORM = {
    "git_url": Param(
        "https://example.com/shop.git",
        type="string",
        minLength=1,
        title="Git repository",
        description="Where the commit is cloned from. For a private one, set GIT_CONN_ID in the DAG file.",
    ),
    "commit": Param(
        type="string",
        pattern="^[0-9a-f]{40}$",
        title="Commit",
        description="The full SHA, 40 digits, as `git rev-parse HEAD` prints it.",
    ),
    "base_image": Param(
        os.environ.get("BASE_IMAGE", "python:3.12-slim"),
        type="string",
        minLength=1,
        title="Base image",
        description="What the Dockerfiles build upon (build argument BASE).",
    ),
}

with DAG(
    dag_id="ci_cd",
    schedule=None,
    params=FORM,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    tags=["tke", "delivery", "tke-deploy"],
    doc_md=__doc__,
) as dag:
    GIT = {"git_url": "{{ params.git_url }}", "commit": "{{ params.commit }}", "git_conn_id": GIT_CONN_ID}
    images: dict[str, XComArg] = {}
    tested: dict[str, TkeRunTestsOperator] = {}
    for service in SERVICES:
        with TaskGroup(group_id=service):
            # [START build]
            build = TkeBuildImageOperator(
                task_id="build",
                **GIT,
                subdirectory=service,
                repository=f"{PRE_RELEASE['repositories']}/{service}",
                build_args={"BASE": "{{ params.base_image }}", "COMMIT": "{{ params.commit }}"},
            )
            # [END build]
            # [START unit_tests]
            unit_tests = TkeRunTestsOperator(
                task_id="unit_tests",
                image=build.output,
                command=["python3", "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=/tmp/junit.xml"],
                report_path="/tmp/junit.xml",
            )
            # [END unit_tests]
            build >> unit_tests
            images[service] = build.output
            tested[service] = unit_tests

    def release(
        environment: dict[str, str], images: dict[str, XComArg], approver: XComArg | None = None
    ) -> list[TkeDeployServiceOperator]:
        """Return one deploy a service, each after those that it calls."""
        # [START deploy]
        deploys = [
            TkeDeployServiceOperator(
                task_id=f"deploy_{service}",
                **GIT,
                manifests_path=f"{service}/manifests.yaml",
                images={service: images[service]},
                namespace=environment["namespace"],
                create_namespace=True,
                checks=[tested[service].output],
                approver=approver,
                timeout=180,
                deferrable=True,
            )
            for service in SERVICES
        ]
        # [END deploy]
        chain(*deploys)
        return deploys

    def smoke(environment: dict[str, str]) -> TkeSmokeTestOperator:
        """Return the question that only a working whole answers: the front has asked the others."""
        # [START smoke_test]
        return TkeSmokeTestOperator(
            task_id="smoke_test",
            namespace=environment["namespace"],
            service=FRONT,
            port=80,
            contains="{{ params.commit }}",
            in_a_row=3,
            timeout=60,
        )
        # [END smoke_test]

    with TaskGroup(group_id="pre_release"):
        pre_release = release(PRE_RELEASE, images)
        pre_release_smoke = smoke(PRE_RELEASE)
        pre_release[-1] >> pre_release_smoke

    # [START approval]
    approval = TkeApprovalOperator(
        task_id="approval",
        subject="Release {{ params.commit[:12] }} to production?",
        commit="{{ params.commit }}",
        images=images,
        checks={service: checks.output for service, checks in tested.items()}
        | {"pre-release": pre_release_smoke.output},
        retries=0,
    )
    # [END approval]

    with TaskGroup(group_id="promote") as promote:
        # [START promote]
        promoted = {
            service: TcrPromoteImageOperator(
                task_id=service,
                image=images[service],
                to_repository=f"{PRODUCTION['repositories']}/{service}",
            ).output
            for service in SERVICES
        }
        # [END promote]

    with TaskGroup(group_id="production"):
        production = release(PRODUCTION, promoted, approval.output["approver"])
        production[-1] >> smoke(PRODUCTION)

    chain(list(tested.values()), pre_release[0])
    chain(pre_release_smoke, approval, promote, production[0])
