"""The stack's Kubernetes, for the tests that change something in it: a namespace and two simulated nodes for each.

One node is run by kwok, where every pod becomes ready. The other one has no kubelet, so that a test can say what a
kubelet would: that an image is not found, that a container crashed.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import yaml

from tke_provider.clients.kubernetes import Cluster
from tke_provider.domain.manifests import ObjectRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tke_provider.operators.rollouts import TkeDeployServiceOperator

_DIGEST = "demo.example/shop/web@sha256:"


@dataclasses.dataclass(frozen=True)
class Place:
    """A namespace of the live cluster, and the nodes for its pods."""

    cluster: Cluster
    namespace: str

    def ref(self, kind: str, name: str = "web", api_version: str = "apps/v1") -> ObjectRef:
        """Name an object of the namespace."""
        return ObjectRef(api_version, kind, self.namespace, name)

    def workload(self, kind: str = "Deployment", name: str = "web", *, kubelet: bool = True, **spec: Any) -> dict:
        """A workload whose pods become ready, or, without kubelet, stay as the test says they are."""
        labels = {"app": name}
        node = self.namespace if kubelet else f"{self.namespace}-idle"
        pod = {
            "nodeSelector": {"test": node},
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "web", "image": "web", "readinessProbe": {"tcpSocket": {"port": 80}}}],
        }
        template = {"metadata": {"labels": labels}, "spec": pod}
        whole = {"selector": {"matchLabels": labels}, "template": template, **spec}
        return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": whole}

    async def pods(self, **labels: str) -> list[dict]:
        """The pods that are not on their way out."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        listed = await self.cluster.list("v1", "Pod", self.namespace, label_selector=selector)
        return [each for each in listed if "deletionTimestamp" not in each["metadata"]]

    async def pod(self, image: str) -> dict:
        """Wait for a pod with this image that has a node, and return it."""

        async def there() -> dict | None:
            for each in await self.pods():
                if each["spec"]["containers"][0]["image"] == image and each["spec"].get("nodeName"):
                    return each
            return None

        return await until(there)

    async def without_room(self, *, room: bool = False) -> None:
        """Let the kubelet's node take no pod that comes from now on, until there is room again."""
        labels = {"test": self.namespace if room else "nowhere"}
        await self.cluster.patch(ObjectRef("v1", "Node", "", self.namespace), {"metadata": {"labels": labels}})

    async def without_quota(self) -> None:
        """Let the namespace have a quota that leaves room for no pod, and wait until the cluster counts by it."""
        ref = self.ref("ResourceQuota", "few", "v1")
        metadata = {"name": ref.name, "namespace": ref.namespace}
        quota = {"apiVersion": "v1", "kind": ref.kind, "metadata": metadata, "spec": {"hard": {"pods": "0"}}}
        await self.cluster.create(quota)

        async def counted() -> bool:
            return bool(((await self.cluster.get(ref)) or {}).get("status", {}).get("used"))

        await until(counted)

    async def unschedulable(self) -> bool:
        """Whether the scheduler has said of some pod that no node takes it."""
        said = [each for pod in await self.pods() for each in pod["status"].get("conditions") or ()]
        return any((each["type"], each.get("reason")) == ("PodScheduled", "Unschedulable") for each in said)

    async def say(self, pod: dict, phase: str = "Pending", **container: Any) -> None:
        """Say what a kubelet says of a pod's container."""
        status = {"name": "web", "image": "web", "imageID": "", "ready": False, "restartCount": 0, **container}
        await report(self, pod, {"phase": phase, "containerStatuses": [status]})


async def report(place: Place, pod: dict, status: dict) -> None:
    """Write what a kubelet would into a pod's status."""
    request = await place.cluster._on(ObjectRef.of(pod), "patch", subresource="status")
    body = {"status": status}
    await place.cluster._json(request._replace(body=body, content="application/merge-patch+json"))


def image(digit: str = "a", commit: str = "") -> dict:
    """An image as a build task returns it."""
    return {"repository": "demo.example/shop/web", "digest": f"sha256:{digit * 64}", "commit": commit or digit * 40}


def named(digit: str) -> str:
    """The same image as a container has it."""
    return f"{_DIGEST}{digit * 64}"


async def until(look: Callable[[], Awaitable[Any]], seconds: float = 120.0) -> Any:
    """Look until there is something, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := await look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.1)
    return found


def run_of(run_id: str = "run-1", *, max_tries: int = 0, try_number: int = 1) -> dict:
    """The context of a task; every run is another operation, and so is every Clear."""
    numbers = {"map_index": -1, "max_tries": max_tries, "try_number": try_number}
    ti = SimpleNamespace(dag_id="shop", run_id=run_id, task_id="deploy", **numbers)
    return {"ti": ti}


def deploy(place: Place, digit: str = "a", *manifests: dict, **more: Any) -> TkeDeployServiceOperator:
    """A task that releases manifests, or a workload of one pod, with an image."""
    from tke_provider.operators.rollouts import TkeDeployServiceOperator

    given = {"manifests": list(manifests) or [place.workload()], "images": {"web": image(digit)}}
    return TkeDeployServiceOperator(
        task_id="deploy", namespace=place.namespace, **{"timeout": 120, "poll_interval": 0.5, **given, **more}
    )


async def released(operator: TkeDeployServiceOperator, context: dict | None = None) -> Any:
    """Run the task to its end and return what it returns."""
    return await asyncio.to_thread(operator.execute, context or run_of())


async def refused(operator: TkeDeployServiceOperator, context: dict | None = None) -> str:
    """Run the task to its end, which is no good one, and return what it says."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException) as caught:
        await released(operator, context)
    return str(caught.value)


