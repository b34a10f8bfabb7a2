"""Metrics decide: on the shop in production, scraped by a real Prometheus, under a small load."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

NAMESPACE = "production"
# The shop, which finds nobody that it asks.
BROKEN = (
    "import app\n"
    "def fetch(service): raise OSError('nobody answers')\n"
    "app.fetch = fetch\n"
    "app.ThreadingHTTPServer(('', 8080), app.Shop).serve_forever()\n"
)


@pytest.fixture
def load(live, core) -> Iterator[None]:
    """Ask the shop in production, some fifty times a second, from as far away as a person is."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.05):
            # A version that is meant to fail does.
            with contextlib.suppress(Exception):
                core.connect_get_namespaced_service_proxy("shop:80", NAMESPACE, _preload_content=False)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()


@pytest.fixture
def candidate(live, apps):
    """Run another version of the shop beside the one that is live, behind the same service."""
    made = []

    def run(version: str, command: list[str] | None = None) -> str:
        deployment = apps.read_namespaced_deployment("shop", NAMESPACE)
        container = deployment.spec.template.spec.containers[0]
        labels = {"app": "shop", "version": version}
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": f"shop-{version}"},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels, "annotations": deployment.spec.template.metadata.annotations},
                    "spec": {
                        "containers": [
                            {
                                "name": "shop",
                                "image": container.image,
                                "command": command,
                                # The service finds the port by its name.
                                "ports": container.ports,
                                "env": [{"name": "COMMIT", "value": version}],
                                "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}},
                            }
                        ]
                    },
                },
            },
        }
        apps.create_namespaced_deployment(NAMESPACE, body)
        made.append(body["metadata"]["name"])
        return version

    yield run
    for name in made:
        apps.delete_namespaced_deployment(name, NAMESPACE)


def _changes(autoscaling) -> Iterator[object]:
    from kubernetes import watch

    listing = autoscaling.list_namespaced_horizontal_pod_autoscaler
    yield from watch.Watch().stream(listing, NAMESPACE, timeout_seconds=1)


def test_a_version_as_good_as_the_old_one_goes_on_and_a_worse_one_does_not(load, candidate, good, run_dag):
    watch = {"before": good, "looks": 2, "interval": 5}
    passed = run_dag("metric_gate", {**watch, "version": candidate("as-good")})
    assert passed.state == "success", passed.states
    assert passed.result("gate")["verdict"] == "passed"
    stopped = run_dag("metric_gate", {**watch, "version": candidate("worse", ["python3", "-c", BROKEN])})
    assert stopped.states["gate"] == "failed"
    assert "error rate of the new version is" in stopped.reason("gate") or "above the 0.05" in stopped.reason("gate")


@pytest.fixture
def scaling(api) -> Iterator[str]:
    """The DAG that scales, which leaves the shop to other tests afterwards."""
    yield "metric_scaling"
    api.pause("metric_scaling")


def test_a_service_follows_its_requests(load, scaling, run_dag, apps):
    grown = run_dag(scaling, {"requests_per_pod": 1, "minimum": 1, "maximum": 3})
    assert grown.state == "success", grown.states
    assert grown.result("pods")["to"] == 3
    assert apps.read_namespaced_deployment("shop", NAMESPACE).status.ready_replicas == 3


@pytest.fixture
def autoscaled(live, core, run_dag) -> Iterator[object]:
    """The HPA of the shop in production, which leaves the shop to other tests afterwards."""
    from kubernetes import client

    autoscaling = client.AutoscalingV2Api(core.api_client)
    run = run_dag("autoscaler", {"minimum": 1, "maximum": 3, "cpu": 5000, "network_out": "1k"})
    yield run, autoscaling
    autoscaling.delete_namespaced_horizontal_pod_autoscaler("shop", NAMESPACE)


@pytest.mark.usefixtures("adapter")
def test_an_hpa_by_bandwidth_grows_the_service_by_itself(load, autoscaled, apps):
    run, autoscaling = autoscaled
    assert run.state == "success", run.reason("hpa")
    assert run.result("hpa")["metrics"] == {"cpu": "5000%", "k8s_pod_network_transmit_bytes_bw": "1k"}
    for _ in range(120):
        if apps.read_namespaced_deployment("shop", NAMESPACE).status.ready_replicas == 3:
            break
        # The server answers when the object changes, or after a second.
        list(_changes(autoscaling))
    assert apps.read_namespaced_deployment("shop", NAMESPACE).status.ready_replicas == 3
