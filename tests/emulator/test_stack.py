"""What is behind the emulator is real: Node objects in a cluster with a kwok controller, images in a registry."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from tests.emulator.conftest import CLUSTER, NATIVE, REGISTRY, REGULAR, SUPER, serving
from tests.waiting import until
from tke_provider.emulator.cloud import Settings
from tke_provider.emulator.nodes import OWNER, POOL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.emulator.conftest import Emulator

pytestmark = pytest.mark.stack


@pytest.fixture
def kubeconfig(stack) -> Path:
    return Path(os.environ["TKE_TEST_KUBECONFIG"])


@pytest.fixture
def backed(kubeconfig: Path, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator with pools of its own in front of the real cluster and registry."""
    settings = Settings(
        tmp_path / "state.json",
        temporary=True,
        kubeconfig=kubeconfig,
        registry=f"http://{os.environ['TKE_TEST_REGISTRY']}",
        registry_user=os.environ["TKE_TEST_REGISTRY_USER"],
        registry_password=Path(os.environ["TKE_TEST_REGISTRY_PASSWORD_FILE"]).read_text().strip(),
    )
    with serving(settings) as emulator:
        yield emulator


@pytest.fixture
def api(kubeconfig: Path) -> Iterator[Any]:
    from kubernetes import client, config

    with config.new_client_from_config(str(kubeconfig)) as connection:
        yield client.CoreV1Api(connection)


@pytest.fixture
def registry() -> Iterator[httpx.Client]:
    user = os.environ["TKE_TEST_REGISTRY_USER"]
    password = Path(os.environ["TKE_TEST_REGISTRY_PASSWORD_FILE"]).read_text().strip()
    url = f"http://{os.environ['TKE_TEST_REGISTRY']}"
    with httpx.Client(base_url=url, auth=(user, password), trust_env=False, timeout=60) as client:
        yield client


def wait_for(api: Any, emulator: Emulator, pool_id: str, number: int) -> list[Any]:
    """Watch until a pool has this many Ready nodes, no more and no fewer."""
    from kubernetes import watch

    mine = f"{OWNER}={emulator.cloud.state.owner},{POOL}={pool_id}"

    def nodes() -> list[Any]:
        return api.list_node(label_selector=mine).items

    def settled() -> bool:
        found = nodes()
        return len(found) == number and all(_ready(node) for node in found)

    watcher = watch.Watch()
    if not settled():
        for _ in watcher.stream(api.list_node, label_selector=mine, timeout_seconds=60):
            if settled():
                watcher.stop()
    assert settled(), [node.metadata.name for node in nodes()]
    return nodes()


def _ready(node: Any) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in node.status.conditions or [])


def push(registry: httpx.Client, repository: str, tag: str) -> str:
    """Push an image of one small layer; its digest."""

    def blob(content: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        where = registry.post(f"/v2/{repository}/blobs/uploads/").headers["location"]
        url = httpx.URL(where).copy_merge_params({"digest": digest})
        assert registry.put(url, content=content).status_code == 201
        return {"mediaType": "application/octet-stream", "digest": digest, "size": len(content)}

    config = blob(json.dumps({"created": "2024-05-01T00:00:00Z", "tag": tag}).encode())
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [blob(b"layer")]}
    answer = registry.put(
        f"/v2/{repository}/manifests/{tag}", content=json.dumps(manifest), headers={"Content-Type": kind}
    )
    assert answer.status_code == 201, answer.text
    return answer.headers["docker-content-digest"]


def test_a_regular_pool_is_real_nodes_that_come_and_go(backed, api):
    (first,) = wait_for(api, backed, REGULAR, 1)
    assert first.spec.provider_id == f"qcloud:///100003/{first.metadata.name}"
    assert ("kwok.x-k8s.io/node", "NoSchedule") in [(taint.key, taint.effect) for taint in first.spec.taints]
    assert first.status.allocatable["cpu"] == "4"
    backed.desire(3)
    wait_for(api, backed, REGULAR, 3)
    backed.desire(0)
    wait_for(api, backed, REGULAR, 0)


