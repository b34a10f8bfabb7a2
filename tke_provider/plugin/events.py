"""Releases as Airflow knows them: the events of assets ``tke://…``. The only file that reads Airflow's tables for it.

Drawing the board asks nobody else: it is there when the cloud is not.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tke_provider.domain.assets import SCHEME

MOST = 1000
"""How many services are read at most."""


def releases(dag_id: str = "", run_id: str = "", task_id: str = "") -> list[dict[str, Any]]:
    """Return the newest good release of every service, newest first: what was told of it, and by which run.

    :param dag_id: only what this DAG released.
    :param run_id: only what this run released.
    :param task_id: only what this task released.
    """
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    wanted = {
        AssetEvent.source_dag_id: dag_id,
        AssetEvent.source_run_id: run_id,
        AssetEvent.source_task_id: task_id,
    }
    # Of each asset, so that a busy service cannot hide a quiet one. Ids grow with time.
    newest = (
        select(func.max(AssetEvent.id))
        .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        .where(AssetModel.uri.startswith(f"{SCHEME}://", autoescape=True))
        .where(*(column == value for column, value in wanted.items() if value))
        .group_by(AssetEvent.asset_id)
    )
    of_ours = (
        select(AssetEvent, AssetModel.uri)
        .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        .where(AssetEvent.id.in_(newest))
        .order_by(AssetEvent.id.desc())
        .limit(MOST)
    )
    with create_session() as session:
        return [_told(event, uri) for event, uri in session.execute(of_ours)]


def _told(event: Any, uri: str) -> dict[str, Any]:
    """Return what is drawn. Where it is, the address says: an event can be posted by hand, and tell anything."""
    parts = urlsplit(uri)
    namespace, _, service = parts.path.strip("/").partition("/")
    return {
        **event.extra,
        "cluster": event.extra.get("cluster") or parts.netloc,
        "namespace": namespace,
        "service": service,
        "uri": uri,
        "at": event.timestamp.isoformat(),
        "dag_id": event.source_dag_id,
        "run_id": event.source_run_id,
        "task_id": event.source_task_id,
    }


def is_known(uri: str) -> bool:
    """Whether something was ever released there; nothing else is asked of a cluster on behalf of a reader."""
    from airflow.models.asset import AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return session.scalar(select(AssetModel.id).where(AssetModel.uri == uri).limit(1)) is not None
