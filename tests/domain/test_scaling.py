from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tke_provider.domain.clusters import NodePool, PoolKind, PoolNode, ScalingActivity
from tke_provider.domain.scaling import (
    Bounds,
    SetBounds,
    SetSize,
    against,
    assess_pool,
    assess_size,
    shortage,
    steps,
)
from tke_provider.domain.verdicts import State
from tke_provider.exceptions import InputError, OwnedError

POOL = NodePool("np-web", "web", PoolKind.REGULAR, "normal", 1, 5, 3, 3, autoscaling=False)
AUTOSCALED = dataclasses.replace(POOL, autoscaling=True)

sized_kinds = st.sampled_from([PoolKind.REGULAR, PoolKind.NATIVE])
sizes = st.integers(0, 30)


@st.composite
def pools(draw: st.DrawFn, *, autoscaling: bool = False) -> NodePool:
    minimum, desired, maximum = sorted(draw(st.tuples(sizes, sizes, sizes)))
    return dataclasses.replace(
        POOL, kind=draw(sized_kinds), minimum=minimum, desired=desired, maximum=maximum, autoscaling=autoscaling
    )


def after(pool: NodePool, write: SetBounds | SetSize) -> NodePool:
    if isinstance(write, SetBounds):
        desired = pool.desired if write.size is None else write.size
        return dataclasses.replace(pool, minimum=write.bounds.minimum, maximum=write.bounds.maximum, desired=desired)
    return dataclasses.replace(pool, desired=write.size)


# --- steps ------------------------------------------------------------------------------------------------------------


@given(pool=pools(), wanted=st.tuples(sizes, sizes, sizes))
def test_after_every_write_the_size_lies_within_the_bounds_and_after_the_last_at_the_target(
    pool: NodePool, wanted: tuple[int, int, int]
) -> None:
    minimum, desired, maximum = sorted(wanted)
    for write in steps(pool, desired, minimum, maximum):
        pool = after(pool, write)
        assert pool.minimum <= pool.desired <= pool.maximum
    assert (pool.minimum, pool.desired, pool.maximum) == (minimum, desired, maximum)


@given(pool=pools(), wanted=st.tuples(sizes, sizes, sizes))
def test_asking_again_after_a_write_gives_what_remains(pool: NodePool, wanted: tuple[int, int, int]) -> None:
    minimum, desired, maximum = sorted(wanted)
    planned = steps(pool, desired, minimum, maximum)
    assert len(planned) <= 3
    while planned:
        pool = after(pool, planned[0])
        assert steps(pool, desired, minimum, maximum) == planned[1:]
        planned = planned[1:]


@given(pool=pools(autoscaling=True), desired=sizes)
def test_under_an_autoscaler_the_lower_bound_moves_and_the_size_only_as_far_as_it_must(
    pool: NodePool, desired: int
) -> None:
    assume(desired <= pool.maximum)
    before, native = pool.desired, pool.kind is PoolKind.NATIVE
    for write in steps(pool, desired, through_bounds=True):
        assert not (native and isinstance(write, SetSize)), "the cloud refuses this call while autoscaling is on"
        pool = after(pool, write)
        assert pool.minimum <= pool.desired <= pool.maximum
    assert (pool.minimum, pool.desired) == (desired, max(before, desired))


def test_growing_past_the_maximum_raises_it_first_and_raising_the_minimum_past_the_size_grows_first() -> None:
    assert steps(POOL, 8, maximum=10) == (SetBounds(Bounds(1, 10)), SetSize(8))
    assert steps(POOL, 5, minimum=5) == (SetSize(5), SetBounds(Bounds(5, 5)))
    assert steps(POOL, 8, minimum=8, maximum=8) == (SetBounds(Bounds(1, 8)), SetSize(8), SetBounds(Bounds(8, 8)))


def test_a_pool_that_is_there_needs_no_write() -> None:
    assert steps(POOL, 3, 1, 5) == ()


