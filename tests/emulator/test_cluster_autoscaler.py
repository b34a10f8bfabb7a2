"""What the cluster autoscaler decides about pods and nodes; with real ones, see ``test_stack``."""

from __future__ import annotations

import time

import pytest

from tests.emulator.conftest import CLUSTER, NATIVE, REGULAR
from tke_provider.emulator.cluster_autoscaler import ACTION, decide
from tke_provider.emulator.nodes import KWOK_TAINT, POOL

REFUSED = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}


def pod(node: str = "", pool: str = REGULAR, cpu: str = "2") -> dict:
    spec = {
        "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}],
        "nodeSelector": {POOL: pool},
        "tolerations": [{"key": KWOK_TAINT["key"], "operator": "Exists"}],
        "nodeName": node,
    }
    return {"metadata": {"name": "p"}, "spec": spec, "status": {} if node else REFUSED}


@pytest.fixture
def look(emulator):
    """One look of the autoscaler at these pods, some seconds after the one before; Node objects come later."""
    cloud, now = emulator.cloud, time.time()

    def at(*pods: dict, seconds: float = 0) -> dict:
        nonlocal now
        now += seconds
        with cloud.lock:
            cloud.clock.now = lambda: now
            try:
                cluster = cloud.state.clusters[CLUSTER]
                decide(cloud, cluster, list(pods), [])
            finally:
                cloud.clock.now = time.time
            return {pool.id: pool.desired for pool in cluster.pools.values()}

    return at


@pytest.fixture
def scaled(emulator):
    """The regular pool, empty, with autoscaling on."""
    emulator.desire(0)
    emulator.tke(
        "ModifyClusterNodePool",
        ClusterId=CLUSTER,
        NodePoolId=REGULAR,
        EnableAutoscale=True,
        MaxNodesNum=3,
        MinNodesNum=0,
    )
    return emulator


def machines(emulator, pool: str = REGULAR) -> list[str]:
    cluster = emulator.cloud.state.clusters[CLUSTER]
    return [node.id for node in cluster.nodes_of(cluster.pools[pool]) if node.state != "gone"]


def test_a_pool_grows_for_pods_that_its_machines_would_take(scaled, look):
    assert look(pod(), pod(), pod())[REGULAR] == 2
    # They are ordered now; the same pods order no more of them.
    assert look(pod(), pod(), pod())[REGULAR] == 2


def test_a_pool_never_grows_beyond_its_bounds(scaled, look):
    assert look(*[pod() for _ in range(20)])[REGULAR] == 3


@pytest.mark.parametrize("waiting", [pod(cpu="5"), pod(pool="np-others00")])
def test_a_pool_does_not_grow_for_pods_that_it_would_not_take(scaled, look, waiting):
    assert look(waiting)[REGULAR] == 0


def test_a_pool_without_autoscaling_stays(emulator, look):
    assert look(pod(), pod(), pod(), pod())[REGULAR] == 1


def test_a_native_pool_grows_too(emulator, look):
    emulator.tke2022("ModifyNodePool", ClusterId=CLUSTER, NodePoolId=NATIVE, Native={"EnableAutoscaling": True})
    assert look(*[pod(pool=NATIVE) for _ in range(4)])[NATIVE] == 2
    assert len(machines(emulator, NATIVE)) == 2


def test_what_it_does_is_an_activity_of_the_scaling_group(scaled, look):
    look(pod())
    (activity, *_) = scaled.activities()
    assert (activity["ActivityType"], activity["StatusCode"]) == ("SCALE_OUT", "SUCCESSFUL")
    assert "difference between desired capacity and actual capacity" in activity["Cause"]


def test_sold_out_is_told_and_not_ordered_again(scaled, look):
    scaled.admin("POST", "trouble", kind="sold_out", action=ACTION)
    assert look(pod(), pod(), pod())[REGULAR] == 2
    assert look(pod(), pod(), pod())[REGULAR] == 2
    (activity, *_) = scaled.activities()
    assert (activity["StatusCode"], machines(scaled)) == ("FAILED", [])
    assert "sold out" in activity["StatusMessage"]
    scaled.admin("DELETE", "trouble")
    assert len(machines(scaled)) == 2


def test_a_machine_that_idles_goes_after_the_time_that_the_cluster_allows(scaled, look):
    look(pod(), pod(), pod())
    kept, idle = machines(scaled)
    assert look(pod(kept), seconds=0)[REGULAR] == 2
    assert look(pod(kept), seconds=599)[REGULAR] == 2
    assert look(pod(kept), seconds=2)[REGULAR] == 1
    assert machines(scaled) == [kept]
    (activity, *_) = scaled.activities()
    assert activity["ActivityType"] == "REMOVE_INSTANCES"
    assert [each["InstanceId"] for each in activity["RelatedInstanceSet"]] == [idle]


def test_a_machine_that_worked_meanwhile_idles_anew(scaled, look):
    look(pod())
    (machine,) = machines(scaled)
    look(seconds=0)
    look(pod(machine), seconds=500)
    assert look(seconds=200)[REGULAR] == 1


def test_the_clock_can_make_idleness_shorter_than_a_minute(scaled, look):
    scaled.admin("POST", "clock", idle={"mode": "seconds", "amount": 5})
    look(pod())
    look()
    assert look(seconds=4)[REGULAR] == 1
    assert look(seconds=2)[REGULAR] == 0


def test_a_pool_never_shrinks_below_its_minimum(scaled, look):
    scaled.admin("POST", "clock", idle={"mode": "at once"})
    look(pod(), pod(), pod())
    scaled.tke("ModifyClusterNodePool", ClusterId=CLUSTER, NodePoolId=REGULAR, MinNodesNum=1)
    assert look()[REGULAR] == 1
    assert look()[REGULAR] == 1


def test_a_machine_that_is_protected_stays(scaled, look):
    scaled.admin("POST", "clock", idle={"mode": "at once"})
    look(pod(), pod(), pod())
    first, _ = machines(scaled)
    scaled.tke(
        "SetNodePoolNodeProtection",
        ClusterId=CLUSTER,
        NodePoolId=REGULAR,
        InstanceIds=[first],
        ProtectedFromScaleIn=True,
    )
    assert look()[REGULAR] == 1
    assert machines(scaled) == [first]


def test_options_are_kept_and_scale_in_can_be_switched_off(scaled, look, refused):
    def options() -> dict:
        return scaled.tke("DescribeClusterAsGroupOption", ClusterId=CLUSTER)["ClusterAsGroupOption"]

    assert (options()["ScaleDownUnneededTime"], options()["Expander"]) == (10, "random")
    change = {"IsScaleDownEnabled": False, "ScaleDownUnneededTime": 0}
    scaled.tke("ModifyClusterAsGroupOptionAttribute", ClusterId=CLUSTER, ClusterAsGroupOption=change)
    assert options()["ScaleDownUnneededTime"] == 0
    look(pod())
    assert look()[REGULAR] == 1
    scaled.tke(
        "ModifyClusterAsGroupOptionAttribute", ClusterId=CLUSTER, ClusterAsGroupOption={"IsScaleDownEnabled": True}
    )
    assert look()[REGULAR] == 0
    with refused("InvalidParameter.Param", "most-pods"):
        scaled.tke(
            "ModifyClusterAsGroupOptionAttribute", ClusterId=CLUSTER, ClusterAsGroupOption={"Expander": "cheapest"}
        )
