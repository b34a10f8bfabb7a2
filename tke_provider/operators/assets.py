"""Assets of Airflow: "service X is live in production", for other DAGs to be scheduled on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from tke_provider.domain.assets import RELEASES, release_event, release_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.domain.releases import Record


def release_asset(cluster: str, namespace: str, service: str, extra: Mapping[str, Any] | None = None) -> Asset:
    """Return the asset of a service, as in ``DAG(schedule=[release_asset("cls-abc", "production", "shop")])``.

    :param cluster: the cluster's id; where the connection holds a kubeconfig and no id, the connection's id.
    """
    uri = release_uri(cluster, namespace, service)
    return Asset(uri, uri, extra=dict(extra or {}))


def emit_release(context: Context, record: Record, cluster_id: str | None = None) -> None:
    """Announce a release that was found good, as an event of its asset.

    To be called by whatever releases, once the record is live, in the task's process (``conclude``). The user lists
    no outlets: the task gets the alias ``tke-releases`` as one. Airflow keeps the event only if the task then
    succeeds, so a task that fails afterwards announces nothing.

    :param record: of the release, with ``finished`` set.
    :param cluster_id: empty where the connection holds a kubeconfig and no id: then the connection's id stands in.
    """
    task = context["task"]
    connection = str(getattr(task, "tke_conn_id", ""))
    cluster = cluster_id or connection
    alias = AssetAlias(RELEASES)
    if alias not in task.outlets:
        task.outlets = [*task.outlets, alias]
    asset = release_asset(cluster, record.namespace, record.service)
    event = release_event(record, cluster, connection, str(getattr(task, "region", None) or ""))
    extra = cast("dict[str, Any]", event)
    context["outlet_events"][alias].add(asset, extra=extra)
