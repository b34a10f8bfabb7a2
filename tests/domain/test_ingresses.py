import copy

import pytest

from tke_provider.domain.ingresses import (
    API_VERSION,
    canary_of,
    check_class,
    check_rivals,
    class_of,
    led_to,
    routed_to,
    weighing,
    weight_of,
)
from tke_provider.domain.tracks import TRACK, is_second
from tke_provider.exceptions import ManifestError

NGINX = "nginx.ingress.kubernetes.io/"


def backend(service: str, port: object = "http") -> dict:
    return {"service": {"name": service, "port": {"name": port} if isinstance(port, str) else {"number": port}}}


def ingress(*services: str, name: str = "web", annotations: dict | None = None, **spec: object) -> dict:
    """One that leads /<service> of a host to each of the Services."""
    paths = [{"path": f"/{each}", "pathType": "Prefix", "backend": backend(each)} for each in services]
    metadata = {"name": name, "namespace": "shop", "uid": "1", "annotations": annotations or {}}
    whole = {"ingressClassName": "nginx", "rules": [{"host": "shop.example", "http": {"paths": paths}}], **spec}
    return {"apiVersion": API_VERSION, "kind": "Ingress", "metadata": metadata, "spec": whole, "status": {}}


def ingress_class(controller: str = "k8s.io/ingress-nginx") -> dict:
    return {"kind": "IngressClass", "metadata": {"name": "nginx"}, "spec": {"controller": controller}}


def test_a_canarys_ingress_leads_the_same_rules_to_the_canary_and_takes_nothing_at_first():
    given = ingress("web", "api", tls=[{"hosts": ["shop.example"], "secretName": "cert"}])
    before = copy.deepcopy(given)
    made = canary_of(given, {"web"}, "canary")
    assert given == before
    assert is_second(made)
    assert made["metadata"] == {
        "name": "web-canary",
        "namespace": "shop",
        "labels": {TRACK: "canary"},
        "annotations": {f"{NGINX}canary": "true", f"{NGINX}canary-weight": "0"},
    }
    path = {"path": "/web", "pathType": "Prefix", "backend": backend("web-canary")}
    assert made["spec"] == {
        "ingressClassName": "nginx",
        "rules": [{"host": "shop.example", "http": {"paths": [path]}}],
    }


def test_what_has_no_rule_goes_to_the_canary_by_its_share_too():
    made = canary_of(ingress(defaultBackend=backend("web", 80), rules=[]), {"web"}, "canary")
    assert made["spec"] == {"ingressClassName": "nginx", "defaultBackend": backend("web-canary", 80)}


def test_only_annotations_that_count_on_a_canary_are_taken_over():
    sticky = {f"{NGINX}affinity": "cookie", f"{NGINX}session-cookie-name": "s", f"{NGINX}load-balance": "ewma"}
    others = {f"{NGINX}rewrite-target": "/", "cert-manager.io/issuer": "x", "tke.airflow/operation": "op-0"}
    old = {"kubernetes.io/ingress.class": "nginx"}
    made = canary_of(ingress("web", annotations={**sticky, **others, **old}), {"web"}, "canary")
    assert made["metadata"]["annotations"].keys() == {
        *sticky,
        *old,
        f"{NGINX}canary",
        f"{NGINX}canary-weight",
    }


def test_a_weight_is_the_one_thing_that_a_step_changes():
    made = canary_of(ingress("web"), {"web"}, "canary")
    heavier = weighing(made, 25)
    assert (weight_of(made), weight_of(heavier), weight_of(None)) == ("0", "25", "")
    assert weighing(heavier, 0) == made


def test_ingresses_are_found_by_the_services_that_they_lead_to():
    canary = canary_of(ingress("web"), {"web"}, "canary")
    b, a = ingress("api", "web", name="b"), ingress(defaultBackend=backend("web"), rules=[], name="a")
    given = [b, a, ingress("api", name="c"), canary]
    assert routed_to(given, {"web"}) == [a, b]
    services = [{"metadata": {"name": name}} for name in ("web", "other")]
    assert led_to([a, b], services) == services[:1]


@pytest.mark.parametrize(
    ("given", "seen", "cause"),
    [
        (ingress("web"), None, "no IngressClass 'nginx'"),
        (ingress("web"), ingress_class("nginx.org/ingress-controller"), "controller nginx.org/ingress-controller"),
        (ingress("web", ingressClassName="qcloud"), None, "no IngressClass 'qcloud'"),
        (ingress("web", ingressClassName=None), None, "TKE serves it by a CLB"),
    ],
)
def test_an_ingress_of_another_controller_is_refused_with_the_way_out(given, seen, cause):
    with pytest.raises(ManifestError, match=cause) as caught:
        check_class(given, seen)
    assert "traffic='clb' or 'replicas'" in str(caught.value)


@pytest.mark.parametrize("controller", ["k8s.io/ingress-nginx", "k8s.io/internal-ingress-nginx"])
def test_an_ingress_of_ingress_nginx_is_taken_however_its_class_is_written(controller):
    old = ingress("web", ingressClassName=None, annotations={"kubernetes.io/ingress.class": "nginx"})
    for given in (ingress("web"), old):
        assert class_of(given) == "nginx"
        check_class(given, ingress_class(controller))


def test_rules_that_have_a_canary_of_somebody_elses_are_refused():
    main = ingress("web", "api")
    theirs = ingress("web", name="theirs", annotations={f"{NGINX}canary": "true"})
    elsewhere = ingress("api", name="elsewhere", annotations={f"{NGINX}canary": "true"})
    check_rivals([main, elsewhere, canary_of(main, {"web"}, "canary")], [main], {"web"})
    with pytest.raises(ManifestError, match="Ingress shop/theirs is a canary of the same rules already"):
        check_rivals([main, theirs], [main], {"web"})
