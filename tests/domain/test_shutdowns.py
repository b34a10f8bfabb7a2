from __future__ import annotations

import pytest

from tke_provider.domain.pods import Shutdown
from tke_provider.domain.shutdowns import risks, served
from tke_provider.domain.workloads import Workload, manifests

SLEEP = {"preStop": {"sleep": {"seconds": 5}}}
READY = {"httpGet": {"port": 80}}


def workload(kind: str = "Deployment", **more) -> dict:
    template = {"metadata": {"labels": {"app": "web", "tier": "front"}}, "spec": {"containers": [{"name": "web"}]}}
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template, **more}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": spec}


def service(**selector: str) -> dict:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": selector}}


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_requests_are_sent_to_what_a_service_leads_to(kind):
    given = workload(kind)
    assert served([given, service(app="web")]) == [given]
    assert served([given, service(app="api"), service()]) == []


def test_what_may_cost_requests_is_said():
    said = " ".join(risks(workload(strategy={"type": "Recreate"})))
    assert [word in said for word in ("readinessProbe", "preStop", "Recreate")] == [True] * 3


def test_of_what_does_its_part_nothing_is_said():
    given = workload(strategy={"type": "RollingUpdate"})
    given["spec"]["template"]["spec"]["containers"][0] |= {"readinessProbe": READY, "lifecycle": SLEEP}
    assert risks(given) == []


@pytest.mark.parametrize(("shutdown", "risky"), [(Shutdown(), 0), (Shutdown(drain=0), 1)])
def test_the_short_form_does_its_part(shutdown, risky):
    names = {"name": "web", "container": "web", "application": "shop", "namespace": "shop"}
    (given,) = served(manifests(Workload(shutdown=shutdown), port=80, **names))
    assert len(risks(given)) == risky
