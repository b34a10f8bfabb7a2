"""Image repositories in TCR: made before the first push, and cleaned up without taking anything that is needed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from tke_provider.domain.repositories import CleanUp, Fate, Retention, plan
from tke_provider.exceptions import InputError
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.hooks.registry import RegistryHook
from tke_provider.hooks.tcr import TcrHook
from tke_provider.links.console import ImageLink
from tke_provider.operators.base import TkeBaseOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.tcr import Tcr
    from tke_provider.domain.repositories import TaggedImage


class MadeRepository(TypedDict):
    """A repository as it lies in XCom.

    :param repository: with the registry's host, as images are named by.
    :param created: whether this task made it.
    """

    repository: str
    created: bool


class TcrRepositoryOperator(TkeBaseOperator):
    """An operator for one repository of TCR.

    :param repository: ``namespace/name``.
    :param registry_id: ``tcr-xxxxxxxx``; default: the connection's.
    """

    template_fields: Sequence[str] = ("registry_id", "repository", "tke_conn_id")
    operator_extra_links = (ImageLink(),)
    region = ""

    def __init__(self, *, repository: str, registry_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.repository = repository
        self.registry_id = registry_id

    async def _registry_id(self) -> str:
        """Return the registry, and write down for the console link where it is."""
        hook = TcrHook(self.tke_conn_id)
        self.region = (await hook.connection()).region
        self.registry_id = self.registry_id or await hook.default_registry()
        return self.registry_id


class TcrCreateRepositoryOperator(TcrRepositoryOperator):
    """Makes a repository, unless it is there: one that is made by a push has no description.

    :param brief: a line that says what is in it.
    :param create_namespace: make its namespace, too, private, unless that is there.
    :return: ``{"repository", "created"}``.
    :raises NotFoundError: when there is no such registry or namespace.
    """

    template_fields = tuple(sorted((*TcrRepositoryOperator.template_fields, "brief")))

    def __init__(self, *, brief: str = "", create_namespace: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.brief = brief
        self.create_namespace = create_namespace

    async def perform(self, context: Context) -> MadeRepository:  # noqa: ARG002  # the run says nothing that matters
        """Look for it, else make it."""
        registry_id = await self._registry_id()
        async with await TcrHook(self.tke_conn_id).tcr() as tcr:
            registry = await tcr.instance(registry_id)
            if self.create_namespace:
                await tcr.create_namespace(registry_id, self.repository.partition("/")[0])
            created = await tcr.create_repository(registry_id, self.repository, self.brief)
        self.log.info("%s %s", self.repository, "was made" if created else "was there")
        return {"repository": f"{registry.domain}/{self.repository}", "created": created}


class TcrCleanUpOperator(TcrRepositoryOperator):
    """Deletes images that nothing needs: none that runs, and none that a release could go back to.

    The cloud's own retention rules do not know what runs, so they are not used. An image, under whichever of its tags,
    stays when a cluster named here uses it by digest or tag (pods, what makes pods and its earlier revisions, records
    of our releases, revisions of Helm releases), when one of its tags is to be kept, and when it is new. What cannot be
    judged stays. Where a cluster cannot be asked, nothing is deleted.

    Between the look at the clusters and the last deletion somebody may deploy an old image that nothing used: keep
    enough days that nobody does.

    :param clusters: every cluster that runs images of the repository, by id, with the namespaces to look in; an empty
        list means all of them. A list of ids looks everywhere. An image that runs elsewhere is not known of here!
    :param keep_newest: how many images stay in any case, by the time of their push.
    :param keep_days: how many days after its push an image stays in any case.
    :param keep_tags: patterns of tags that stay, such as ``v*``.
    :param dry_run: say only what would go and why the rest stays, which is the default.
    :return: ``{"repository", "dry_run", "deleted": {digest: [tag, …]}, "kept": {digest: why}}``.
    :raises InputError: when no cluster is named, or a release's record cannot be read. Nothing was deleted.
    :raises NotFoundError: when there is no such registry, repository or cluster. Nothing was deleted.
    """

    template_fields = tuple(
        sorted((*TcrRepositoryOperator.template_fields, "clusters", "keep_days", "keep_newest", "keep_tags"))
    )

    def __init__(
        self,
        *,
        clusters: Mapping[str, Sequence[str]] | Sequence[str],
        keep_newest: int = 10,
        keep_days: float = 30.0,
        keep_tags: Sequence[str] = (),
        dry_run: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.clusters = clusters
        self.keep_newest = keep_newest
        self.keep_days = keep_days
        self.keep_tags = keep_tags
        self.dry_run_only = dry_run

    async def perform(self, context: Context) -> CleanUp:  # noqa: ARG002  # the run says nothing that matters here
        """Plan, say, and delete."""
        registry_id, retention = await self._registry_id(), self._retention()
        async with await TcrHook(self.tke_conn_id).tcr() as tcr:
            # Images first: what is deployed while the clusters are asked is then among them.
            images = await tcr.images(registry_id, self.repository)
            platforms = await self._platforms(tcr, registry_id, images)
            uses = await self._uses()
            fates = plan(images, uses, retention, dt.datetime.now(dt.timezone.utc), platforms)
            for fate in fates:
                await self._carry_out(tcr, registry_id, fate)
        return {
            "repository": self.repository,
            "dry_run": self.dry_run_only,
            "deleted": {fate.digest: list(fate.tags) for fate in fates if not fate.why},
            "kept": {fate.digest: fate.why for fate in fates if fate.why},
        }

    async def _carry_out(self, tcr: Tcr, registry_id: str, fate: Fate) -> None:
        name = f"{self.repository}@{fate.digest} ({', '.join(fate.tags)})"
        if fate.why:
            self.log.info("Keeping %s: %s", name, fate.why)
            return
        self.log.info("%s %s", "Would delete" if self.dry_run_only else "Deleting", name)
        if self.dry_run_only:
            return
        # A tag may have been moved to another image, which is none of ours to delete; deletion goes by tag alone.
        now = {image.tag for image in await tcr.images(registry_id, self.repository, fate.digest)}
        for tag in sorted(now & set(fate.tags)):
            await tcr.delete_image(registry_id, self.repository, tag)

    async def _uses(self) -> dict[str, str]:
        from tke_provider.clients.image_uses import image_uses

        clusters = self.clusters if isinstance(self.clusters, Mapping) else dict.fromkeys(self.clusters, ())
        if not clusters:
            raise InputError(
                f"Task {self.task_id} names no cluster",
                way_out="name every cluster that runs images of the repository: nothing else protects them",
            )
        uses: dict[str, str] = {}
        for cluster_id, namespaces in clusters.items():
            async with await TkeKubernetesHook(self.tke_conn_id, cluster_id).cluster() as cluster:
                uses |= await image_uses(cluster, self.repository, namespaces)
        return uses

    async def _platforms(self, tcr: Tcr, registry_id: str, images: Sequence[TaggedImage]) -> dict[str, Sequence[str]]:
        """Return what lists of images for several platforms lead to: a pod may name one of these."""
        digests = {image.digest for image in images if image.is_index}
        if not digests:
            return {}
        host = (await tcr.instance(registry_id)).domain
        async with await RegistryHook(self.tke_conn_id, registry_id).registry(host) as registry:
            return {digest: await registry.platforms(self.repository, digest) for digest in digests}

    def _retention(self) -> Retention:
        try:
            return Retention(int(self.keep_newest), float(self.keep_days), tuple(self.keep_tags))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"keep_newest is {self.keep_newest!r} and keep_days {self.keep_days!r}", way_out="give numbers"
            ) from error