def with_token(kubeconfig: str, token: str) -> str:
    """The same cluster, for somebody else."""
    whole = yaml.safe_load(kubeconfig)
    whole["users"][0]["user"] = {"token": token}
    return yaml.safe_dump(whole)


async def account(place: Place, kubeconfig: str, role: dict | None = None) -> str:
    """A kubeconfig of a service account that has this role and no other right."""
    here = {"namespace": place.namespace}
    made = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "account", **here}}
    await place.cluster.create(made)
    if role:
        group = "rbac.authorization.k8s.io"
        await place.cluster.create({**role, "metadata": {"name": "role", **here}})
        subject = {"kind": "ServiceAccount", "name": "account", **here}
        reference = {"apiGroup": group, "kind": "Role", "name": "role"}
        binding = {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": {"name": "binding", **here}}
        await place.cluster.create({**binding, "subjects": [subject], "roleRef": reference})
    request = await place.cluster._on(ObjectRef.of(made), "create", subresource="token")
    theirs = with_token(kubeconfig, (await place.cluster._json(request._replace(body={})))["status"]["token"])
    if role:
        await until(lambda: _has(theirs, place.namespace, role))
    return theirs


async def _has(kubeconfig: str, namespace: str, role: dict) -> bool:
    """Whether the API server knows by now that these rights were given: it hears of it after it has stored it."""
    asked = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "metadata": {"name": "mine"}}
    async with Cluster(kubeconfig) as cluster:
        answer = await cluster.create({**asked, "spec": {"namespace": namespace}})
    known = [each["resources"] for each in answer["status"]["resourceRules"]]
    return all(rule["resources"] in known for rule in role["rules"])


def connect(kubeconfig: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a cluster the Airflow connection tke_default."""
    connection = {"conn_type": "tke", "extra": {"kubeconfig_secret": kubeconfig}}
    monkeypatch.setenv("AIRFLOW_CONN_TKE_DEFAULT", json.dumps(connection))


@pytest.fixture
def kubeconfig() -> str:
    """The administrator's kubeconfig of the live cluster."""
    return Path(os.environ["TKE_TEST_KUBECONFIG"]).read_text(encoding="utf-8")


@pytest.fixture
def connected(kubeconfig: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Airflow connection tke_default to the live cluster."""
    connect(kubeconfig, monkeypatch)


@pytest.fixture
def clouds(cloud, _emulator, kubeconfig: str, monkeypatch: pytest.MonkeyPatch):
    """One connection: the emulated cloud's node pools, and the live cluster, whose nodes their machines are."""
    cloud.connect(monkeypatch, kubeconfig_secret=kubeconfig)
    with joining(_emulator[0]):
        yield cloud


@contextlib.contextmanager
def joining(emulator):
    """Let the machines of an emulated cloud be simulated nodes of the live cluster."""
    from tke_provider.emulator.nodes import NodeKeeper

    emulator.nodes = NodeKeeper.connect(emulator, os.environ["TKE_TEST_KUBECONFIG"])
    emulator.nodes.start()
    try:
        yield
    finally:
        keeper, emulator.nodes = emulator.nodes, None
        keeper.stop(remove=True)


@pytest.fixture
def controller():
    """The controller of HorizontalPodCronscalers, and a cluster that serves them; its clock is the test's to move."""
    from kubernetes import client, config

    from tke_provider.emulator.cron_scalers import CronScalers

    with config.new_client_from_config(os.environ["TKE_TEST_KUBECONFIG"]) as connection:
        controller = CronScalers(client.CoreV1Api(connection))
        controller.install()
        yield controller


@pytest_asyncio.fixture
async def place(kubeconfig: str):
    """A namespace of its own with two nodes, deleted afterwards."""
    async with somewhere(kubeconfig) as place:
        yield place


@contextlib.asynccontextmanager
async def somewhere(kubeconfig: str) -> AsyncIterator[Place]:
    """Make a namespace with two nodes, and delete it afterwards."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    async with Cluster(kubeconfig, name="live") as cluster:
        made = [ObjectRef("v1", "Namespace", "", name)]
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for node, annotations in ((name, {"kwok.x-k8s.io/node": "fake"}), (f"{name}-idle", {})):
            made.append(ObjectRef("v1", "Node", "", node))
            await cluster.create(_node(node, annotations))
        try:
            yield Place(cluster, name)
        finally:
            for ref in made:
                await cluster.delete(ref)


def _node(name: str, annotations: dict[str, str]) -> dict:
    room = {"cpu": "8", "memory": "16Gi", "pods": "50"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": annotations, "labels": {"test": name, "type": "kwok"}},
        "spec": {"taints": [{"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}]},
        "status": {"allocatable": room, "capacity": room},
    }
