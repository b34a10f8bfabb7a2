"""Test an image where it will run: its unit tests in a pod of the cluster, then the service in four ways.

For workers that reach no Docker engine, and for tests that need what only the cluster has: a database, a Secret, a
service account. Nothing waits in a worker.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from tke_provider.operators.checks import TkeRunTestsOperator
from tke_provider.operators.smoke_tests import TkeSmokeTestOperator

FORM = {
    "image": Param(
        "registry.example.com/test/shop@sha256:" + "0" * 64,
        type="string",
        pattern="@sha256:[0-9a-f]{64}$",
        title="Image",
        description="As a build task returned it: repository@sha256:…",
    ),
    "namespace": Param(
        "pre-release", type="string", minLength=1, title="Namespace", description="Where in the cluster it runs."
    ),
    "service": Param("shop", type="string", minLength=1, title="Service", description="What the tests speak to."),
}

with DAG(
    dag_id="tests_in_the_cluster",
    schedule=None,
    params=FORM,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10), "deferrable": True},
    tags=["tke", "delivery"],
    doc_md=__doc__,
) as dag:
    # [START pod]
    unit_tests = TkeRunTestsOperator(
        task_id="unit_tests",
        runner="pod",
        namespace="{{ params.namespace }}",
        image="{{ params.image }}",
        command=["python3", "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=/tmp/junit.xml"],
        report_path="/tmp/junit.xml",
        memory="256m",
        cpus=0.2,
        quarantine=[{"test": "test_app::test_under_load*", "reason": "SHOP-7, times out", "until": "2030-12-31"}],
        timeout=300,
    )
    # [END pod]

    # [START probes]
    service = {"namespace": "{{ params.namespace }}", "service": "{{ params.service }}", "in_a_row": 2}
    serves = TkeSmokeTestOperator(task_id="serves", **service, port=80, contains="commit")
    takes_connections = TkeSmokeTestOperator(task_id="takes_connections", **service, port="http", probe="tcp")
    can_be_imported = TkeSmokeTestOperator(
        task_id="can_be_imported",
        **service,
        probe="exec",
        command=["python3", "-c", "import app; print('ready')"],
        contains="ready",
    )
    # [END probes]
    unit_tests >> [serves, takes_connections, can_be_imported]
