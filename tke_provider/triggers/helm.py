"""Waiting until helm is through with a release, and what it made is up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.domain.helm import RELEASE_NAME, assess, assess_absence
from tke_provider.domain.manifests import annotation
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.hooks.helm import HelmHook
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.triggers.base import TkeBaseTrigger
from tke_provider.triggers.rollouts import RolloutTrigger

if TYPE_CHECKING:
    from tke_provider.clients.helm import HelmReleases

_KINDS = ("DaemonSet", "Deployment", "StatefulSet")


class HelmTrigger(TkeBaseTrigger):
    """Waits until a release has come to a new revision.

    :param release: its name.
    :param namespace: where it is.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    :param change: id of the change that is waited for, where the cloud told one.
    :param after: the revision before the change; 0 before an installation.
    :param workloads: whether to wait, too, until the release's workloads in its namespace are up.
    """

    arguments = ("release", "namespace", "cluster_id", "region", "change", "after", "workloads")

    def __init__(
        self,
        *,
        release: str,
        namespace: str,
        cluster_id: str | None = None,
        region: str | None = None,
        change: str = "",
        after: int = 0,
        workloads: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.release = release
        self.namespace = namespace
        self.cluster_id = cluster_id
        self.region = region
        self.change = change
        self.after = after
        self.workloads = workloads

    async def look(self) -> Verdict:
        """Look at the change and the release, then at the workloads."""
        hook = HelmHook(self.tke_conn_id, self.region)
        async with await hook.release(self.cluster_id, self.namespace, self.release) as release:
            verdict = await self._assess(release)
        if verdict.state is not State.PASSED or not self.workloads:
            return verdict
        return await self._look_at_workloads(verdict)

    async def _assess(self, release: HelmReleases) -> Verdict:
        # The change first: one that ends in between is then seen in the release.
        change = next((each for each in await release.changes() if each.id == self.change), None)
        return assess(await release.find(), change, self.after)

    async def _look_at_workloads(self, verdict: Verdict) -> Verdict:
        async with await TkeKubernetesHook(self.tke_conn_id, self.cluster_id, self.region).cluster() as cluster:
            names = [
                f"{kind}/{each['metadata']['name']}"
                for kind in _KINDS
                for each in await cluster.list("apps/v1", kind, self.namespace)
                if annotation(each, RELEASE_NAME) == self.release
            ]
        rollout = await RolloutTrigger(
            tke_conn_id=self.tke_conn_id,
            deadline=self.deadline,
            namespace=self.namespace,
            workloads=names,
            cluster_id=self.cluster_id,
            region=self.region,
        ).look()
        return Verdict(rollout.state, f"{verdict.reason}; {rollout.reason}")


class HelmAbsenceTrigger(HelmTrigger):
    """Waits until a release is gone."""

    async def look(self) -> Verdict:
        """Look at the change and the release."""
        hook = HelmHook(self.tke_conn_id, self.region)
        async with await hook.release(self.cluster_id, self.namespace, self.release) as release:
            change = next((each for each in await release.changes() if each.id == self.change), None)
            return assess_absence(await release.find(), change)
