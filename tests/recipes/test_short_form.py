"""The short form on a real cluster: its manifests are taken, its probes and its budget do what they are for."""

from __future__ import annotations

import asyncio

import pytest

from tests.live_cluster import deploy, released, run_of, until
from tke_provider.domain.isolation import closed
from tke_provider.domain.manifests import ObjectRef, in_namespace
from tke_provider.domain.specs import load
from tke_provider.domain.workloads import manifests
from tke_provider.exceptions import TkeError

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]

SERVER = """\
import os, signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["VERSION"].encode())

# It ends at once when it is told to, as most programs do: whoever asks it then gets no answer.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ThreadingHTTPServer(("", 8080), Server).serve_forever()
"""

EVERYTHING = """\
application: shop
git: {url: https://example.com/shop.git}
environments:
  - name: live
    namespace: live
    repositories: production
    isolation: {quota: {pods: 20, requests.cpu: 8}, allow_from: [10.0.0.0/8], allow_to: [192.168.0.0/16]}
services:
  plain: {path: plain, workload: {}}
  public:
    path: public
    depends_on: [plain]
    workload:
      command: python3 app.py
      autoscaling: {max: 6, cpu: 70, memory: 80, metrics: {k8s_pod_network_transmit_bytes_bw: 30M}}
      resources: {cpu: 250m, memory: 256Mi, cpu_limit: 1, memory_limit: 512Mi}
      health: {path: /ready, live_path: /live, startup: 120}
      spread: required
      env: {A: "1", B: {secret: db, key: password}, C: {config: settings, key: mode}}
      env_from: [more]
      volumes:
        - {path: /data, size: 10Gi, shared: true, storage_class: cfs}
        - {path: /tls, secret: tls}
        - {path: /etc/settings, config: settings}
        - {path: /tmp, memory: 64Mi}
        - {path: /old, claim: old}
      identity: {role: "qcs::cam::uin/1:roleName/shop"}
      metrics: {port: 9090}
      load_balancer: {subnet: subnet-1, existing: lb-1}
      pull_secrets: [tcr]
      pod_annotations: {eks.tke.cloud.tencent.com/cpu: "1"}
  named: {path: named, workload: {ingress: {host: shop.example.com, tls: cert}, health: {grpc: true}}}
  stateful:
    path: stateful
    workload: {volumes: [{path: /var/lib/db, size: 20Gi}], health: {tcp: true}, shutdown: {drain_command: sleep 5}}
"""


async def test_a_cluster_takes_every_manifest_of_a_spec(place):
    spec = load(EVERYTHING)
    objects = closed(spec, spec.environments[0])
    for each in spec.services:
        form = each.workload["live"]
        objects += manifests(form, name=each.name, container="web", port=80, application="shop", namespace="live")
    for manifest in objects:
        in_namespace(manifest, place.namespace)
        await place.cluster.apply(manifest, dry_run=True)
    assert {each["kind"] for each in objects} == {
        "Deployment",
        "StatefulSet",
        "Service",
        "Ingress",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "PersistentVolumeClaim",
        "ServiceAccount",
        "ResourceQuota",
        "NetworkPolicy",
    }


def short_form(version: str, **more: object) -> list[dict]:
    """A web server that says which version it is."""
    form = {
        "command": ["python3", "-c", SERVER],
        "env": {"VERSION": version},
        "resources": {"cpu": "20m", "memory": "64Mi"},
        "run_as_root": True,
        **more,
    }
    spec = {
        "application": "shop",
        "git": {"url": "https://example.com/shop.git"},
        "environments": [{"name": "live", "namespace": "live", "repositories": "production"}],
        "services": {"web": {"path": "web", "workload": form}},
    }
    import yaml

    (service,) = load(yaml.safe_dump(spec)).services
    return manifests(
        service.workload["live"], name="web", container="web", port=80, application="shop", namespace="live"
    )


def release(place, python: dict, version: str, **more: object):
    return deploy(place, manifests=short_form(version, **more), images={"web": python}, timeout=90)


async def ask(place) -> str:
    status, body = await place.cluster.proxy(place.namespace, "web", 80, "/", 30.0)
    return body if status == 200 else f"{status} {body}"


async def test_a_new_version_comes_without_losing_a_request(place, python):
    await released(release(place, python, "one"), run_of("1"))
    answers: list[str] = []

    async def ask_on() -> None:
        while True:
            answers.append(await said(place))
            await asyncio.sleep(0.01)

    asking = [asyncio.create_task(ask_on()) for _ in range(8)]
    await released(release(place, python, "two"), run_of("2"))
    # The old pods end after the new ones are up: ask until they are gone.
    await until(lambda: is_gone(place, "one"))
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert len(answers) > 100
    assert set(answers) == {"one", "two"}


async def said(place) -> str:
    """What the service answers, or why it does not."""
    try:
        return await ask(place)
    except TkeError as error:
        return str(error)


async def is_gone(place, version: str) -> bool:
    """Whether no pod of a version is left, not even one that is on its way out."""
    pods = await place.cluster.list("v1", "Pod", place.namespace)
    return all({"name": "VERSION", "value": version} not in pod["spec"]["containers"][0]["env"] for pod in pods)


async def test_whoever_drains_nodes_gets_one_pod_at_a_time(place, python):
    await released(release(place, python, "one"))
    first, second = await place.pods()
    budget = place.ref("PodDisruptionBudget", "web", "policy/v1")

    async def allowed() -> int:
        return (await place.cluster.get(budget))["status"]["disruptionsAllowed"]

    await until(allowed)
    await evict(place, first)
    with pytest.raises(TkeError, match="disruption budget"):
        await evict(place, second)
    assert await ask(place) == "one"
    await until(allowed)


async def evict(place, pod: dict) -> None:
    request = await place.cluster._on(ObjectRef.of(pod), "create", subresource="eviction")
    name = {"name": pod["metadata"]["name"], "namespace": place.namespace}
    await place.cluster._json(request._replace(body={"apiVersion": "policy/v1", "kind": "Eviction", "metadata": name}))


async def test_a_start_that_takes_its_time_is_waited_for(place, python):
    # The server is what takes its time; the test waits for the release.
    slow = "import time; time.sleep(4)\n" + SERVER
    done = await released(release(place, python, "one", command=["python3", "-c", slow], replicas=1))
    assert done["revision"] == "web=1"
    (pod,) = await place.pods()
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_root_is_refused_unless_the_spec_lets_it(place, python):
    from tests.live_cluster import refused

    said = await refused(release(place, python, "one", run_as_root=False))
    assert "image will run as root" in said
