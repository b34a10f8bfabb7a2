"""Who writes the size of a workload; tests/operators/scaling/ tries it with the real autoscalers."""

from __future__ import annotations

from typing import Any

import pytest

from tke_provider.domain.owners import Autoscalers, Owner, bound, find_owner, floor
from tke_provider.domain.scaling import Bounds
from tke_provider.exceptions import InputError, OwnedError


def hpa(name: str = "web", target: str = "web", **spec: Any) -> dict[str, Any]:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    return autoscaler("autoscaling/v2", "HorizontalPodAutoscaler", name, scaleTargetRef=reference, **spec)


def autoscaler(api_version: str, kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def cronscaler(kind: str, target: str) -> dict[str, Any]:
    return autoscaler(
        "autoscaling.cloud.tencent.com/v1",
        "HorizontalPodCronscaler",
        "hours",
        scaleTarget={"apiVersion": "apps/v1", "kind": kind, "name": target, "namespace": "shop"},
    )


SCALED = autoscaler("keda.sh/v1alpha1", "ScaledObject", "queue", scaleTargetRef={"name": "web"}, maxReplicaCount=7)


def test_nobody_owns_a_size_that_no_autoscaler_targets() -> None:
    assert find_owner("Deployment", "web", [hpa(target="api"), cronscaler("StatefulSet", "web")]) is None


def test_an_autoscaler_that_targets_the_workload_owns_its_size() -> None:
    owner = Owner("autoscaling/v2", "HorizontalPodAutoscaler", "web", Bounds(1, 9))
    assert find_owner("Deployment", "web", [hpa(maxReplicas=9)]) == owner


def test_keda_owns_the_size_rather_than_the_autoscaler_that_it_makes() -> None:
    owner = find_owner("Deployment", "web", [hpa("keda-hpa-queue", maxReplicas=7), SCALED])
    assert owner == Owner("keda.sh/v1alpha1", "ScaledObject", "queue", Bounds(0, 7))


@pytest.mark.parametrize(("kind", "target"), [("Deployment", "web"), ("HorizontalPodAutoscaler", "web-by-load")])
def test_a_cronscaler_owns_the_size_also_where_it_writes_through_an_autoscaler(kind: str, target: str) -> None:
    owner = find_owner("Deployment", "web", [cronscaler(kind, target), hpa("web-by-load", maxReplicas=9)])
    assert owner is not None
    assert str(owner) == "HorizontalPodCronscaler hours"


def test_a_cronscaler_s_own_spelling_of_statefulset_is_understood() -> None:
    assert find_owner("StatefulSet", "db", [cronscaler("Statefulset", "db")]) is not None


def test_one_of_many_autoscalers_is_found_as_if_there_were_no_others() -> None:
    of_keda = hpa("keda-hpa-queue", maxReplicas=7)
    of_keda["metadata"]["ownerReferences"] = [{"kind": "ScaledObject", "name": "queue"}]
    through = cronscaler("HorizontalPodAutoscaler", "of-api")
    live = [through, SCALED, of_keda, hpa("of-api", "api"), *(hpa(f"of-{name}", name) for name in "abc")]
    among = Autoscalers(live)
    asked = [("Deployment", name) for name in ("web", "api", "a", "nobody")]
    asked += [
        ("StatefulSet", "web"),
        ("HorizontalPodAutoscaler", "keda-hpa-queue"),
        ("HorizontalPodAutoscaler", "of-a"),
    ]
    found = [among.owner(*each) for each in asked]
    assert found == [find_owner(*each, live) for each in asked]
    assert [str(each) for each in found[:2]] == ["ScaledObject queue", "HorizontalPodCronscaler hours"]


def test_the_lower_bound_is_set_and_the_upper_never_raised() -> None:
    owner = find_owner("Deployment", "web", [hpa(minReplicas=2, maxReplicas=9)])
    assert owner is not None
    assert floor(owner, 9, "Deployment shop/web") == {"spec": {"minReplicas": 9}}
    with pytest.raises(
        InputError, match=r"HorizontalPodAutoscaler web of Deployment shop/web .* above its maximum of 9"
    ):
        floor(owner, 10, "Deployment shop/web")


def test_an_owner_without_bounds_is_named_and_left_alone() -> None:
    owner = find_owner("Deployment", "web", [cronscaler("Deployment", "web")])
    assert owner is not None
    with pytest.raises(OwnedError, match="Deployment shop/web is written by HorizontalPodCronscaler hours"):
        floor(owner, 3, "Deployment shop/web")


def made_by(maker: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    reference = {"kind": maker["kind"], "name": maker["metadata"]["name"]}
    return {**made, "metadata": {**made["metadata"], "ownerReferences": [reference]}}


def test_the_bounds_of_an_hpa_that_keda_made_are_keda_s() -> None:
    scalers = [hpa("by-hand", "api"), made_by(SCALED, hpa("keda-hpa-queue")), SCALED]
    assert str(find_owner("HorizontalPodAutoscaler", "keda-hpa-queue", scalers)) == "ScaledObject queue"
    assert find_owner("HorizontalPodAutoscaler", "by-hand", scalers) is None


PAUSED, PAUSED_AT = "autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas"


def paused(**annotations: str) -> Owner:
    metadata = {**SCALED["metadata"], "annotations": annotations}
    owner = find_owner("Deployment", "web", [{**SCALED, "metadata": metadata}])
    assert owner is not None
    return owner


@pytest.mark.parametrize(
    ("annotations", "by"),
    [({PAUSED: "true"}, PAUSED), ({PAUSED: ""}, PAUSED), ({PAUSED: "false", PAUSED_AT: "0"}, PAUSED_AT)],
)
def test_bounds_that_move_nothing_because_keda_is_paused_are_not_set(annotations: dict[str, str], by: str) -> None:
    owner = paused(**annotations)
    for change in (lambda: floor(owner, 3, "Deployment web"), lambda: bound(owner, Bounds(1, 3), "Deployment web")):
        with pytest.raises(OwnedError, match=f"ScaledObject queue, paused by its annotation {by}; end the pause"):
            change()


def test_a_pause_that_is_over_counts_for_nothing() -> None:
    assert paused(**{PAUSED: "false"}).bounds == Bounds(0, 7)
