"""Repositories and their clean-up, on the stack's registry and the live cluster."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tke_provider.clients.registry import ImageRegistry
from tke_provider.operators.repositories import TcrCleanUpOperator, TcrCreateRepositoryOperator

KIND = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def create(repository: str, **more: Any) -> dict:
    return TcrCreateRepositoryOperator(task_id="create", repository=repository, **more).execute({})


def clean_up(repository: str, **more: Any) -> dict:
    given = {"clusters": ["cls-local000"], "keep_newest": 0, "keep_days": 0, "dry_run": False, **more}
    return TcrCleanUpOperator(task_id="clean_up", repository=repository, **given).execute({})


def refused(call, *arguments: Any, **more: Any) -> str:
    with pytest.raises(AirflowFailException) as caught:
        call(*arguments, **more)
    return str(caught.value)


def test_a_repository_is_made_once_with_its_namespace(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    assert "team" in refused(create, "team/web")
    made = [create("team/web", create_namespace=True, brief="the shop window") for _ in range(2)]
    assert [each["created"] for each in made] == [True, False]
    assert made[0]["repository"].endswith("/team/web")
    assert len(cloud.calls("CreateRepository")) == 2  # one of them before its namespace was there
    assert len(cloud.calls("CreateNamespace")) == 1


def test_a_repository_that_somebody_else_makes_meanwhile_is_no_error(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    cloud.trouble("error", "CreateRepository", code="InternalError.ErrorTcrResourceConflict", message="exists")
    assert create("test/web")["created"] is False


def test_a_repository_without_a_namespace_is_refused(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    assert "write namespace/name" in refused(create, "web")


@pytest.fixture
def name() -> str:
    return f"cloud-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def push(registry, name):
    """Push an image of no layers under some tags; return its digest. Its time is years ago."""

    async def pushed(path: str, content: str, tags: tuple[str, ...], kind: str = KIND, **more: Any) -> str:
        config = json.dumps({"created": "2020-01-01T00:00:00Z", "content": content}).encode()
        digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
        async with ImageRegistry(registry.host, registry.login()) as there:
            began = await there._ask("POST", path, "blobs/uploads/")
            where = f"{began.headers['Location']}&digest={digest}"
            await there._ask("PUT", path, where, content=config)
            described = {"mediaType": "application/json", "digest": digest, "size": len(config)}
            whole: dict[str, Any] = {"schemaVersion": 2, "mediaType": kind, "config": described, "layers": [], **more}
            if kind == INDEX:
                del whole["config"], whole["layers"]
            raw = json.dumps(whole).encode()
            for tag in tags:
                await there._ask("PUT", path, f"manifests/{tag}", headers={"Content-Type": kind}, content=raw)
        return f"sha256:{hashlib.sha256(raw).hexdigest()}"

    return lambda content, *tags, **more: asyncio.run(pushed(f"test/{name}", content, tags, **more))


@pytest.fixture
def live(place):
    """Make objects in the live cluster from a test that is no coroutine."""
    from tke_provider.clients.kubernetes import Cluster

    def make(kubeconfig: str, *manifests: dict) -> None:
        async def apply() -> None:
            async with Cluster(kubeconfig, name="live") as cluster:
                for manifest in manifests:
                    manifest["metadata"]["namespace"] = place.namespace
                    await cluster.create(manifest)

        asyncio.run(apply())

    return make


def deployment(image: str) -> dict:
    pod = {"containers": [{"name": "web", "image": image}], "nodeSelector": {"test": "nowhere"}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}}
    spec["template"] = {"metadata": {"labels": {"app": "web"}}, "spec": pod}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


@pytest.mark.stack
def test_what_runs_or_is_a_way_back_stays_and_the_rest_goes(tcr_cloud, place, kubeconfig, live, push, name, registry):
    runs, record, nobody = push("runs", "a"), push("record", "b"), push("nobody", "c", "d")
    kept, child = push("kept", "v1"), push("child", "e")
    listed = {"mediaType": KIND, "digest": child, "size": 1}
    index = push("index", "f", kind=INDEX, manifests=[listed])
    host = "shop-vpc.tencentcloudcr.com"  # the same registry under another name
    live(kubeconfig, deployment(f"{host}/test/{name}@{runs}"), _release_record(place, f"{host}/test/{name}@{record}"))
    live(kubeconfig, _pod(f"{host}/test/{name}@{child}"))

    shown = clean_up(f"test/{name}", dry_run=True, keep_tags=["v*"])
    done = clean_up(f"test/{name}", keep_tags=["v*"])
    assert shown == {**done, "dry_run": True}
    assert done["deleted"] == {nobody: ["c", "d"]}
    assert set(done["kept"]) == {runs, record, kept, child, index}
    assert f"Deployment {place.namespace}/web of cls-local000 uses it" in done["kept"][runs]
    assert "goes back to it" in done["kept"][record]
    assert done["kept"][kept] == "its tag is like v*"
    assert len(tcr_cloud.calls("DeleteImage")) <= 2
    again = clean_up(f"test/{name}", keep_tags=["v*"])
    assert again["deleted"] == {}


def _pod(image: str) -> dict:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": {
        "containers": [{"name": "web", "image": image}], "nodeSelector": {"test": "nowhere"}}}  # fmt: skip


def _release_record(place, image: str) -> dict:
    from tke_provider.domain.releases import Record, encode

    return encode(Record(service="web", namespace=place.namespace, op="op", revision=1, previous={"web/web": image}))


@pytest.mark.stack
def test_a_revision_that_helm_could_go_back_to_keeps_its_image(tcr_cloud, place, kubeconfig, live, push, name):
    import base64
    import gzip

    old = push("old", "a")
    manifest = f"kind: Deployment\nspec: {{template: {{spec: {{containers: [{{image: 'r.example/test/{name}:a'}}]}}}}}}"
    packed = base64.b64encode(gzip.compress(json.dumps({"manifest": manifest}).encode()))
    live(
        kubeconfig,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "helm.sh/release.v1",
            "metadata": {"name": "sh.helm.release.v1.web.v1"},
            "data": {"release": base64.b64encode(packed).decode()},
        },
    )
    assert "sh.helm.release.v1.web.v1" in clean_up(f"test/{name}")["kept"][old]


@pytest.mark.stack
def test_nothing_is_deleted_where_a_cluster_cannot_be_asked(tcr_cloud, push, name):
    push("old", "a")
    assert "cls-unknown0" in refused(clean_up, f"test/{name}", clusters={"cls-local000": [], "cls-unknown0": []})
    assert "names no cluster" in refused(clean_up, f"test/{name}", clusters=[])
    assert tcr_cloud.calls("DeleteImage") == []


@pytest.mark.stack
def test_a_tag_that_was_moved_meanwhile_is_left_alone(tcr_cloud, push, name, monkeypatch):
    from tke_provider.operators import repositories

    push("old", "a")
    planned = repositories.plan

    def moved(*arguments):
        push("new", "a")
        return planned(*arguments)

    # Between the look and the deletion there is no other place to step in.
    monkeypatch.setattr(repositories, "plan", lambda *each: _in_thread(moved, *each))
    clean_up(f"test/{name}")
    assert tcr_cloud.calls("DeleteImage") == []


def _in_thread(function, *arguments):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()


def test_nonsense_is_refused_before_anything_is_asked(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    assert "keep_newest is 'many'" in refused(clean_up, "test/web", keep_newest="many")
    assert cloud.calls("DescribeImages") == []
