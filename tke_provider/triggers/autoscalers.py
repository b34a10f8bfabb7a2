"""Waiting until an HPA sees what it looks at."""

from __future__ import annotations

from typing import Any

from tke_provider.domain.autoscalers import API_VERSION, KIND, assess
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.verdicts import Verdict, failed
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.triggers.base import TkeBaseTrigger


class AutoscalerTrigger(TkeBaseTrigger):
    """Waits until an HPA has a value of every metric that it looks at.

    :param namespace: where it is.
    :param name: of the HPA.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    """

    arguments = ("namespace", "name", "cluster_id", "region")

    def __init__(
        self, *, namespace: str, name: str, cluster_id: str | None = None, region: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.namespace = namespace
        self.name = name
        self.cluster_id = cluster_id
        self.region = region

    async def look(self) -> Verdict:
        """Look at what the HPA says of itself."""
        ref = ObjectRef(API_VERSION, KIND, self.namespace, self.name)
        async with await TkeKubernetesHook(self.tke_conn_id, self.cluster_id, self.region).cluster() as cluster:
            live = await cluster.get(ref)
        return assess(live) if live else failed(f"{ref} was deleted meanwhile")
