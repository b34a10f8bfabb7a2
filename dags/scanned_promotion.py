"""An image goes to the production repository only when the cloud's scanner found nothing severe in it.

The scanner (TCSS) is a product of its own. Without it, or before it has scanned the image, nothing is promoted.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Param, chain

from tke_provider.operators.promotions import TcrPromoteImageOperator
from tke_provider.operators.repositories import TcrCreateRepositoryOperator
from tke_provider.operators.scans import TcrScanGateOperator

FORM = {
    "image": Param(
        "demo.tencentcloudcr.com/test/web@sha256:" + "0" * 64,
        type="string",
        pattern="@sha256:[0-9a-f]{64}$",
        title="Image",
        description="repository@digest",
    ),
    "to_repository": Param(
        "production/web", type="string", minLength=1, title="To repository", description="namespace/name"
    ),
}

with DAG(
    dag_id="scanned_promotion",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    params=FORM,
    tags=["tke", "tcr", "tke-promote"],
    doc_md=__doc__,
):
    # [START create_repository]
    repository = TcrCreateRepositoryOperator(
        task_id="repository",
        repository="{{ params.to_repository }}",
        brief="What is live, and what was",
    )
    # [END create_repository]

    # [START scan_gate]
    gate = TcrScanGateOperator(
        task_id="scan_gate",
        image="{{ params.image }}",
        limits={"critical": 0, "high": 0, "virus": 0},
        # A push is scanned within minutes where its namespace says so.
        retries=3,
        retry_delay=timedelta(minutes=2),
    )
    # [END scan_gate]

    promoted = TcrPromoteImageOperator(
        task_id="promote",
        image="{{ params.image }}",
        to_repository="{{ params.to_repository }}",
    )

    chain(repository, gate, promoted)