@pytest.mark.parametrize(
    ("desired", "named"), [(0, "np-web cannot get a size of 0, which is below its minimum of 1"), (6, "above its max")]
)
def test_a_size_outside_the_bounds_is_refused_by_name(desired: int, named: str) -> None:
    with pytest.raises(InputError, match=named):
        steps(POOL, desired)


@pytest.mark.parametrize(("minimum", "maximum"), [(-1, 5), (4, 3)])
def test_bounds_that_hold_no_size_are_refused(minimum: int, maximum: int) -> None:
    with pytest.raises(InputError, match=f"Bounds from {minimum} to {maximum} hold no size"):
        steps(POOL, 3, minimum, maximum)


@pytest.mark.parametrize("kind", [PoolKind.SUPER, PoolKind.EXTERNAL])
def test_a_pool_without_a_size_is_refused(kind: PoolKind) -> None:
    with pytest.raises(InputError, match=f"np-web is a pool of {kind.value} nodes, which has no size"):
        steps(dataclasses.replace(POOL, kind=kind), 3)


def test_a_pool_that_the_autoscaler_sizes_is_refused_unless_its_bounds_may_be_changed() -> None:
    with pytest.raises(OwnedError, match="np-web is written by the cluster autoscaler"):
        steps(AUTOSCALED, 4)
    assert steps(AUTOSCALED, 4, through_bounds=True) == (SetSize(4), SetBounds(Bounds(4, 5)))
    assert steps(AUTOSCALED, 2, through_bounds=True) == (SetBounds(Bounds(2, 5)),)
    with pytest.raises(InputError, match="below its minimum of 2"):
        steps(AUTOSCALED, 1, minimum=2, through_bounds=True)


def test_a_task_of_one_direction_leaves_a_pool_alone_that_lies_beyond() -> None:
    assert "only adds" in against(POOL, 2, "up")
    assert "only removes" in against(POOL, 4, "down")
    assert against(POOL, 4, "up") == against(POOL, 2, "down") == against(POOL, 2, None) == ""
    # What counts under an autoscaler is the lower bound, here 1.
    assert against(AUTOSCALED, 2, "up") == ""


# --- verdicts on pools ------------------------------------------------------------------------------------------------


def node(number: int, *, reason: str = "", cordoned: bool = False) -> PoolNode:
    return PoolNode(f"ins-{number}", "failed" if reason else "running", reason, f"10.0.0.{number}", cordoned, "")


NODES = [node(1), node(2), node(3)]


@pytest.mark.parametrize(
    ("pool", "nodes", "state", "reason"),
    [
        (POOL, NODES, State.PASSED, "node pool np-web has 3 nodes, all ready"),
        (dataclasses.replace(POOL, life_state="updating"), NODES, State.PENDING, "is updating"),
        (dataclasses.replace(POOL, life_state="deleting"), NODES, State.FAILED, "is deleting"),
        (
            dataclasses.replace(POOL, ready=2),
            [*NODES[:2], node(3, reason="no address left")],
            State.PENDING,
            "np-web has 2 of 3 nodes ready",
        ),
        (dataclasses.replace(POOL, ready=2), [node(3, reason="no address left")], State.PENDING, "ins-3 no address"),
        (
            dataclasses.replace(POOL, ready=2),
            [node(number, reason="sold out") for number in range(6)],
            State.PENDING,
            "ins-2 sold out and 3 more",
        ),
        (dataclasses.replace(POOL, ready=4), [*NODES, node(4)], State.PENDING, "1 node too many"),
        (POOL, [*NODES[:2], node(3, cordoned=True)], State.PENDING, "has 1 node cordoned: ins-3"),
        (dataclasses.replace(POOL, desired=5), NODES, State.FAILED, "was 3 and something else made it 5"),
    ],
)
def test_a_pool_has_its_size_when_every_node_is_ready_and_open_to_pods(
    pool: NodePool, nodes: list[PoolNode], state: State, reason: str
) -> None:
    verdict = assess_pool(pool, nodes, 3)
    assert verdict.state is state
    assert re.search(reason, verdict.reason)


