"""Waiting for a cluster to run or to be gone, and for an endpoint to be open or closed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

from tke_provider.domain.clusters import assess_creation, assess_deletion
from tke_provider.hooks.tke import TkeHook
from tke_provider.triggers.base import TkeBaseTrigger

if TYPE_CHECKING:
    from tke_provider.domain.verdicts import Verdict


class ClusterTrigger(TkeBaseTrigger):
    """Waits until a cluster runs, or is gone.

    :param cluster_id: ``cls-xxxxxxxx``.
    :param wanted: ``running`` or ``gone``.
    :param region: default: the connection's.
    """

    arguments = ("cluster_id", "wanted", "region")

    def __init__(
        self, *, cluster_id: str, wanted: Literal["running", "gone"], region: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.cluster_id = cluster_id
        self.wanted = wanted
        self.region = region

    async def look(self) -> Verdict:
        """Look at the cluster's state."""
        assess = assess_creation if self.wanted == "running" else assess_deletion
        async with await TkeHook(self.tke_conn_id, self.region).tke() as tke:
            return assess(await tke.cluster(self.cluster_id), self.cluster_id)


class EndpointTrigger(TkeBaseTrigger):
    """Waits until a way to the API server is open, or closed.

    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param external: the public endpoint, or the one inside the private network.
    :param wanted: ``open`` or ``closed``.
    :param asked: when it was asked for, in seconds since the epoch: the cloud is slow to show that it opens.
    :param region: default: the connection's.
    """

    arguments = ("cluster_id", "external", "wanted", "asked", "region")

    def __init__(
        self,
        *,
        cluster_id: str | None,
        external: bool,
        wanted: Literal["open", "closed"],
        asked: float = 0.0,
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.cluster_id = cluster_id
        self.external = external
        self.wanted = wanted
        self.asked = asked
        self.region = region

    async def look(self) -> Verdict:
        """Look at the endpoint's status."""
        hook = TkeHook(self.tke_conn_id, self.region)
        cluster_id = self.cluster_id or await hook.default_cluster()
        async with await hook.tke() as tke:
            endpoint = await tke.endpoint(cluster_id, external=self.external)
        if self.wanted == "closed":
            return endpoint.closed(cluster_id)
        return endpoint.opened(cluster_id, time.time() - self.asked)