def test_native_and_super_nodes_are_real_too(backed, api):
    backed.tke2022("ScaleNodePool", ClusterId=CLUSTER, NodePoolId=NATIVE, Replicas=2)
    assert all(node.metadata.name.startswith(NATIVE) for node in wait_for(api, backed, NATIVE, 2))
    name = backed.tke("CreateClusterVirtualNode", ClusterId=CLUSTER, NodePoolId=SUPER, SubnetId="subnet-a")["NodeName"]
    assert [node.metadata.name for node in wait_for(api, backed, SUPER, 1)] == [name]


def test_labels_and_taints_of_a_pool_reach_the_nodes_it_has(backed, api):
    (node,) = wait_for(api, backed, REGULAR, 1)
    backed.tke(
        "ModifyClusterNodePool",
        ClusterId=CLUSTER,
        NodePoolId=REGULAR,
        Labels=[{"Name": "team", "Value": "web"}],
        Taints=[{"Key": "only", "Value": "web", "Effect": "NoSchedule"}],
    )
    backed.cloud.nodes.reconcile()
    node = api.read_node(node.metadata.name)
    assert node.metadata.labels["team"] == "web"
    assert "only" in {taint.key for taint in node.spec.taints}


def test_a_cordon_by_hand_stays_and_a_node_deleted_by_hand_comes_back(backed, api):
    (node,) = wait_for(api, backed, REGULAR, 1)
    api.patch_node(node.metadata.name, {"spec": {"unschedulable": True}})
    backed.cloud.nodes.reconcile()
    assert api.read_node(node.metadata.name).spec.unschedulable is True
    api.delete_node(node.metadata.name)
    backed.cloud.nodes.reconcile()
    wait_for(api, backed, REGULAR, 1)


def test_a_machine_on_its_way_out_is_cordoned_before_it_is_gone(backed, api):
    (node,) = wait_for(api, backed, REGULAR, 1)
    backed.admin("POST", "clock", node={"mode": "told"})
    backed.desire(0)
    backed.cloud.nodes.reconcile()
    assert api.read_node(node.metadata.name).spec.unschedulable is True
    backed.admin("POST", "tell", what="node")
    wait_for(api, backed, REGULAR, 0)


def test_nodes_that_are_not_the_emulators_are_left_alone(backed, api):
    name = f"stranger-{uuid.uuid4().hex[:8]}"
    api.create_node({"metadata": {"name": name, "labels": {"type": "kwok"}}})
    try:
        backed.cloud.nodes.reconcile()
        assert api.read_node(name).metadata.name == name
    finally:
        api.delete_node(name)


def test_the_kubeconfig_given_out_reaches_the_real_cluster(backed, api, tmp_path):
    from kubernetes import client, config

    given = tmp_path / "kubeconfig"
    given.write_text(backed.tke("DescribeClusterKubeconfig", ClusterId=CLUSTER)["Kubeconfig"])
    assert not {"certificate-authority", "client-key"} & set(str(yaml.safe_load(given.read_text())).split("'"))
    with config.new_client_from_config(str(given)) as connection:
        there = client.CoreV1Api(connection)
        found = there.read_namespace("kube-system")
    assert found.metadata.uid == api.read_namespace("kube-system").metadata.uid
    server = yaml.safe_load(given.read_text())["clusters"][0]["cluster"]["server"]
    assert backed.tke("DescribeClusterEndpoints", ClusterId=CLUSTER)["ClusterExternalEndpoint"] == server


