"""Old images are deleted once a week, but none that runs and none that a release could go back to.

Copy this file, name your repositories and **every** cluster that runs images of them, look at what a run says it would
delete, and only then set DRY_RUN to False.
"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.sdk import DAG, CronTriggerTimetable, Param

from tke_provider.operators.repositories import TcrCleanUpOperator

# One after another of these is cleaned up; a cluster with no namespaces is asked about all of them.
REPOSITORIES = ["test/prices", "test/stock", "test/shop"]
CLUSTERS = {"cls-local000": []}
DRY_RUN = True

FORM = {
    "keep_days": Param(30, type="number", minimum=0, maximum=3650, title="Days", description="Younger images stay.")
}

with DAG(
    dag_id="image_clean_up",
    schedule=CronTriggerTimetable("0 4 * * 0", timezone="Asia/Shanghai"),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    is_paused_upon_creation=True,
    params=FORM,
    max_active_runs=1,
    max_active_tasks=1,
    tags=["tke", "tcr"],
    doc_md=__doc__,
):
    # [START clean_up]
    for repository in REPOSITORIES:
        TcrCleanUpOperator(
            task_id=repository.replace("/", "_"),
            repository=repository,
            clusters=CLUSTERS,
            keep_newest=10,
            keep_days="{{ params.keep_days }}",
            keep_tags=["v*"],
            dry_run=DRY_RUN,
        )
    # [END clean_up]
