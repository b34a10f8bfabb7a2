"""Releases as Airflow knows them: the events of assets ``tke://…``. The only file that reads Airflow's tables for it.

Drawing the board asks nobody else: it is there when the cloud is not.
"""

from __future__ import annotations

from typing import Any

from tke_provider.domain.assets import SCHEME

NEWEST = 200
"""How many events are read at most: the history that is shown, and the newest of each service among them."""


def releases() -> list[dict[str, Any]]:
    """Return the newest releases that were found good, newest first: what was told of each, and by which run."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    of_ours = (
        select(AssetEvent, AssetModel.uri)
        .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        .where(AssetModel.uri.startswith(f"{SCHEME}://", autoescape=True))
        .order_by(AssetEvent.timestamp.desc(), AssetEvent.id.desc())
        .limit(NEWEST)
    )
    with create_session() as session:
        return [
            {
                **event.extra,
                "uri": uri,
                "at": event.timestamp.isoformat(),
                "dag_id": event.source_dag_id,
                "run_id": event.source_run_id,
                "task_id": event.source_task_id,
            }
            for event, uri in session.execute(of_ours)
        ]
