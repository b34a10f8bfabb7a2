"""Assets: a service that is live somewhere, as something that other DAGs can be scheduled on."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from tke_provider.domain.diffs import counts_in_words

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from tke_provider.domain.releases import Record

SCHEME = "tke"
RELEASES = "tke-releases"
"""The alias that every release is announced through: which asset it is, is known only when the cluster is."""
_PARTS = 3  # of the path, the empty one before the first slash included


class ReleaseEvent(TypedDict):
    """What the event of a release tells (``extra``).

    :param images: the image of each container, by digest.
    :param way_back: the images that served before, by ``workload/container``; empty for a first release.
    :param revision: the number of the release's record in the cluster, which a rollback takes.
    :param restores: the revision that a rollback put back; 0 for anything else.
    :param changes: what became of its objects, as in ``1 created, 2 changed``; the record holds the diff.
    :param checks: what was checked before, a sentence each.
    :param connection: the Airflow connection through which it was released; the board looks through the same one.
    :param region: of the task; empty where the connection's holds.
    :param who: who started the run; empty where a schedule did.
    :param approver: who approved it; empty where nobody had to.
    :param duration: seconds from its beginning until it was found good.
    """

    service: str
    namespace: str
    cluster: str
    connection: str
    region: str
    commit: str
    images: dict[str, str]
    way_back: dict[str, str]
    changes: str
    revision: int
    restores: int
    strategy: str
    op: str
    who: str
    approver: str
    checks: list[str]
    duration: float


def release_uri(cluster: str, namespace: str, service: str) -> str:
    """Return what names a service that is live: ``tke://<cluster>/<namespace>/<service>``.

    :param cluster: the cluster's id; where the connection holds a kubeconfig and no id, the connection's id.
    """
    return f"{SCHEME}://{cluster.lower()}/{namespace}/{service}"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return the one form of a URI of this scheme; Airflow asks for it whenever an asset is made.

    :raises ValueError: when it names no service, as Airflow expects it.
    """
    parts = uri.path.split("/")
    if not uri.netloc or len(parts) != _PARTS or not all(parts[1:]) or uri.query:
        raise ValueError(f"{uri.geturl()!r} names no service; write tke://<cluster>/<namespace>/<service>")
    return uri._replace(netloc=uri.netloc.lower())


def release_event(record: Record, cluster: str, connection: str = "", region: str = "") -> ReleaseEvent:
    """Return what is told of a release that was found good."""
    return {
        "service": record.service,
        "namespace": record.namespace,
        "cluster": cluster,
        "connection": connection,
        "region": region,
        "commit": record.commit,
        "images": record.digests,
        "way_back": dict(record.previous),
        "changes": counts_in_words(record.diff["counts"]) if record.diff else "",
        "revision": record.revision,
        "restores": record.restores,
        "strategy": record.strategy,
        "op": record.op,
        "who": record.who,
        "approver": record.approver,
        "checks": list(record.checks),
        "duration": record.duration or 0.0,
    }
