"""Looking at a released service once, without waiting for anything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tke_provider.clients import leases, releases
from tke_provider.clients.rollouts import RolloutLook
from tke_provider.domain.manifests import ROLLED_OUT
from tke_provider.domain.observations import Observation, observed
from tke_provider.domain.releases import serving
from tke_provider.exceptions import NotFoundError

if TYPE_CHECKING:
    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.domain.releases import Record


async def observe(cluster: Cluster, namespace: str, service: str) -> tuple[Observation, list[Record]]:
    """Return what the service is like, and its records, newest first.

    :raises NotFoundError: when the cluster has no record of such a service.
    """
    records = await releases.history(cluster, namespace, service)
    if not records:
        raise NotFoundError(
            f"Namespace {namespace} has no record of {service}", way_out="it was released elsewhere, or by other means"
        )
    record = serving(records) or records[0]
    refs = [ref for ref in record.targets() if ref.kind in ROLLED_OUT]
    held, *live = await asyncio.gather(
        asyncio.gather(*(cluster.get(leases.lease_of(namespace, name)) for name in record.leases())),
        *(cluster.get(ref) for ref in refs),
    )
    holder = next(filter(None, (leases.holder_of(each) for each in held if each)), "")
    look = RolloutLook(cluster, namespace)
    verdicts = await asyncio.gather(*(look.assess(each) for each in live if each))
    return observed(record, dict(zip(refs, live, strict=True)), verdicts, holder), records
