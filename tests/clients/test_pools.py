"""Nodes of a pool, looked at again and again, and taken from it by a range; the rest is tested with the operators."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from tke_provider.clients.pools import FoundPool, PoolNodes, PoolWork
from tke_provider.domain.clusters import PoolKind
from tke_provider.domain.plans import Kind, Target
from tke_provider.domain.proposals import Present, Row
from tke_provider.domain.scaling import Bounds

CLUSTER = "cls-local000"


@pytest.mark.parametrize(
    ("desired", "ready", "lists"),
    [(100, 1, 3), (101, 1, 1), (101, 101, 3)],
    ids=["small", "large and growing", "large and whole"],
)
async def test_a_large_pool_that_grows_is_not_listed_at_every_look(tke, cloud, desired, ready, lists):
    pool = next(each for each in await tke.node_pools(CLUSTER) if each.kind is PoolKind.REGULAR)
    before, nodes = len(cloud.calls("DescribeClusterInstances")), PoolNodes()
    for _ in range(3):
        assert await nodes.get(tke, CLUSTER, dataclasses.replace(pool, desired=desired, ready=ready))
    assert len(cloud.calls("DescribeClusterInstances")) - before == lists


@pytest.mark.parametrize(("size", "lists"), [(1000, 3), (1001, 1)])
async def test_a_large_cluster_is_not_asked_for_its_nodes_at_every_look(tke, cloud, size, lists):
    class Asked:
        times = 0

        async def list(self, *_: str) -> list[dict[str, Any]]:
            self.times += 1
            return [{"metadata": {"name": str(number)}, "spec": {}} for number in range(size)]

    pool = next(each for each in await tke.node_pools(CLUSTER) if each.kind is PoolKind.REGULAR)
    cluster, nodes = Asked(), PoolNodes()
    await nodes.get(tke, CLUSTER, pool)
    for _ in range(3):
        assert "has not joined the cluster" in (await nodes.joined(cluster, pool, 1)).reason
    assert cluster.times == lists


# --- a range that holds less than there is ----------------------------------------------------------------------------

NODES = Target(name="nodes", kind=Kind.NODE_POOL, usual=1)
WRITES = ("ModifyClusterNodePool", "ModifyNodePoolDesiredCapacityAboutAsg", "DeleteClusterInstances")


class Cluster:
    """The nodes of the emulated machines, and leases; on a real API server other tests drain."""

    def __init__(self, cloud) -> None:
        self.cloud = cloud
        self.live: dict[str, dict[str, Any]] = {}
        self.closed: list[str] = []

    async def get(self, ref):
        return self.live.get(ref.name)

    async def create(self, manifest):
        metadata = manifest["metadata"] | {"resourceVersion": "1"}
        self.live[metadata["name"]] = manifest | {"metadata": metadata}

    async def patch(self, ref, body):
        if ref.kind == "Node":
            assert not self.cloud.calls("DeleteClusterInstances"), "nodes are closed before they go"
            self.closed.append(ref.name)
        else:
            self.live[ref.name] = self.live[ref.name] | {"spec": body["spec"]}

    async def list(self, _api_version, kind, *, field_selector=""):
        if kind != "Node" or field_selector:
            return []
        machines = self.cloud._ask("GET", "state", {})["clusters"]["cls-local000"]["nodes"]
        status = {"conditions": [{"type": "Ready", "status": "True"}]}
        return [{"metadata": {"name": name}, "spec": {}, "status": status} for name in machines]


@pytest.mark.parametrize(
    ("there", "wanted", "ends"),
    [
        (Bounds(5, 10), Bounds(2, 4), (2, 4, 4)),
        (Bounds(0, 10), Bounds(3, 6), (3, 6, 6)),
    ],
    ids=["the range falls", "it rises, and holds less than there is"],
)
async def test_nodes_beyond_a_range_are_drained_before_they_go(tke, cloud, there, wanted, ends):
    pool = next(each for each in await tke.node_pools(CLUSTER) if each.kind is PoolKind.REGULAR)
    await tke.set_pool_desired(CLUSTER, pool, 8)
    await tke.set_pool_bounds(CLUSTER, pool, there.minimum, there.maximum)
    pool, before = await tke.node_pool(CLUSTER, pool.id), {action: len(cloud.calls(action)) for action in WRITES}
    row = Row(target="nodes", ref="pool", before=there, after=wanted, wanted=wanted, usual=1)
    assert FoundPool(Present(target="nodes", ref="pool", size=8, bounds=there), pool).moves(row) == "down"
    cluster = Cluster(cloud)
    work = PoolWork(tke, cluster, CLUSTER, "me", time.monotonic() + 20, 0.01)
    brought = await work.bring(pool, row, NODES)
    assert (brought.verdict.state.value, brought.missing) == ("passed", 0)
    now = cloud.pool()
    assert (now["minimum"], now["desired"], now["maximum"]) == ends
    (removal,) = cloud.calls("DeleteClusterInstances")[before["DeleteClusterInstances"] :]
    assert sorted(removal["request"]["InstanceIds"]) == sorted(cluster.closed)
    assert len(cloud.calls(WRITES[1])) == before[WRITES[1]], "no size is written, by which the cloud would choose"