def test_images_are_those_of_the_real_registry(backed, registry, refused):
    name = f"emulator-{uuid.uuid4().hex[:8]}"
    digests = {tag: push(registry, f"test/{name}", tag) for tag in ("v1", "v10", "v2")}
    where = {"RegistryId": REGISTRY, "NamespaceName": "test", "RepositoryName": name}
    assert backed.tcr("DescribeInstances")["Registries"][0]["PublicDomain"] == os.environ["TKE_TEST_REGISTRY"]
    assert f"test/{name}" in [each["Name"] for each in backed.tcr("DescribeRepositories", **where)["RepositoryList"]]

    images = backed.tcr("DescribeImages", **where)["ImageInfoList"]
    assert {image["ImageVersion"]: image["Digest"] for image in images} == digests
    assert images[0]["Kind"] == "Artifact::application/vnd.oci.image.manifest.v1+json"
    assert images[0]["UpdateTime"] == "2024-05-01T00:00:00Z"

    vague = backed.tcr("DescribeImages", **where, ImageVersion="v1")["ImageInfoList"]
    exact = backed.tcr("DescribeImages", **where, ImageVersion="v1", ExactMatch=True)["ImageInfoList"]
    second = backed.tcr("DescribeImages", **where, Offset=2, Limit=2)["ImageInfoList"]
    assert ([len(found) for found in (vague, exact, second)]) == [2, 1, 1]

    backed.tcr("DeleteImage", **where, ImageVersion="v1")
    left = backed.tcr("DescribeImages", **where)["ImageInfoList"]
    assert {image["ImageVersion"] for image in left} == {"v10", "v2"}
    with refused("ResourceNotFound.TcrResourceNotFound"):
        backed.tcr("DeleteImage", **where, ImageVersion="v1")
    for version in ("v10", "v2"):
        backed.tcr("DeleteImage", **where, ImageVersion=version)


def test_an_image_is_duplicated_within_the_registry_and_never_over_another(backed, registry, refused):
    name = f"emulator-{uuid.uuid4().hex[:8]}"
    digests = {tag: push(registry, f"test/{name}", tag) for tag in ("v1", "v2")}
    source = {"RegistryId": REGISTRY, "SourceNamespace": "test", "SourceRepo": name}
    to = {"DestinationNamespace": "production", "DestinationTag": "live"}
    backed.tcr("DuplicateImage", **source, **to, SourceReference="v1")
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    answer = registry.head(f"/v2/production/{name}/manifests/live", headers=accept)
    assert answer.headers["docker-content-digest"] == digests["v1"]
    with refused("InternalError.ErrorTcrResourceConflict", "live exists"):
        backed.tcr("DuplicateImage", **source, **to, SourceReference="v2")
    backed.tcr("DuplicateImage", **source, **to, SourceReference="v2", Override=True)
    for wrong in ({"SourceReference": "v3"}, {"SourceReference": digests["v1"]}):
        with refused("ResourceNotFound.TcrResourceNotFound", "not found"):
            backed.tcr("DuplicateImage", **source, **to, **wrong)
    (image,) = backed.tcr("DescribeImages", RegistryId=REGISTRY, NamespaceName="production", RepositoryName=name)[
        "ImageInfoList"
    ]
    assert image["Digest"] == digests["v2"]


def test_the_scanner_finds_what_it_is_told_to_find(backed, registry):
    digest = push(registry, f"test/emulator-{uuid.uuid4().hex[:8]}", "v1")

    def listed() -> dict[str, Any] | None:
        found: list[dict[str, Any]] = []
        while batch := backed.tcss("DescribeAssetImageRegistryList", Limit=100, Offset=len(found))["List"]:
            found += batch
        return next((each for each in found if each["ImageDigest"] == digest), None)

    def row() -> dict[str, Any]:
        # A page begins elsewhere when others push or delete images meanwhile, and may leave one out.
        return until(listed, 30, "the image is listed")

    assert row()["ScanStatus"] == "NOT_SCAN"
    backed.tcss("CreateAssetImageRegistryScanTask", Id=[row()["Id"]])
    assert row()["ScanStatus"] == "SCANNING"
    backed.admin("POST", "scan", digest=digest, status="SCANNED", found={"High": 2})
    assert (row()["ScanStatus"], row()["HighLevelVulCnt"], row()["VulCnt"]) == ("SCANNED", 2, 2)


