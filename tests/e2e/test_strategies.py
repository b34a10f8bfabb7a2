"""The shop in production is released gradually, switched, and rolled back, while it is asked all the time."""

from __future__ import annotations

import pytest
import yaml

from local.shop import SAMPLE
from tests.e2e.test_metrics import NAMESPACE, load  # noqa: F401  # a fixture

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("load")]


@pytest.fixture
def version(live, repository, images):
    """Commit the shop with another limit of memory, and say how it is released."""

    def commit(memory: str) -> dict[str, object]:
        edit = ("limits: {memory: 128Mi}", f"limits: {{memory: {memory}}}")
        sha = repository.commit(f"Allow the shop {memory}", {"shop/manifests.yaml": edit})
        return {"git_url": repository.url, "commit": sha, "image": images(NAMESPACE)["shop"], "namespace": NAMESPACE}

    return commit


@pytest.fixture
def memory(apps):
    """What the shop in production may use."""

    def read() -> str:
        deployment = apps.read_namespaced_deployment("shop", NAMESPACE)
        return str(deployment.spec.template.spec.containers[0].resources.limits["memory"])

    return read


@pytest.fixture
def nginx(live, core):
    """An Ingress of ingress-nginx in front of the shop in production. No such controller is up."""
    from kubernetes import client

    api = client.NetworkingV1Api(core.api_client)
    made = client.V1IngressClass(
        metadata=client.V1ObjectMeta(name="nginx-e2e"),
        spec=client.V1IngressClassSpec(controller="k8s.io/ingress-nginx"),
    )
    backend = {"service": {"name": "shop", "port": {"number": 80}}}
    rule = {"host": "shop.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    body = {"metadata": {"name": "shop"}, "spec": {"ingressClassName": "nginx-e2e", "rules": [rule]}}
    api.create_ingress_class(made)
    api.create_namespaced_ingress(NAMESPACE, body)
    yield api
    api.delete_namespaced_ingress("shop", NAMESPACE)
    api.delete_ingress_class("nginx-e2e")


def test_a_canary_by_an_ingress_becomes_the_whole_and_leaves_nothing(run_dag, version, memory, nginx, core):
    run = run_dag("canary_by_ingress", {**version("131Mi"), "pause": 1})
    assert run.state == "success", run.log("canary")
    assert memory() == "131Mi"
    assert [each.metadata.name for each in nginx.list_namespaced_ingress(NAMESPACE).items] == ["shop"]
    assert core.read_namespaced_service("shop", NAMESPACE).spec.selector == {"app": "shop"}


WEIGHT, DIRECT = (f"service.cloud.tencent.com/{name}" for name in ("custom-weight", "direct-access"))


@pytest.fixture
def balanced(version, repository, core):
    """Commit the shop behind a CLB, with another limit of memory; it is released in a namespace of the test's own.

    The stack has no controller that makes CLBs; what TKE's says of its version stands where it says so.
    """
    namespace, controller = "behind-a-clb", "tke-service-controller-config"

    def commit(memory: str) -> dict[str, object]:
        text = (SAMPLE / "shop" / "manifests.yaml").read_text()
        deployment, service = yaml.safe_load_all(text)
        pod = deployment["spec"]["template"]
        pod["metadata"]["annotations"][WEIGHT] = "10"
        pod["spec"]["containers"][0]["resources"]["limits"]["memory"] = memory
        service["metadata"]["annotations"] = {DIRECT: "true"}
        service["spec"]["type"] = "LoadBalancer"
        edit = (text, yaml.safe_dump_all([deployment, service]))
        sha = repository.commit(f"Allow the shop {memory} behind a CLB", {"shop/manifests.yaml": edit})
        return {**version("128Mi"), "commit": sha, "namespace": namespace, "pause": 1}

    core.create_namespaced_config_map("kube-system", {"metadata": {"name": controller}, "data": {"VERSION": "v2.5.0"}})
    yield commit
    core.delete_namespaced_config_map(controller, "kube-system")
    core.delete_namespace(namespace)


def test_a_canary_behind_a_clb_is_weighed_and_becomes_the_whole(run_dag, balanced, core):
    first = run_dag("canary_by_clb", balanced("128Mi"))
    assert first.state == "success", first.log("canary")
    run = run_dag("canary_by_clb", balanced("129Mi"))
    assert run.state == "success", run.log("canary")
    said = run.log("canary")
    assert "The CLB gives the canary 9.1 percent: 1 pods of weight" in said
    assert "The CLB gives the canary 50.0 percent: 1 pods of weight" in said
    pods = core.list_namespaced_pod("behind-a-clb").items
    serving = [each for each in pods if each.metadata.deletion_timestamp is None]
    assert {each.spec.containers[0].resources.limits["memory"] for each in serving} == {"129Mi"}
    assert {each.metadata.annotations[WEIGHT] for each in serving} == {"10"}


def test_a_canary_becomes_the_whole_a_switch_follows_and_a_rollback_undoes_it(run_dag, version, memory, apps):
    canary = run_dag("canary_release", {**version("129Mi"), "pause": 15})
    assert canary.state == "success", canary.log("canary")
    assert memory() == "129Mi"
    switched = run_dag("blue_green_release", {**version("130Mi"), "keep": 5})
    assert switched.state == "success", switched.log("release")
    assert memory() == "130Mi"
    back = run_dag("roll_back", {"service": "shop", "namespace": NAMESPACE})
    assert back.state == "success", back.log("rollback")
    assert memory() == "129Mi"
    first = canary.result("canary")["record"]
    assert [run.result(task)["record"] for run, task in ((switched, "release"), (back, "rollback"))] == [
        first + 1,
        first + 2,
    ]
    assert {each.metadata.name for each in apps.list_namespaced_deployment(NAMESPACE).items} >= {"shop"}
    names = [each.metadata.name for each in apps.list_namespaced_deployment(NAMESPACE).items]
    assert not [name for name in names if name.endswith(("-canary", "-green"))]
