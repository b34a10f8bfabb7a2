"""What a commit changes: services that have to be built, and those that keep the image which is live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import SkipMixin

from tke_provider.domain.changes import ServiceChange, Source, affected, touched
from tke_provider.domain.choices import check_choice
from tke_provider.domain.images import Image, check_commit
from tke_provider.exceptions import InputError, NotFoundError
from tke_provider.links.commits import CommitLink
from tke_provider.links.console import ClusterLink
from tke_provider.operators.base import TkeBaseOperator, open_cluster

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.git import GitLogin
    from tke_provider.domain.releases import Record

_CHOICES = ("changed", "all")


class TkeDetectChangesOperator(TkeBaseOperator, SkipMixin):
    """Compares a commit with what is live, service by service, and skips the builds of services that stay the same.

    What is live is read from the record of each service's last release, so a service is compared with the very commit
    that its image was built from; after a release that was undone, with that of the one before. When in doubt, a
    service is built: where no release is known, one is going on or died, or git no longer has its commit. Changes
    nothing.

    :param services: what each service is made of: ``{"paths": […], "depends_on": […], "container": …}``.
    :param git_url: the repository.
    :param commit: full SHA of the commit.
    :param namespace: where the services are live.
    :param build: ``changed``, or ``all`` to build every service whatever changed.
    :param skip: the task that is skipped where a service need not be built, by service; what depends on it alone is
        skipped with it. Each has to be directly downstream of this task.
    :param git_conn_id: connection with the login for the git host; none for public repositories.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    :return: a :class:`~tke_provider.domain.changes.ServiceChange` for each service: ``{"build", "reason", "image"}``.
    :raises NotFoundError: when there is no such repository or commit.
    """

    template_fields = ("build", "cluster_id", "commit", "git_conn_id", "git_url", "namespace", "region", "tke_conn_id")
    operator_extra_links = (ClusterLink(), CommitLink())
    inherits_from_skipmixin = True

    def __init__(
        self,
        *,
        services: Mapping[str, Mapping[str, Any]],
        git_url: str,
        commit: str,
        namespace: str,
        build: Literal["changed", "all"] | str = "changed",  # noqa: PYI051  # may be a template
        skip: Mapping[str, str] | None = None,
        git_conn_id: str | None = None,
        cluster_id: str | None = None,
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.services = services
        self.git_url = git_url
        self.commit = commit
        self.namespace = namespace
        self.build = build
        self.skip_tasks = skip
        self.git_conn_id = git_conn_id
        self.cluster_id = cluster_id
        self.region = region

    def execute(self, context: Context) -> dict[str, ServiceChange]:
        """Find out, say so, and skip."""
        changes: dict[str, ServiceChange] = super().execute(context)
        ti, task = context["ti"], context["task"]
        unneeded = {task_id for name, task_id in (self.skip_tasks or {}).items() if not changes[name]["build"]}
        if downstream := [each for each in task.get_direct_relatives() if each.node_id in unneeded]:
            ti.xcom_push(key="return_value", value=changes)  # to skip ends the task by an exception
            self.skip(ti, downstream)
        return changes

    async def perform(self, context: Context) -> dict[str, ServiceChange]:  # noqa: ARG002
        """Return what has to be built, and what stays."""
        check_commit(self.commit)
        check_choice("build", self.build, _CHOICES)
        sources = {name: Source(**{**given, "paths": tuple(given["paths"])}) for name, given in self.services.items()}
        live: dict[str, Image | None] = dict.fromkeys(sources)
        if self.build == "changed":
            live = await self._live(sources)
        reasons = await self._reasons(sources, live)
        building = affected({name: source.depends_on for name, source in sources.items()}, reasons)
        changes = {}
        for name, image in live.items():
            stays = f"stays: nothing of it changed since {image and image.commit}"
            changes[name] = ServiceChange(
                build=name in building,
                reason=building.get(name, stays),
                image=image.as_dict() if image and name not in building else None,
            )
            self.log.info("%s: %s", name, changes[name]["reason"])
        return changes

    async def _live(self, sources: Mapping[str, Source]) -> dict[str, Image | None]:
        """Return the image of each service that was found good last; none where that cannot be told."""
        from tke_provider.clients import releases

        async with await open_cluster(self) as cluster:
            found = {name: await releases.history(cluster, self.namespace, name) for name in sources}
        return {name: _image(found[name], source.container or name) for name, source in sources.items()}

    async def _reasons(self, sources: Mapping[str, Source], live: Mapping[str, Image | None]) -> dict[str, str]:
        """Return why services are built that changed themselves."""
        from tke_provider.hooks.git import GitHook

        login = await GitHook(self.git_conn_id).login() if self.git_conn_id else None
        changed: dict[str, Collection[str] | None] = {self.commit: ()}
        for commit in {image.commit for image in live.values() if image} - {self.commit}:
            changed[commit] = await self._changed(commit, login)
        reasons = {}
        for name, image in live.items():
            if image is None:
                unknown = "everything was asked for" if self.build == "all" else "no release of it is known to be live"
                reasons[name] = f"is built: {unknown}"
            elif (files := changed[image.commit]) is None:
                reasons[name] = f"is built: git no longer has {image.commit}, which is live"
            elif file := touched(sources[name].paths, files):
                reasons[name] = f"is built: {file} changed since {image.commit}"
        return reasons

    async def _changed(self, since: str, login: GitLogin | None) -> Collection[str] | None:
        """Return the files that differ; none where git no longer has the commit that is live."""
        from tke_provider.clients.git import changed_paths

        try:
            return await changed_paths(self.git_url, since, self.commit, login)
        except NotFoundError as error:
            if since not in str(error):
                raise
            return None


def _image(history: Sequence[Record], container: str) -> Image | None:
    """Return the image that serves in a container; none while that cannot be told."""
    from tke_provider.domain.releases import Stage, serving

    settled = bool(history) and history[0].stage in {Stage.LIVE, Stage.ROLLED_BACK}
    record = serving(history) if settled else None
    given = record.images.get(container) if record else None
    if record is None or given is None:
        return None
    image = Image.parse(given)
    try:
        check_commit(record.commit)
    except InputError:  # built from no commit, or from several
        return None
    return Image(image.repository, image.digest, record.commit)
