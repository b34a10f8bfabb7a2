"""DORA's four figures of services, from what the cluster keeps of their releases."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Any

from tke_provider.domain.dora import DoraDict, figures, in_words
from tke_provider.exceptions import InputError, NotFoundError
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.operators.base import TkeBaseOperator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.domain.releases import Record


class TkeDoraOperator(TkeBaseOperator):
    """Says how often, how fast and how safely services are released, and how long a failure lasts.

    The figures are counted from the records in the cluster, of which a limited number is kept for each service; the
    result names services whose window reaches further back (``incomplete``).

    :param services: as their releases are named.
    :param namespace: where they are released to, production as a rule.
    :param start: of the window, included: ISO 8601 with a zone. Default: 30 days before its end. Template.
    :param end: of the window, excluded. Default: now. Template.
    :param git_url: repository of the commits, which is asked when each was made. Default: lead times are unknown.
    :param git_conn_id: connection with the login for the git host; none for public repositories.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    :return: a :class:`~tke_provider.domain.dora.DoraDict`.
    :raises InputError: when the window cannot be understood.
    """

    template_fields: Sequence[str] = (
        "cluster_id",
        "end",
        "git_conn_id",
        "git_url",
        "namespace",
        "region",
        "services",
        "start",
        "tke_conn_id",
    )

    def __init__(
        self,
        *,
        services: Sequence[str],
        namespace: str,
        start: str | None = None,
        end: str | None = None,
        git_url: str | None = None,
        git_conn_id: str | None = None,
        cluster_id: str | None = None,
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.services = services
        self.namespace = namespace
        self.start = start
        self.end = end
        self.git_url = git_url
        self.git_conn_id = git_conn_id
        self.cluster_id = cluster_id
        self.region = region

    async def perform(self, context: Context) -> DoraDict:  # noqa: ARG002  # the base's signature
        """Read the records, ask for the commits, and count."""
        from tke_provider.clients import releases

        end = _instant(self.end) if self.end else dt.datetime.now(dt.timezone.utc)
        start = _instant(self.start) if self.start else end - dt.timedelta(days=30)
        async with await TkeKubernetesHook(self.tke_conn_id, self.cluster_id, self.region).cluster() as cluster:
            records = [
                record
                for service in self.services
                for record in await releases.history(cluster, self.namespace, service)
            ]
        counted = figures(records, start, end, await self._committed(records))
        self.log.info("%s to %s: %s", start, end, in_words(counted))
        return counted

    async def _committed(self, records: Iterable[Record]) -> dict[str, dt.datetime]:
        """Return when each commit was made; one that the repository does not have stays unknown."""
        if not self.git_url:
            return {}
        from tke_provider.clients.git import commit_time
        from tke_provider.hooks.git import GitHook

        login = await GitHook(self.git_conn_id).login() if self.git_conn_id else None
        # A release of images from several commits has no single one.
        commits = sorted({record.commit for record in records if record.commit and "," not in record.commit})
        made = {}
        for commit in commits:
            with contextlib.suppress(NotFoundError):
                seconds = await commit_time(self.git_url, commit, login)
                made[commit] = dt.datetime.fromtimestamp(seconds, dt.timezone.utc)
        for commit in commits:
            if commit not in made:
                self.log.warning("%s has no commit %s: its lead time is unknown", self.git_url, commit)
        return made


def _instant(text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise InputError(f"{text!r} is no instant", way_out="write it as 2026-01-31T08:00:00+08:00") from error
