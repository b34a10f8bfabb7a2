import copy

import pytest

from tests.domain.test_ingresses import ingress
from tests.domain.test_tracks import deployment
from tke_provider.domain.load_balancers import (
    CONTROLLERS,
    actual,
    balanced,
    check_balanced,
    check_version,
    weigh,
    weighed,
    weights_of,
)
from tke_provider.exceptions import InputError, ManifestError

KEY = "service.cloud.tencent.com/custom-weight"


def service(kind: str = "LoadBalancer", **annotations: str) -> dict:
    metadata = {"name": "web", "namespace": "shop", "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"type": kind}}


def weighing(**annotations: str) -> dict:
    given = deployment()
    given["spec"]["template"]["metadata"]["annotations"] = annotations
    return given


def test_annotations_and_versions_are_those_that_tke_documents():
    assert CONTROLLERS["Service"] == (
        KEY,
        "service.cloud.tencent.com/direct-access",
        "service.cloud.tencent.com/lb-rs-weight",
        "tke-service-controller-config",
        (2, 4, 0),
    )
    assert CONTROLLERS["Ingress"] == (
        "ingress.cloud.tencent.com/custom-weight",
        "ingress.cloud.tencent.com/direct-access",
        "ingress.cloud.tencent.com/lb-rs-weight",
        "tke-ingress-controller-config",
        (2, 6, 0),
    )


@pytest.mark.parametrize(
    ("percent", "pods", "weight", "canary", "each"),
    [
        (10, 9, 10, 1, 10),  # as the others
        (50, 4, 10, 2, 20),  # half the pods, each twice as heavy
        (10, 4, 10, 1, 4),
        (1, 3, 10, 1, 1),  # never none
        (80, 10, 10, 8, 50),
        (99, 2, 10, 20, 99),  # more pods, for no weight goes beyond 100
        (50, 0, 10, 1, 10),
    ],
)
def test_a_canary_weighs_its_share_with_the_pods_that_bear_it(percent, pods, weight, canary, each):
    assert weigh(percent, pods, {KEY: weight}) == (canary, {KEY: each})


@pytest.mark.parametrize("percent", [5, 10, 25, 50, 75, 90])
@pytest.mark.parametrize("pods", [2, 3, 10, 40])
def test_the_share_that_the_clb_gives_is_the_one_that_was_asked_for(percent, pods):
    theirs = {KEY: 20}
    share = actual(*weigh(percent, pods, theirs), pods, theirs)
    assert share == pytest.approx(percent, rel=0.15)


def test_a_canary_carries_its_weight_and_is_replaced_rather_than_added_to():
    given = weighing(**{KEY: "10", "other": "x"})
    before = copy.deepcopy(given)
    made = weighed(given, {KEY: 4}, 12.5)
    assert given == before
    assert made["spec"]["template"]["metadata"]["annotations"] == {KEY: "4", "other": "x"}
    assert made["spec"]["strategy"] == {"type": "Recreate"}
    assert made["metadata"]["annotations"]["tke.airflow/share"] == "12.5"


def test_the_weight_of_the_pods_that_serve_is_read_and_never_guessed():
    assert weights_of(weighing(**{KEY: "10"}), ["Service"]) == {KEY: 10}
    assert weights_of(weighing(**{CONTROLLERS["Ingress"].weight: "7"})) == {CONTROLLERS["Ingress"].weight: 7}
    for given in (deployment(), weighing(**{KEY: "0"}), weighing(**{KEY: "ten"}), weighing(**{KEY: "101"})):
        with pytest.raises(ManifestError, match="do not say what they weigh"):
            weights_of(given, ["Service"])
    with pytest.raises(ManifestError, match="no annotation ingress"):
        weights_of(weighing(**{KEY: "10"}), ["Ingress", "Service"])


def test_what_a_clb_serves_is_found_among_services_and_ingresses():
    nginx, qcloud = ingress("web"), ingress("web", name="qcloud", ingressClassName="qcloud")
    unnamed = ingress("web", name="unnamed", ingressClassName=None)
    clb = service()
    assert balanced([service("ClusterIP"), clb], [nginx, qcloud, unnamed]) == [clb, qcloud, unnamed]


def test_a_clb_that_would_not_go_by_the_weights_is_refused_with_the_way_out():
    direct = {CONTROLLERS["Service"].direct: "true"}
    check_balanced(service(**direct))
    with pytest.raises(ManifestError, match="sends to nodes"):
        check_balanced(service())
    with pytest.raises(ManifestError, match="written by its annotation"):
        check_balanced(service(**direct, **{CONTROLLERS["Service"].taken: "{}"}))


@pytest.mark.parametrize("version", ["v2.4.0", "v2.4.1", "v2.10.0", "v3.0.0"])
def test_a_controller_that_knows_weights_is_taken(version):
    check_version("Service", version)


@pytest.mark.parametrize("version", ["", "v2.3.9", "v1.10.0", "latest"])
def test_a_controller_that_does_not_is_refused(version):
    with pytest.raises(InputError, match=r"2\.4\.0 or newer"):
        check_version("Service", version)
