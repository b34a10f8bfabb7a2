"""Manifests as they are: shown against what is live, applied, and pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.domain.diffs import DiffDict, Difference, deletion, in_words, summary
from tke_provider.domain.images import Image, ImageDict
from tke_provider.domain.manifests import Manifest, ObjectRef, pin, stamp, workloads
from tke_provider.exceptions import InputError, ManifestError
from tke_provider.hooks.manifests import ManifestSource
from tke_provider.links.commits import CommitLink
from tke_provider.links.console import ClusterLink
from tke_provider.operators.base import TkeBaseOperator, open_cluster, operation_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.kubernetes import Cluster


class TkeDiffOperator(TkeBaseOperator):
    """Shows what applying manifests would change, and changes nothing.

    The cluster itself answers, by a server-side dry run, so defaults and admission are in the answer. The whole diff
    is in the task's log. Values of Secrets are hidden, and so are environment variables and entries of ConfigMaps that
    are named like one.

    :param manifests: YAML of any number of documents, the path of a ``.yaml`` or ``.yml`` file that Airflow finds
        and renders as a template, or a list of objects. Give this, or the next three.
    :param git_url: repository that holds the manifests.
    :param commit: full commit SHA to read them at.
    :param manifests_path: file or folder within the repository, as :class:`TkeDeployServiceOperator` reads it. Not a
        template.
    :param git_conn_id: connection with the login for the git host; none for public repositories.
    :param images: the image of each container, as the build task returned it, by container name (or
        ``workload/container``); default: as the manifests say.
    :param namespace: namespace of all of them; manifests that name another one are refused. Default: each names its
        own. One that does not exist is taken for one that the release makes.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    :return: a :class:`~tke_provider.domain.diffs.DiffDict`: ``counts``, ``objects``, and ``markdown`` for an approval.
    :raises InputError: when manifests, images or namespace cannot be used, or the cluster refuses an object.
    """

    template_fields: Sequence[str] = (
        "cluster_id",
        "commit",
        "git_conn_id",
        "git_url",
        "images",
        "manifests",
        "namespace",
        "region",
        "tke_conn_id",
    )
    template_ext = (".yaml", ".yml")
    template_fields_renderers = {"images": "json", "manifests": "yaml"}  # noqa: RUF012  # as Airflow declares it
    operator_extra_links = (ClusterLink(), CommitLink())

    def __init__(
        self,
        *,
        manifests: str | Sequence[Manifest] | None = None,
        git_url: str | None = None,
        commit: str | None = None,
        manifests_path: str | None = None,
        git_conn_id: str | None = None,
        images: Mapping[str, ImageDict | str] | None = None,
        namespace: str | None = None,
        cluster_id: str | None = None,
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.manifests = manifests
        self.git_url = git_url
        self.commit = commit
        self.manifests_path = manifests_path
        self.git_conn_id = git_conn_id
        self.images = images
        self.namespace = namespace
        self.cluster_id = cluster_id
        self.region = region

    async def perform(self, context: Context) -> DiffDict:
        """Read, ask the cluster, and show."""
        from tke_provider.clients.manifests import compare

        manifests = await self._read(context)
        async with await open_cluster(self) as cluster:
            await self._place(cluster, manifests)
            new = [self.namespace] if self.namespace else []
            compared = await compare(cluster, manifests, force=True, new_namespaces=new)
        self._show(compared.differences)
        return summary(compared.differences)

    async def _read(self, context: Context) -> list[Manifest]:
        """Return the manifests with the images in them, and with the name of this operation."""
        source = ManifestSource(self.manifests, self.git_url, self.commit, self.manifests_path, self.git_conn_id)
        manifests = await source.read()
        if self.images:
            manifests = pin(manifests, {name: Image.parse(image) for name, image in self.images.items()})
        stamp(manifests, operation_of(context).id, self.commit or "")
        return manifests

    async def _place(self, cluster: Cluster, manifests: list[Manifest]) -> None:
        """Put the manifests into the namespace, where one is given."""
        from tke_provider.clients import objects

        if self.namespace:
            await objects.place(cluster, manifests, self.namespace)

    def _show(self, differences: Sequence[Difference]) -> None:
        for each in differences:
            if each.text:
                self.log.info("%s would be %s:\n%s", each.ref, each.change.value, each.text)
        self.log.info("Of %d objects: %s", len(differences), in_words(differences))


class TkeApplyOperator(TkeDiffOperator):
    """Applies manifests of any kind, server-side, and deletes what they no longer name if asked.

    Everything is checked by the cluster before the first object is applied, and applying the same again changes
    nothing. Namespaces and definitions of custom resources go first, workloads last; nothing is waited for (that is
    :class:`~tke_provider.sensors.rollouts.TkeRolloutSensor`'s) and nothing undone. To release a service, use
    :class:`~tke_provider.operators.rollouts.TkeDeployServiceOperator`. Where something else writes a workload's size,
    the live size stays.

    :param prune: labels of the set that these manifests are, as in ``{"app.kubernetes.io/part-of": "shop"}``: what
        carries them, was applied by this provider and is named no more, is deleted, in the namespaces of the
        manifests. Every manifest of a namespace has to carry them. Never deleted: namespaces, volumes and their
        claims, definitions of custom resources. Default: nothing is deleted.
    :param force: take over fields that another manager wrote; default: refuse, and name manager and field.
    :param dry_run: change nothing, show and return what would change.
    :return: what was changed, as :class:`TkeDiffOperator` returns it.
    :raises OwnedError: when another manager owns a field that the manifests set. Nothing was changed.
    :raises BusyError: when another operation is changing one of the workloads; a retry helps.
    """

    template_fields: Sequence[str] = tuple(sorted((*TkeDiffOperator.template_fields, "prune")))

    def __init__(
        self, *, prune: Mapping[str, str] | None = None, force: bool = False, dry_run: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.prune = prune
        self.force = force
        # Airflow's operators have a method of this name.
        self.changes_nothing = dry_run

    async def perform(self, context: Context) -> DiffDict:
        """Check everything, show it, and do it."""
        from tke_provider.clients import leases
        from tke_provider.clients.manifests import apply, compare, prune

        manifests = await self._read(context)
        async with await open_cluster(self) as cluster:
            await self._place(cluster, manifests)
            surplus = await self._surplus(cluster, manifests)
            compared = await compare(cluster, manifests, force=self.force)
            differences = [*compared.differences, *map(deletion, surplus)]
            self._show(differences)
            if self.changes_nothing:
                return summary(differences)
            existing = [ObjectRef.of(each) for each in [*workloads(compared.ready), *workloads(surplus)]]
            holdable = [(ref.namespace, ref.name) for ref in existing if not _comes_with(ref.namespace, manifests)]
            async with leases.held(cluster, holdable, operation_of(context).id):
                for manifest in compared.ready:
                    await apply(cluster, manifest, force=self.force)
                    self.log.info("Applied %s", ObjectRef.of(manifest))
                for gone in await prune(cluster, surplus):
                    self.log.info("Deleted %s, which no manifest names any more", gone)
        return summary(differences)

    async def _surplus(self, cluster: Cluster, manifests: list[Manifest]) -> list[Manifest]:
        """Return what is to be deleted."""
        from tke_provider.clients.manifests import to_prune

        if self.prune is None:
            return []
        if not self.prune:
            raise InputError("prune has no label, which would mean everything", way_out="name the labels of the set")
        namespaced = [each for each in manifests if each["metadata"].get("namespace")]
        _check_labels(namespaced, self.prune)
        namespaces = sorted({each["metadata"]["namespace"] for each in namespaced})
        return await to_prune(cluster, manifests, namespaces, self.prune)


def _check_labels(manifests: Iterable[Manifest], labels: Mapping[str, str]) -> None:
    """Refuse a set whose own members lack its labels: the next run would not find them again."""
    for manifest in manifests:
        own = manifest["metadata"].get("labels") or {}
        lacking = [f"{name}={value}" for name, value in labels.items() if own.get(name) != value]
        if lacking:
            raise ManifestError(
                f"{ObjectRef.of(manifest)} lacks the label {lacking[0]}, by which the task prunes",
                way_out="add it to every manifest of the set, or correct prune",
            )


def _comes_with(namespace: str, manifests: Iterable[Manifest]) -> bool:
    return any(each["kind"] == "Namespace" and each["metadata"]["name"] == namespace for each in manifests)