def test_a_token_logs_in_to_the_real_registry(backed):
    token = backed.tcr("CreateInstanceToken", RegistryId=REGISTRY)
    login = base64.b64encode(f"{token['Username']}:{token['Token']}".encode()).decode()
    url = f"http://{os.environ['TKE_TEST_REGISTRY']}/v2/"
    with httpx.Client(trust_env=False) as client:
        assert client.get(url).status_code == 401
        assert client.get(url, headers={"Authorization": f"Basic {login}"}).status_code == 200


def test_a_temporary_emulator_takes_its_nodes_with_it_and_another_keeps_its_own(api, kubeconfig, tmp_path):
    def nodes(emulator: Emulator) -> int:
        return len(api.list_node(label_selector=f"{OWNER}={emulator.cloud.state.owner}").items)

    with serving(Settings(tmp_path / "a.json", kubeconfig=kubeconfig, temporary=True)) as staying:
        with serving(Settings(tmp_path / "b.json", kubeconfig=kubeconfig, temporary=True)) as leaving:
            for emulator in (staying, leaving):
                emulator.cloud.nodes.reconcile()
            assert (nodes(staying), nodes(leaving)) == (2, 2)
        staying.cloud.nodes.reconcile()
        assert (nodes(staying), nodes(leaving)) == (2, 0)
    assert nodes(staying) == 0


def test_a_pool_grows_for_pods_without_a_node_and_shrinks_when_they_are_gone(backed, api):
    backed.admin("POST", "clock", idle={"mode": "told"})  # or a node may go before the scheduler has seen it
    backed.desire(0)
    backed.tke("ModifyClusterNodePool", ClusterId=CLUSTER, NodePoolId=REGULAR, EnableAutoscale=True, MaxNodesNum=2)
    namespace = f"emulator-{uuid.uuid4().hex[:8]}"
    api.create_namespace({"metadata": {"name": namespace}})
    pod = {
        "metadata": {"generateName": "big-"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "big", "image": "big", "resources": {"requests": {"cpu": "3"}}}],
            "nodeSelector": {POOL: REGULAR, OWNER: backed.cloud.state.owner},
            "tolerations": [{"operator": "Exists"}],
        },
    }
    try:
        for _ in range(3):
            api.create_namespaced_pod(namespace, pod)
        # A pod fills a node, and the third one would need a third node.
        nodes = wait_for(api, backed, REGULAR, 2)
        running = {each.spec.node_name for each in _pods(api, namespace, 2)}
        assert running == {node.metadata.name for node in nodes}
        assert backed.pool()["DesiredNodesNum"] == 2
        backed.admin("POST", "clock", idle={"mode": "seconds", "amount": 1})
    finally:
        api.delete_namespace(namespace)
    wait_for(api, backed, REGULAR, 0)
    kinds = [activity["ActivityType"] for activity in backed.activities()]
    assert kinds[:3] == ["REMOVE_INSTANCES", "REMOVE_INSTANCES", "SCALE_OUT"]


def _pods(api: Any, namespace: str, number: int) -> list[Any]:
    """Watch until so many pods run."""
    from kubernetes import watch

    def running() -> list[Any]:
        return [pod for pod in api.list_namespaced_pod(namespace).items if pod.status.phase == "Running"]

    watcher = watch.Watch()
    for _ in watcher.stream(api.list_namespaced_pod, namespace, timeout_seconds=60):
        if len(running()) == number:
            watcher.stop()
    assert len(running()) == number
    return running()


def test_a_machine_keeps_a_lease_or_it_would_count_as_dead_in_a_minute(backed, api):
    from kubernetes import client, watch

    (node,) = wait_for(api, backed, REGULAR, 1)
    leases = client.CoordinationV1Api(api.api_client)
    watcher = watch.Watch()
    for event in watcher.stream(leases.list_namespaced_lease, "kube-node-lease", timeout_seconds=60):
        if event["object"].metadata.name == node.metadata.name:
            watcher.stop()
    assert leases.read_namespaced_lease(node.metadata.name, "kube-node-lease").spec.renew_time
