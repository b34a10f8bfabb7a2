"""Writing what a plan wants; finding and bringing are tested with the operators, on a real cluster."""

from __future__ import annotations

import asyncio
import copy
import time

import pytest

from tke_provider.clients.plan_targets import Found
from tke_provider.clients.plans import Pace, Workloads, _write, change, claims, is_due
from tke_provider.domain.demand import SIZED_AT
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.operations import OPERATION, SIZED_BY
from tke_provider.domain.owners import Owner
from tke_provider.domain.plans import USUAL
from tke_provider.domain.proposals import Present, Row
from tke_provider.domain.scaling import SIZE_BEFORE, Bounds
from tke_provider.exceptions import BusyError, ConflictError

REF = ObjectRef("apps/v1", "Deployment", "shop", "web")
HPA = Owner("autoscaling/v2", "HorizontalPodAutoscaler", "web", Bounds(1, 4))


def found(**more) -> Found:
    present = Present(target="web", ref=str(REF), size=2)
    return Found(**{"present": present, "number": REF, "workload": REF, "lease": REF, **more})


def row(after=5, **more) -> Row:
    settings = {"before": 2, "after": after, "wanted": after, "usual": 2, "window": "day", **more}
    return Row(target="web", ref=str(REF), **settings)


def written(found: Found, row: Row) -> tuple[dict, dict]:
    patch = change(found, row, "me")
    marks = patch["metadata"]["annotations"]
    marks.pop(SIZED_AT)
    return marks, patch["spec"]


def test_a_size_its_marks_and_the_usual_one_are_one_write():
    marks = {OPERATION: "me", SIZED_BY: "me", SIZE_BEFORE: "2", USUAL: "2"}
    assert written(found(), row()) == (marks, {"replicas": 5})


def test_back_at_the_usual_size_the_marks_go_and_manifests_own_it_again():
    marks, spec = written(found(), row(2, before=5, window=""))
    assert (marks[SIZED_BY], marks[USUAL], spec) == (None, None, {"replicas": 2})


def test_on_the_way_back_in_steps_the_usual_size_stays_recorded():
    marks, _ = written(found(), row(4, before=5, wanted=2, window=""))
    assert (marks[SIZED_BY], marks[USUAL]) == ("me", "2")


@pytest.mark.parametrize(
    ("owner", "spec"),
    [
        (HPA, {"minReplicas": 3, "maxReplicas": 8}),
        (Owner("keda.sh/v1alpha1", "ScaledObject", "web", Bounds(0, 9)), {"minReplicaCount": 3, "maxReplicaCount": 8}),
    ],
)
def test_an_owner_gets_bounds_and_their_usual_ones_are_recorded(owner, spec):
    bounds = row(Bounds(3, 8), before=Bounds(1, 4), usual=Bounds(1, 4))
    marks, written_spec = written(found(owner=owner), bounds)
    assert (marks[USUAL], marks[SIZE_BEFORE], written_spec) == ("1..4", "1..4", spec)


@pytest.mark.parametrize(
    ("there", "wanted", "due"),
    [
        (found(), row(), True),
        (found(), row(blockers=("freeze",)), False),
        (found(), row(2), True),
        (found(marked=True), row(2), False),
        (found(marked=True, operation="me"), row(2), True),
        (found(), row(2, window=""), False),
    ],
)
def test_there_is_something_to_do_where_it_is_wrong_unmarked_or_begun_by_this_operation(there, wanted, due):
    assert is_due(there, wanted, "me") is due


def test_a_size_that_is_right_is_claimed_once_for_its_window():
    assert claims(found(), row(2))
    assert not claims(found(marked=True), row(2))


async def test_no_more_begin_in_a_second_than_allowed():
    pace, started = Pace(100), time.monotonic()
    await asyncio.gather(*(pace.turn() for _ in range(11)))
    assert time.monotonic() - started >= 0.1


class Contended:
    """A cluster with one workload, in whose way somebody gets; a real one would have to be met at the right moment.

    :param meanwhile: what becomes of the workload before each of the first writes, which are refused then.
    """

    def __init__(self, live: dict, *meanwhile: dict) -> None:
        self.live, self.meanwhile, self.written = live, list(meanwhile), []

    async def get(self, _: ObjectRef) -> dict:
        return copy.deepcopy(self.live)

    async def patch(self, ref: ObjectRef, body: dict) -> None:
        if self.meanwhile:
            self.live = self.meanwhile.pop(0)
        if body["metadata"]["resourceVersion"] != self.live["metadata"]["resourceVersion"]:
            raise ConflictError(f"{ref} was changed", way_out="look again")
        self.written.append(body["spec"])


def live(version: int, replicas: int = 2, **marks: str) -> dict:
    metadata = {"name": "web", "namespace": "shop", "resourceVersion": str(version), "annotations": marks}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": replicas}}


async def test_a_size_is_written_into_the_object_as_it_is_read_then_whatever_its_status_does():
    cluster = Contended(live(1), live(2), live(3))
    await _write(cluster, found(), row(), "me")
    assert cluster.written == [{"replicas": 5}]


@pytest.mark.parametrize(
    ("now", "meanwhile"),
    [
        (live(2, 3), []),
        (live(1), [live(2, 3)]),
        (live(1, 5), []),
        (live(2, **{USUAL: "1"}), []),
    ],
    ids=["since the plan looked", "since it was read", "to the very size by somebody else", "what is usual"],
)
async def test_a_size_that_somebody_changed_is_not_overwritten_by_one_computed_from_what_was(now, meanwhile):
    cluster = Contended(now, *meanwhile)
    with pytest.raises(BusyError, match="web was changed meanwhile"):
        await _write(cluster, found(), row(), "me")
    assert cluster.written == []


async def test_a_write_whose_answer_was_lost_is_found_and_not_repeated():
    cluster = Contended(live(1), live(2, 5, **{OPERATION: "me", USUAL: "2"}))
    await _write(cluster, found(), row(), "me")
    assert cluster.written == []


class Counting:
    """A cluster that counts how often it is asked; what a real one is spared cannot be seen from outside."""

    lists = 0

    async def list(self, *_: object) -> list[dict]:
        self.lists += 1
        return [{"metadata": {"name": f"s{n}"}} for n in range(50)]


async def test_everybody_who_waits_shares_one_list():
    cluster = Counting()
    workloads, since = Workloads(cluster, 0.05), time.monotonic()
    refs = [ObjectRef("apps/v1", "Deployment", "shop", f"s{n}") for n in range(51)]
    live = await asyncio.gather(*(workloads.get(ref, since) for ref in refs))
    assert [each["metadata"]["name"] if each else None for each in live] == [f"s{n}" for n in range(50)] + [None]
    assert cluster.lists == 1
    await workloads.get(refs[0], time.monotonic())
    assert cluster.lists == 2, "what was written since is not looked for in an older list"
