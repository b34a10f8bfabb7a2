import pytest

from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.operations import OPERATION
from tke_provider.domain.releases import Record, Stage, as_it_was, begin, decode, encode, lease_names, may_delete
from tke_provider.exceptions import InputError

WEB = ObjectRef("apps/v1", "Deployment", "shop", "web")
NEW = ObjectRef("v1", "Service", "shop", "web")


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


def record(op, stage, before=None, ops=()):
    return Record(op, stage, "", {}, before or {WEB: as_it_was(live("good"))}, ops)


def test_what_the_cluster_writes_itself_is_no_part_of_the_way_back():
    kept = as_it_was(live("good"))
    assert kept["metadata"] == {"name": "web", "namespace": "shop", "annotations": {OPERATION: "op-0", "team": "shop"}}
    assert "status" not in kept


def test_a_first_release_has_what_is_live_as_its_way_back():
    begun = begin(None, "op-1", "c", {"web": "i"}, {WEB: live("good"), NEW: None})
    assert begun.stage is Stage.APPLYING
    assert begun.before == {WEB: as_it_was(live("good")), NEW: None}
    assert begun.workloads() == begun.workloads_before() == [WEB]


@pytest.mark.parametrize("stage", [Stage.LIVE, Stage.ROLLED_BACK])
def test_a_release_after_one_that_ended_starts_from_what_is_live(stage):
    begun = begin(record("op-1", stage), "op-2", "", {}, {WEB: live("newer", "op-1")})
    assert begun.before == {WEB: as_it_was(live("newer", "op-1"))}
    assert begun.ops == ()


@pytest.mark.parametrize("stage", [Stage.APPLYING, Stage.UNDOING])
def test_a_release_after_one_that_died_takes_over_its_way_back(stage):
    begun = begin(record("op-1", stage, ops=("op-0b",)), "op-2", "", {}, {WEB: live("half", "op-1"), NEW: None})
    assert begun.before == {WEB: as_it_was(live("good")), NEW: None}
    assert begun.ops == ("op-0b", "op-1")
    assert begun.undoes(live("half", "op-1"))


@pytest.mark.parametrize("stage", [Stage.APPLYING, Stage.LIVE])
def test_a_retry_keeps_its_way_back(stage):
    begun = begin(record("op-1", stage), "op-1", "", {}, {WEB: live("half", "op-1")})
    assert begun.before == {WEB: as_it_was(live("good"))}
    assert begun.ops == ()


def test_what_somebody_else_changed_is_not_undone():
    begun = begin(None, "op-1", "", {}, {WEB: live("good")})
    assert not begun.undoes(live("good", "op-0"))
    assert not begun.undoes(live("other", "op-9"))
    assert not begun.undoes(None)


def test_a_record_survives_its_secret():
    begun = begin(record("op-1", Stage.APPLYING), "op-2", "c", {"web": "i"}, {WEB: live("good"), NEW: None})
    secret = encode(begun, "shop", "web")
    assert decode(secret) == begun
    assert secret["metadata"]["name"] == "tke-release.web"
    assert encode(begun, "shop", "web") == secret


def test_no_secret_is_no_record():
    assert decode(None) is None


def test_somebody_elses_secret_is_refused_with_a_way_out():
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tke-release.web", "namespace": "shop"}}
    with pytest.raises(InputError, match=r"Secret shop/tke-release\.web is no record of a release.*delete it"):
        decode(secret)


def test_leases_are_taken_by_the_workloads_names_as_scalers_do():
    assert lease_names("shop", [WEB, ObjectRef("apps/v1", "StatefulSet", "shop", "db")]) == ["db", "web"]
    assert lease_names("shop", []) == ["shop"]


def test_what_holds_others_data_is_never_deleted():
    assert may_delete(NEW)
    assert not may_delete(ObjectRef("v1", "PersistentVolumeClaim", "shop", "db"))


@pytest.mark.parametrize("container", ["web", "web/web"])
def test_an_edit_that_keeps_our_annotation_is_still_somebody_elses(container):
    ours = Record("op-1", Stage.APPLYING, "", {container: "tested"}, {WEB: None})
    assert ours.strays(live("tested", "op-1")) == []
    assert ours.undoes(live("tested", "op-1"))
    assert ours.strays(live("debug", "op-1")) == ["web/web runs debug"]
    assert not ours.undoes(live("debug", "op-1"))
