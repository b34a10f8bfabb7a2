from __future__ import annotations

import time

import pytest

from tke_provider.clients.scaling import resize_pool
from tke_provider.domain.clusters import NodePool, PoolKind
from tke_provider.domain.scaling import steps
from tke_provider.exceptions import DeadlineError

POOL = NodePool("np-web", "web", PoolKind.REGULAR, "normal", 1, 5, 2, 2, autoscaling=False)


class Forgetful:
    """Takes every write and shows none: a list that lags, or somebody who undoes. The emulator does neither."""

    def __init__(self, pool: NodePool) -> None:
        self.pool = pool
        self.writes = 0

    async def node_pool(self, cluster_id: str, pool_id: str) -> NodePool:
        return self.pool

    async def set_pool_desired(self, cluster_id: str, pool: NodePool, size: int) -> None:
        self.writes += 1


async def test_a_write_that_does_not_show_is_not_hammered():
    tke = Forgetful(POOL)
    with pytest.raises(DeadlineError, match="does not take its size"):
        await resize_pool(
            tke,
            "cls-local000",
            POOL,
            lambda pool: steps(pool, 3),
            deadline=time.monotonic() + 0.2,
            poll_interval=0.05,
        )
    assert tke.writes <= 6
