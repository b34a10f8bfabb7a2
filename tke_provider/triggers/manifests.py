"""Waiting until the cluster differs from what was applied, or no longer does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tke_provider.domain.diffs import Change, in_words
from tke_provider.domain.manifests import JOB
from tke_provider.domain.phrases import some
from tke_provider.domain.releases import Stage
from tke_provider.domain.verdicts import Verdict, failed, passed, pending
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.hooks.manifests import ManifestSource
from tke_provider.triggers.base import TkeBaseTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.domain.manifests import Manifest

_SHOWN = 5


class DriftTrigger(TkeBaseTrigger):
    """Compares what is live with a service's last release, or with manifests in a repository.

    :param expect: ``drift`` or ``in_sync``.
    :param service: the service whose last release counts; empty to compare with manifests.
    :param namespace: of the service, or of all manifests.
    :param manifests: written down in the DAG. Not kept when the trigger is stored: they may hold secrets.
    """

    arguments: ClassVar[tuple[str, ...]] = (
        "expect",
        "service",
        "namespace",
        "git_url",
        "commit",
        "manifests_path",
        "git_conn_id",
        "cluster_id",
        "region",
    )

    def __init__(
        self,
        *,
        expect: str = "drift",
        service: str | None = None,
        namespace: str | None = None,
        git_url: str | None = None,
        commit: str | None = None,
        manifests_path: str | None = None,
        git_conn_id: str | None = None,
        cluster_id: str | None = None,
        region: str | None = None,
        manifests: str | Sequence[Manifest] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.expect = expect
        self.service = service
        self.namespace = namespace
        self.git_url = git_url
        self.commit = commit
        self.manifests_path = manifests_path
        self.git_conn_id = git_conn_id
        self.cluster_id = cluster_id
        self.region = region
        self.manifests = manifests
        self._source = ManifestSource(manifests, git_url, commit, manifests_path, git_conn_id)
        self._read: list[Manifest] | None = None

    async def look(self) -> Verdict:
        """Compare once."""
        from tke_provider.clients.manifests import compare

        async with await TkeKubernetesHook(self.tke_conn_id, self.cluster_id, self.region).cluster() as cluster:
            wanted = await (self._released(cluster) if self.service else self._written(cluster))
            if isinstance(wanted, Verdict):
                return wanted
            new = [self.namespace] if self.namespace else []
            differences = (await compare(cluster, wanted, force=True, new_namespaces=new)).differences
        found = [str(each) for each in differences if each.change is not Change.UNCHANGED]
        reason = some(found, _SHOWN, "; ") or f"what is live is as applied: {in_words(differences)}"
        return passed(reason) if bool(found) is (self.expect == "drift") else pending(reason)

    async def _released(self, cluster: Cluster) -> Sequence[Manifest] | Verdict:
        """Return what the service's newest good release applied, or why it is not the time to compare."""
        from tke_provider.clients import releases

        where = f"{self.service} in namespace {self.namespace}"
        records = await releases.history(cluster, str(self.namespace), str(self.service))
        if records and records[0].stage in {Stage.APPLYING, Stage.UNDOING}:
            return pending(f"{where} is being released by {records[0].op}")
        good = next((record for record in records if record.stage is Stage.LIVE), None)
        if good is None:
            return failed(f"{where} has no good release to compare with")
        # A Job that has done its work may be gone.
        return [each for each in good.applied if each["kind"] != JOB]

    async def _written(self, cluster: Cluster) -> Sequence[Manifest]:
        """Return the manifests that were given."""
        from tke_provider.clients import objects

        if self._read is None:  # a commit does not change
            self._read = await self._source.read()
            if self.namespace:
                await objects.place(cluster, self._read, self.namespace)
        return self._read
