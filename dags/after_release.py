"""Whatever is to happen when a service is live in production: this DAG runs after each release, whoever released it."""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG, task

from tke_provider.operators.assets import release_asset
from tke_provider.sensors.rollouts import TkeRolloutSensor

# [START after_release]
LIVE = release_asset(os.environ.get("TKE_CLUSTER_ID", "cls-xxxxxxxx"), "production", "shop")

with DAG(dag_id="after_release", schedule=[LIVE], tags=["tke", "delivery"], doc_md=__doc__) as dag:
    # By now somebody else may have changed it again.
    up = TkeRolloutSensor(task_id="up", namespace="production", name="shop", timeout=300, deferrable=True)

    @task
    def tell(triggering_asset_events: dict[Any, Any] | None = None) -> list[dict[str, Any]]:
        """Say what went live; several releases in quick succession may be told of in one run."""
        releases = [event.extra for event in (triggering_asset_events or {}).get(LIVE, ())]
        for release in releases:
            print(f"{release['service']} runs {release['images']} since {release['duration']:.0f} seconds of release")
        return releases

    up >> tell()
# [END after_release]
