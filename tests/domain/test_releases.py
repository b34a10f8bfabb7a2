import base64
import dataclasses
import datetime as dt
import gzip
import hashlib
import json

import pytest

from tke_provider.domain import releases
from tke_provider.domain.diffs import difference, summary
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.operations import OPERATION
from tke_provider.domain.releases import (
    Record,
    Stage,
    as_it_was,
    check_service,
    decode,
    encode,
    last_good,
    lease_names,
    may_delete,
    surplus,
    way_back,
)
from tke_provider.exceptions import InputError, NotFoundError

WEB = ObjectRef("apps/v1", "Deployment", "shop", "web")
NEW = ObjectRef("v1", "Service", "shop", "web")
NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)
LATER = NOW + dt.timedelta(minutes=1)


def live(image, op="op-0"):
    annotations = {OPERATION: op, "deployment.kubernetes.io/revision": "3", "team": "shop"}
    metadata = {"name": "web", "namespace": "shop", "uid": "1", "resourceVersion": "7", "generation": 4}
    template = {"spec": {"containers": [{"name": "web", "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**metadata, "managedFields": [], "annotations": annotations},
        "spec": {"template": template},
        "status": {"replicas": 1},
    }


def draft(op, **more):
    return Record(service="web", namespace="shop", op=op, **more)


def record(op, stage, before=None, ops=(), **more):
    return draft(op, stage=stage, before=before or {WEB: as_it_was(live("good"))}, ops=ops, **{"revision": 4, **more})


def begin(previous, op, objects, now=NOW, **more):
    return releases.begin(previous, draft(op, **more), objects, now)


def test_what_the_cluster_writes_itself_is_no_part_of_the_way_back():
    kept = as_it_was(live("good"))
    assert kept["metadata"] == {"name": "web", "namespace": "shop", "annotations": {OPERATION: "op-0", "team": "shop"}}
    assert "status" not in kept


def test_a_first_release_has_what_is_live_as_its_way_back():
    begun = begin(None, "op-1", {WEB: live("good"), NEW: None})
    assert (begun.stage, begun.revision, begun.started) == (Stage.APPLYING, 1, NOW)
    assert begun.before == {WEB: as_it_was(live("good")), NEW: None}
    assert begun.previous == {"web/web": "good"}
    assert begun.workloads() == begun.workloads_before() == [WEB]


@pytest.mark.parametrize("stage", [Stage.LIVE, Stage.ROLLED_BACK])
def test_a_release_after_one_that_ended_starts_from_what_is_live(stage):
    begun = begin(record("op-1", stage), "op-2", {WEB: live("newer", "op-1")})
    assert begun.before == {WEB: as_it_was(live("newer", "op-1"))}
    assert (begun.revision, begun.ops) == (5, ())


@pytest.mark.parametrize("stage", [Stage.APPLYING, Stage.UNDOING, Stage.ABANDONED])
def test_a_release_after_one_that_died_takes_over_its_way_back(stage):
    died = record("op-1", stage, ops=("op-0b",), step=2, scale_down_delay=5.0)
    begun = begin(died, "op-2", {WEB: live("half", "op-1"), NEW: None})
    assert begun.before == {WEB: as_it_was(live("good")), NEW: None}
    assert (begun.ops, begun.revision, begun.step) == (("op-0b", "op-1"), 5, 0)
    assert begun.scale_down_delay == 5.0  # for what it left has to go
    assert begun.undoes(live("half", "op-1"))


@pytest.mark.parametrize("stage", [Stage.APPLYING, Stage.LIVE])
def test_a_retry_keeps_its_number_its_way_back_and_how_far_it_got(stage):
    first = record("op-1", stage, started=NOW, step=2, since=NOW, meanwhile=(live("canary"),))
    begun = begin(first, "op-1", {WEB: live("half", "op-1")}, LATER)
    assert begun.meanwhile == (live("canary"),)
    assert begun.before == {WEB: as_it_was(live("good"))}
    assert (begun.revision, begun.started, begun.ops) == (4, NOW, ())
    assert (begun.step, begun.since) == (2, NOW)


def test_a_retry_of_what_was_undone_begins_anew():
    first = record("op-1", Stage.ROLLED_BACK, started=NOW, step=2, since=NOW)
    begun = begin(first, "op-1", {WEB: live("good")}, LATER)
    assert (begun.stage, begun.revision, begun.step, begun.since) == (Stage.APPLYING, 4, 0, None)


@pytest.mark.parametrize(
    ("there", "changes", "may"),
    [
        (record("op-1", Stage.APPLYING, step=2), {"step": 1}, False),
        (record("op-1", Stage.APPLYING, step=2), {"step": 2}, True),
        (record("op-1", Stage.APPLYING, since=NOW), {"since": LATER}, False),
        (record("op-1", Stage.LIVE, step=2), {"step": 2}, False),
        (record("op-1", Stage.APPLYING, step=2), {"stage": Stage.UNDOING, "reason": "bad"}, True),
        (record("op-1", Stage.UNDOING), {"stage": Stage.UNDOING, "reason": "bad"}, True),
        (record("op-1", Stage.LIVE), {"stage": Stage.UNDOING}, False),
        (record("op-1", Stage.ABANDONED), {"stage": Stage.LIVE}, False),
        (record("op-2", Stage.APPLYING), {"stage": Stage.LIVE}, False),
    ],
)
def test_what_another_process_wrote_since_stands_but_for_an_end_of_what_only_got_further(there, changes, may):
    assert releases.may_write(there, record("op-1", Stage.APPLYING), changes) is may


def test_what_somebody_else_changed_is_not_undone():
    begun = begin(None, "op-1", {WEB: live("good")})
    assert not begun.undoes(live("good", "op-0"))
    assert not begun.undoes(live("other", "op-9"))
    assert not begun.undoes(None)


@pytest.mark.parametrize(
    ("now", "taken"),
    [
        (live("good", "op-0"), False),
        (live("new", "op-1"), False),
        (live("debug", "op-1"), True),
        (live("other", "op-9"), True),
        (None, True),
    ],
)
def test_a_workload_is_taken_by_whoever_changed_it_since(now, taken):
    begun = begin(None, "op-1", {WEB: live("good")}, applied=(live("new", "op-1"),), images={"web": "new"})
    assert begun.is_taken(WEB, now) is taken


def test_a_record_survives_its_secret():
    begun = begin(
        record("op-1", Stage.APPLYING),
        "op-2",
        {WEB: live("good"), NEW: None},
        commit="c",
        images={"web": "i"},
        checks=("12 tests passed",),
        applied=(live("new"),),
        who="ann",
        approver="bob",
    )
    whole = dataclasses.replace(begun, finished=LATER, since=NOW)
    secret = encode(whole)
    assert decode(secret) == whole
    assert secret["metadata"]["name"] == "tke-release.web.v5"
    assert secret["metadata"]["labels"]["tke.airflow/service"] == "web"
    assert encode(whole) == secret
    read = {**secret, "metadata": {**secret["metadata"], "resourceVersion": "7"}}
    assert decode(read) == whole
    assert encode(decode(read)) == read  # a write has to meet the version that was read


def test_a_diff_survives_with_its_record_and_the_longest_one_leaves_room_for_all_else():
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    random = "".join(hashlib.sha256(bytes([each])).hexdigest() for each in range(256))  # gzip makes little of it
    diff = summary([difference(None, {**config, "data": {"a": random}})])
    assert random[:70] in diff["markdown"]
    kept = record("op-1", Stage.LIVE, diff=diff)
    assert decode(encode(kept)) == kept
    more = len(encode(kept)["data"]["record"]) - len(encode(record("op-1", Stage.LIVE))["data"]["record"])
    assert more < 20_000  # of the 1 MiB that a Secret takes


def test_somebody_elses_secret_is_refused_with_a_way_out():
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tke-release.web", "namespace": "shop"}}
    with pytest.raises(InputError, match=r"Secret shop/tke-release\.web is no record of a release.*delete it"):
        decode(secret)
    assert releases.revision_of("shop-login") == 0


def test_a_record_that_was_damaged_is_refused_with_a_way_out():
    secret = encode(record("op-1", Stage.LIVE))
    packed = bytearray(base64.b64decode(secret["data"]["record"]))
    packed[10] = 0xFF  # no kind of block
    secret["data"]["record"] = base64.b64encode(packed).decode()
    with pytest.raises(InputError, match="is no record of a release: Error -3 while decompressing"):
        decode(secret)


@pytest.mark.parametrize("name", ["", "-web", "Web", "a b", "a,b", "x" * 64])
def test_a_service_whose_name_is_no_label_is_refused(name):
    with pytest.raises(InputError, match="cannot be named"):
        check_service(name)
    assert check_service("shop-web.v2") == "shop-web.v2"


def test_leases_are_taken_by_the_workloads_names_as_scalers_do():
    assert lease_names("shop", [WEB, ObjectRef("apps/v1", "StatefulSet", "shop", "db")]) == ["db", "web"]
    assert lease_names("shop", []) == ["shop"]


def test_what_holds_others_data_is_never_deleted():
    assert may_delete(NEW)
    assert not may_delete(ObjectRef("v1", "PersistentVolumeClaim", "shop", "db"))


@pytest.mark.parametrize("container", ["web", "web/web"])
def test_an_edit_that_keeps_our_annotation_is_still_somebody_elses(container):
    ours = record("op-1", Stage.APPLYING, {WEB: None}, images={container: "tested"})
    assert ours.strays(live("tested", "op-1")) == []
    assert ours.undoes(live("tested", "op-1"))
    assert ours.strays(live("debug", "op-1")) == ["web/web runs debug"]
    assert not ours.undoes(live("debug", "op-1"))


def test_what_is_there_only_meanwhile_has_no_lease_of_its_own():
    canary = ObjectRef("apps/v1", "Deployment", "shop", "web-canary")
    begun = begin(None, "op-1", {WEB: None, canary: None}, applied=(live("new"),))
    assert begun.leases() == ["web"]


# --- the way back ---------------------------------------------------------------------------------------------------


def past(*given):
    """Newest first: (image, stage) or (image, stage, the revision that it restores)."""
    made = []
    for number, (image, stage, *restores) in enumerate(given, 1):
        restored = restores[0] if restores else 0
        made.append(record(f"op-{number}", stage, revision=number, applied=(live(image),), restores=restored))
    return made[::-1]


@pytest.mark.parametrize(
    ("history", "good"),
    [
        ([], None),
        ([("a", Stage.LIVE)], None),
        ([("a", Stage.LIVE), ("b", Stage.LIVE)], 1),
        ([("a", Stage.LIVE), ("a", Stage.LIVE)], None),
        ([("a", Stage.LIVE), ("b", Stage.ROLLED_BACK), ("c", Stage.LIVE)], 1),
        ([("a", Stage.LIVE), ("b", Stage.APPLYING)], 1),
        ([("a", Stage.LIVE), ("b", Stage.LIVE), ("a", Stage.LIVE, 1)], None),
        ([("a", Stage.LIVE), ("b", Stage.LIVE), ("c", Stage.LIVE), ("b", Stage.LIVE, 2)], 1),
        ([("a", Stage.LIVE), ("b", Stage.LIVE), ("a", Stage.LIVE, 1), ("c", Stage.LIVE)], 1),
    ],
)
def test_the_last_good_release_is_the_one_before_what_serves_and_never_what_was_left(history, good):
    found = last_good(past(*history))
    assert (found and found.revision) == good


def test_the_way_back_is_named_by_number_by_digest_or_not_at_all():
    history = past(("r@sha256:a", Stage.LIVE), ("r@sha256:b", Stage.ROLLED_BACK), ("r@sha256:c", Stage.LIVE))
    assert way_back(history).revision == 1
    assert way_back(history, revision=3).revision == 3
    assert way_back(history, digest="sha256:a").revision == 1
    assert way_back(history, digest="other/r@sha256:a").revision == 1


@pytest.mark.parametrize("wanted", [{"revision": 2}, {"revision": 7}, {"digest": "sha256:b"}])
def test_what_was_never_found_good_is_no_way_back(wanted):
    history = past(("r@sha256:a", Stage.LIVE), ("r@sha256:b", Stage.ROLLED_BACK))
    with pytest.raises(NotFoundError, match=r"2 \(rolled-back, \), 1 \(live, \)"):
        way_back(history, **wanted)


def test_old_records_go_but_never_the_newest_good_one():
    history = past(("a", Stage.LIVE), ("b", Stage.LIVE), *[("c", Stage.ROLLED_BACK)] * 3)
    assert [each.revision for each in surplus(history, 2)] == [3, 1]
    assert surplus(history, 5) == []


def test_however_often_a_release_failed_the_one_to_go_back_to_is_kept():
    history = past(("a", Stage.LIVE), ("b", Stage.LIVE), *[("c", Stage.ROLLED_BACK)] * 2, ("c", Stage.LIVE))
    assert [each.revision for each in surplus(history, 2)] == [3, 1]
    assert last_good([each for each in history if each not in surplus(history, 2)]).revision == 2


def test_what_serves_after_an_undone_release_is_the_good_one_before():
    undone, good = record("op-2", Stage.ROLLED_BACK), record("op-1", Stage.LIVE)
    assert releases.serving([undone, good]) is good
    assert releases.serving([undone]) is None


@pytest.mark.parametrize("change", [{"checks": None}, {"from_the_future": 1}])
def test_a_record_of_another_version_of_this_provider_is_read(change):
    secret = releases.encode(record("op-1", Stage.LIVE, commit="c" * 40))
    stored = json.loads(gzip.decompress(base64.b64decode(secret["data"]["record"]))) | change
    stored = {name: value for name, value in stored.items() if value is not None}
    secret["data"]["record"] = base64.b64encode(gzip.compress(json.dumps(stored).encode())).decode()
    assert releases.decode(secret) == record("op-1", Stage.LIVE, commit="c" * 40)