def test_under_an_autoscaler_more_nodes_are_as_good_and_fewer_are_waited_for() -> None:
    assert assess_pool(POOL, NODES, 2, at_least=True).state is State.PASSED
    assert "autoscaler to raise it from 3 to 4" in assess_pool(POOL, NODES, 4, at_least=True).reason


FAILED = ScalingActivity("asa-2", "SCALE_OUT", "FAILED", "sold out in ap-guangzhou-3", "")
RUNNING = ScalingActivity("asa-3", "SCALE_OUT", "RUNNING", "", "")
OLD = ScalingActivity("asa-1", "SCALE_OUT", "FAILED", "last week's quota", "")


@pytest.mark.parametrize(
    ("activities", "seen", "reason"),
    [
        ([FAILED, OLD], "asa-1", "sold out in ap-guangzhou-3"),
        ([RUNNING, FAILED], "asa-1", ""),
        ([OLD], "asa-1", ""),
        ([OLD], "", "last week's quota"),
        ([dataclasses.replace(FAILED, status="SUCCESSFUL"), OLD], "", ""),
        ([dataclasses.replace(FAILED, kind="SCALE_IN"), FAILED], "", "sold out in ap-guangzhou-3"),
        ([], "", ""),
    ],
)
def test_the_group_s_last_word_since_the_write_says_why_nodes_do_not_come(
    activities: list[ScalingActivity], seen: str, reason: str
) -> None:
    assert shortage(dataclasses.replace(POOL, ready=2), activities, seen) == reason
    assert shortage(POOL, activities, seen) == ""


# --- workloads --------------------------------------------------------------------------------------------------------


def workload(replicas: int, *, running: int, available: int, observed: int = 2) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "shop", "generation": 2, "uid": "u-1"}
    status = {
        "observedGeneration": observed,
        "replicas": running,
        "updatedReplicas": running,
        "availableReplicas": available,
        "updateRevision": "web-1",
        "currentRevision": "web-1",
    }
    spec = {"replicas": replicas}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("live", "state", "reason"),
    [
        (workload(3, running=3, available=3), State.PASSED, "StatefulSet shop/web has 3 pods, all available"),
        (workload(0, running=0, available=0), State.FAILED, "something else made it 0"),
        (workload(3, running=3, available=1), State.PENDING, "1 of 3 pods"),
        (workload(3, running=5, available=5), State.PENDING, "StatefulSet shop/web has 2 pods too many"),
        (workload(3, running=3, available=3, observed=1), State.PENDING, "has not looked"),
        (workload(9, running=3, available=3), State.FAILED, "was 3 and something else made it 9"),
    ],
)
def test_a_workload_has_its_size_when_exactly_so_many_pods_are_available(
    live: dict[str, Any], state: State, reason: str
) -> None:
    verdict = assess_size(live, 3)
    assert verdict.state is state
    assert reason in verdict.reason


def test_a_pod_that_no_node_takes_is_named_with_the_scheduler_s_words() -> None:
    pod = {
        "metadata": {
            "name": "web-2",
            "ownerReferences": [{"uid": "u-1"}],
            "labels": {"controller-revision-hash": "web-1"},
        },
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes: no cpu"}]},
    }
    verdict = assess_size(workload(3, running=3, available=2), 3, [pod])
    assert verdict.state is State.PENDING
    assert "pod web-2 has no node: 0/3 nodes: no cpu" in verdict.reason


def test_a_workload_under_an_autoscaler_may_have_more_pods() -> None:
    assert assess_size(workload(5, running=5, available=5), 3, at_least=True).state is State.PASSED
    assert assess_size(workload(2, running=2, available=2), 3, at_least=True).state is State.PENDING
