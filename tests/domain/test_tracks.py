import copy

import pytest

from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.tracks import (
    TRACK,
    beside,
    deployment_of,
    is_second,
    leading_to,
    leads,
    narrowed,
    own_service,
    own_services,
    pods_pattern,
)
from tke_provider.exceptions import ManifestError


def deployment(**container):
    labels = {"app": "web", "tier": "front"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", **container}]}}
    spec = {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    metadata = {"name": "web", "namespace": "shop", "annotations": {"a": "b"}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def service(name, **selector):
    ports = [{"port": 80, "targetPort": "http", "nodePort": 31000}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector, "ports": ports},
    }


def test_the_second_version_has_the_same_pods_and_a_label_of_its_own():
    given = deployment()
    before = copy.deepcopy(given)
    second = beside(given, "canary", 1)
    assert given == before
    assert str(ObjectRef.of(second)) == "Deployment shop/web-canary"
    assert second["spec"]["replicas"] == 1
    assert second["spec"]["selector"]["matchLabels"] == {"app": "web", TRACK: "canary"}
    assert second["spec"]["template"]["metadata"]["labels"] == {"app": "web", "tier": "front", TRACK: "canary"}
    assert second["spec"]["template"]["spec"] == given["spec"]["template"]["spec"]
    assert is_second(second)
    assert not is_second(given)


def test_a_service_of_its_own_leads_to_the_second_version_alone():
    made = own_service([service("web", app="web")], deployment(), "canary")
    assert made["metadata"] == {
        "name": "web-canary",
        "namespace": "shop",
        "annotations": {"a": "b"},
        "labels": {TRACK: "canary"},
    }
    assert made["spec"] == {"selector": {"app": "web", TRACK: "canary"}, "ports": [{"port": 80, "targetPort": "http"}]}
    assert own_service([], deployment(), "canary") is None


def test_each_service_that_an_ingress_names_has_one_of_the_canary_with_its_own_ports():
    admin = service("admin", app="web")
    admin["spec"]["ports"] = [{"port": 9000}]
    made = own_services([service("web", app="web"), admin], deployment(), "canary")
    assert [each["metadata"]["name"] for each in made] == ["web-canary", "admin-canary"]
    assert [each["spec"]["ports"][0]["port"] for each in made] == [80, 9000]
    assert all(leads(each, TRACK) for each in made)
    assert not leads(admin, TRACK)


def test_services_are_found_by_the_labels_of_the_pods():
    services = [service("web", app="web"), service("api", app="api"), service("front", tier="front"), service("none")]
    assert [each["metadata"]["name"] for each in leading_to(services, deployment())] == ["front", "web"]


def test_a_service_is_led_to_one_version():
    given = service("web", app="web")
    assert narrowed(given, {TRACK: "green"})["spec"]["selector"] == {"app": "web", TRACK: "green"}
    assert given["spec"]["selector"] == {"app": "web"}


def test_the_pattern_of_one_version_does_not_meet_the_other():
    import re

    stable, canary = re.compile(pods_pattern("web")), re.compile(pods_pattern("web-canary"))
    assert stable.fullmatch("web-6f9c-x2x4z")
    assert canary.fullmatch("web-canary-6f9c-x2x4z")
    assert not stable.fullmatch("web-canary-6f9c-x2x4z")


@pytest.mark.parametrize("kinds", [[], ["StatefulSet"], ["Deployment", "Deployment"], ["Deployment", "DaemonSet"]])
def test_one_deployment_is_taken(kinds):
    manifests = [{**deployment(), "kind": kind} for kind in kinds]
    with pytest.raises(ManifestError, match="takes one Deployment"):
        deployment_of([*manifests, service("web")], "canary")
