"""From an Airflow connection to a Kubernetes cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tke_provider.hooks.connections import mask
from tke_provider.hooks.tke import TkeHook

if TYPE_CHECKING:
    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.hooks.tencent_cloud import TkeConnection

_FRESH_SECONDS = 300.0
_kubeconfigs: dict[tuple[str, str, str, bool], tuple[float, str]] = {}
"""Kubeconfigs of this process, by connection, region, cluster and endpoint: many tasks need not each ask."""


class TkeKubernetesHook(TkeHook):
    """Speaks to a cluster of TKE, or to the one whose kubeconfig the connection holds (extra ``kubeconfig_secret``).

    :param tke_conn_id: connection of type ``tke``.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's. With ``kubeconfig_secret`` it is a mere name.
    :param region: default: the connection's.
    """

    def __init__(
        self, tke_conn_id: str = TkeHook.default_conn_name, cluster_id: str | None = None, region: str | None = None
    ) -> None:
        super().__init__(tke_conn_id, region)
        self.cluster_id = cluster_id

    async def cluster(self) -> Cluster:
        """Return the cluster; use it as ``async with await hook.cluster() as cluster:``.

        The kubeconfig is asked for anew when it is older than five minutes, or when the cluster no longer takes it;
        one that the connection holds is then read from there anew.

        :raises InputError: when neither hook nor connection names a cluster, or the kubeconfig makes no sense.
        :raises NotFoundError: when there is no such cluster, or its endpoint is not open.
        """
        from tke_provider.clients.kubeconfig import secrets_of
        from tke_provider.clients.kubernetes import Cluster

        connection = await self.connection()
        if connection.kubeconfig_secret:
            await mask(*secrets_of(connection.kubeconfig_secret))
            name = self.cluster_id or connection.cluster_id
            return Cluster(connection.kubeconfig_secret, name=name, renew=self._reread)
        cluster_id = self.cluster_id or await self.default_cluster(connection)
        external = connection.use_external_endpoint

        async def fetch(known: TkeConnection | None = None) -> str:
            async with await self.tke(known) as tke:
                text = await tke.kubeconfig(cluster_id, external)
            await mask(*secrets_of(text))
            _kubeconfigs[key] = (time.monotonic(), text)
            return text

        key = (self.tke_conn_id, self.region or connection.region, cluster_id, external)
        since, text = _kubeconfigs.get(key, (0.0, ""))
        if not text or time.monotonic() - since > _FRESH_SECONDS:
            text = await fetch(connection)
        return Cluster(text, name=cluster_id, renew=fetch)

    async def _reread(self) -> str:
        """Return the kubeconfig that the connection holds by now: its token may have been replaced during a wait."""
        from tke_provider.clients.kubeconfig import secrets_of

        text = (await self.connection()).kubeconfig_secret
        await mask(*secrets_of(text))
        return text
