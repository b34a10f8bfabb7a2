"""DORA's four figures of services, from what the cluster keeps of their releases."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Any

from tke_provider.domain.dora import DoraDict, commit_time, figures, in_words
from tke_provider.domain.images import Image
from tke_provider.exceptions import InputError, NotFoundError
from tke_provider.hooks.registry import RegistryHook
from tke_provider.links.console import ClusterLink
from tke_provider.operators.base import TkeBaseOperator, open_cluster

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
    :param git_url: repository of the commits, which is asked when each was made.
    :param git_conn_id: connection with the login for the git host; none for public repositories.
    :param ask_registry: whether to ask the images for what git does not know: those of
        :class:`~tke_provider.operators.images.TkeBuildImageOperator` carry the time of their commit. Without either,
        lead times are unknown.
    :param registry_id: TCR registry to log in to for that; default: that of the ``tke`` connection.
    :param docker_conn_id: connection with the login of any other registry.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    :return: a :class:`~tke_provider.domain.dora.DoraDict`.
    :raises InputError: when the window cannot be understood.
    """

    template_fields: Sequence[str] = (
        "cluster_id",
        "docker_conn_id",
        "end",
        "git_conn_id",
        "git_url",
        "namespace",
        "region",
        "registry_id",
        "services",
        "start",
        "tke_conn_id",
    )
    operator_extra_links = (ClusterLink(),)

    def __init__(
        self,
        *,
        services: Sequence[str],
        namespace: str,
        start: str | None = None,
        end: str | None = None,
        git_url: str | None = None,
        git_conn_id: str | None = None,
        ask_registry: bool = False,
        registry_id: str | None = None,
        docker_conn_id: str | None = None,
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
        self.ask_registry = ask_registry
        self.registry_id = registry_id
        self.docker_conn_id = docker_conn_id
        self.cluster_id = cluster_id
        self.region = region

    async def perform(self, context: Context) -> DoraDict:  # noqa: ARG002  # the base's signature
        """Read the records, ask for the commits, and count."""
        from tke_provider.clients import releases

        end = _instant(self.end) if self.end else dt.datetime.now(dt.timezone.utc)
        start = _instant(self.start) if self.start else end - dt.timedelta(days=30)
        async with await open_cluster(self) as cluster:
            records = [
                record
                for service in self.services
                for record in await releases.history(cluster, self.namespace, service)
            ]
        counted = figures(records, start, end, await self._committed(records))
        self.log.info("%s to %s: %s", start, end, in_words(counted))
        return counted

    async def _committed(self, records: Iterable[Record]) -> dict[str, dt.datetime]:
        """Return when each commit was made, as git or an image knows it."""
        # A release of images from several commits has no single one.
        single = [record for record in records if record.commit and "," not in record.commit]
        made = await self._in_git(self.git_url, sorted({each.commit for each in single})) if self.git_url else {}
        if self.ask_registry:
            for record in single:
                if record.commit not in made and (when := await self._in_image(record)):
                    made[record.commit] = when
        return made

    async def _in_image(self, record: Record) -> dt.datetime | None:
        """Return when the commit of a release was made, as its images say; those that have gone say nothing."""
        hook = RegistryHook(self.tke_conn_id, self.registry_id, self.docker_conn_id)
        for image in map(Image.parse, record.images.values()):
            async with await hook.registry(image.host) as registry:
                with contextlib.suppress(NotFoundError):
                    if when := commit_time(await registry.labels(image.path, image.digest), record.commit):
                        return when
        self.log.warning("No image of release %d of %s tells of its commit", record.revision, record.service)
        return None

    async def _in_git(self, repository: str, commits: Sequence[str]) -> dict[str, dt.datetime]:
        """Return when each commit was made; one that the repository does not have stays unknown."""
        from tke_provider.clients import git
        from tke_provider.hooks.git import GitHook

        login = await GitHook(self.git_conn_id).login() if self.git_conn_id else None
        times = await git.commit_times(repository, commits, login)
        made = {commit: dt.datetime.fromtimestamp(seconds, dt.timezone.utc) for commit, seconds in times.items()}
        for commit in commits:
            if commit not in made:
                self.log.warning("%s has no commit %s", repository, commit)
        return made


def _instant(text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise InputError(f"{text!r} is no instant", way_out="write it as 2026-01-31T08:00:00+08:00") from error
