"""Releases as Airflow knows them: the events of assets ``tke://…``. The only file that reads Airflow's tables for it.

Drawing the board asks nobody else: it is there when the cloud is not.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tke_provider.domain.assets import SCHEME

_DEFAULT = "tke_default"
MOST = 1000
"""How many services are read at most."""


class Way(NamedTuple):
    """How a cluster is reached: as by the task that released there.

    :param connection: of type ``tke``.
    :param region: empty for the connection's.
    """

    connection: str = _DEFAULT
    region: str = ""


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
    way = _way(event)
    parts = urlsplit(uri)
    namespace, _, service = parts.path.strip("/").partition("/")
    cluster = _text(event.extra.get("cluster"))  # an address is in lower case
    return {
        **_said(event.extra),
        "cluster": cluster if cluster.lower() == parts.netloc else parts.netloc,
        "namespace": namespace,
        "service": service,
        "uri": uri,
        "connection": way.connection,
        "region": way.region,
        "at": event.timestamp.isoformat(),
        "dag_id": event.source_dag_id,
        "run_id": event.source_run_id,
        "task_id": event.source_task_id,
    }


def _said(extra: dict[str, Any]) -> dict[str, Any]:
    """Return what the page draws of an event, each of the kind that it can draw: one odd event must not blank it."""
    images, revision = extra.get("images"), extra.get("revision")
    kept = images.items() if isinstance(images, dict) else ()
    return {
        **{name: _text(extra.get(name)) for name in ("commit", "who", "approver")},
        "images": {name: image for name, image in kept if isinstance(image, str)},
        **({"revision": revision} if isinstance(revision, int) else {}),
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def way_to(uri: str) -> Way | None:
    """Return the way of the newest release there; None where nothing was ever released.

    Nothing else is asked of a cluster on behalf of a reader.
    """
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    asset_id = select(AssetModel.id).where(AssetModel.uri == uri).limit(1)
    told = (
        select(AssetEvent)
        .where(AssetEvent.asset_id.in_(asset_id), AssetEvent.source_task_id.is_not(None))
        .order_by(AssetEvent.id.desc())
        .limit(1)
    )
    with create_session() as session:
        if session.scalar(asset_id) is None:
            return None
        event = session.scalar(told)
        return _way(event) if event else Way()


def _way(event: Any) -> Way:
    """Return what the releasing task told. Whoever posts an event by hand chooses no connection to look through."""
    if not event.source_task_id:
        return Way()
    return Way(str(event.extra.get("connection") or _DEFAULT), str(event.extra.get("region") or ""))
