"""Builds by a daemon in the build's own pod."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.domain.test_buildkit import JOB
from tests.live_cluster import until
from tke_provider.clients.registry import ImageRegistry
from tke_provider.domain.buildkit_daemons import PodDaemon
from tke_provider.domain.images import Image
from tke_provider.domain.manifests import ObjectRef
from tke_provider.exceptions import ForbiddenError
from tke_provider.operators.images import TkeBuildImageOperator

pytestmark = pytest.mark.stack

CONTEXT = {"ti": SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=0)}


@pytest.fixture
def build(git_host, git_repository, build_pods, pushed_base, bridge_registry, repository, registry, monkeypatch):
    """A task that builds the lines of a Dockerfile, with more arguments or other ones."""
    from local.endpoints import BUILDKIT_IMAGE
    from local.kubernetes import ADDRESS

    conn_id = registry.connect(monkeypatch, "registry", host=bridge_registry)
    git_url = f"http://{git_host(login=False, address=ADDRESS)[0]}/shop.git"
    base = pushed_base.replace(registry.host, bridge_registry)

    def task(*lines: str, **more: object) -> TkeBuildImageOperator:
        dockerfile = "\n".join(("ARG BASE", "FROM $BASE", *lines, ""))
        commit = git_repository.commit({"Dockerfile": dockerfile, "content": repository})
        known = {
            "repository": repository.replace(registry.host, bridge_registry),
            "git_url": git_url,
            "commit": commit,
            "build_args": {"BASE": base},
            "builder": "buildkit",
            "buildkit_daemon": "rootless",
            "buildkit_image": BUILDKIT_IMAGE,
            "buildkit_config": f'[registry."{bridge_registry}"]\n  insecure = true\n',
            "namespace": build_pods[1],
            "docker_conn_id": conn_id,
        }
        return TkeBuildImageOperator(task_id="build", **{**known, **more})

    return task


@pytest.fixture
def left(build_pods):
    """What is left of builds: Jobs, Secrets and pods."""
    cluster, namespace = build_pods

    async def none() -> bool:
        kinds = (("batch/v1", "Job"), ("v1", "Secret"), ("v1", "Pod"))
        return not [each for kind in kinds for each in await cluster.list(*kind, namespace)]

    return none


async def run(task: TkeBuildImageOperator) -> Image:
    return Image.parse(await asyncio.to_thread(task.execute, CONTEXT))


async def test_daemons_that_live_as_long_as_their_builds_make_what_any_other_makes(
    build, pushed_base, registry, repository, left, monkeypatch
):
    lines = ("COPY content /content", "RUN echo made > /made")
    task = build(*lines, buildkit_daemon="privileged")
    image = await run(task)
    rootless = build(*lines, repository=f"{task.repository}/rootless")
    assert (await run(rootless)).digest == image.digest
    # The shared one does not reach that registry: another base's name makes another label, and the same layers.
    there = {"repository": repository, "docker_conn_id": registry.connect(monkeypatch, "registry")}
    there |= {"buildkit_daemon": "shared", "buildkit_config": None, "build_args": {"BASE": pushed_base}}
    shared = await run(build(*lines, **there))
    async with ImageRegistry(registry.host, registry.login()) as speaker:
        assert task._build(image.repository).is_origin_of(await speaker.labels(image.path, image.digest))
        found = [(await speaker._manifest(each.path, each.digest))[1]["layers"] for each in (image, shared)]
    assert found[0] == found[1]
    await until(left)


async def test_an_image_without_a_daemon_ends_the_task_at_once(build, pushed_base, left):
    with pytest.raises(AirflowFailException, match=r"container buildkitd of pod .*rootlesskit.*not found"):
        await run(build(buildkit_image=pushed_base))
    await until(left)


async def test_a_namespace_that_lets_no_such_pod_in_ends_the_task(build, build_pods, left, monkeypatch):
    cluster, name = build_pods
    labels = {"pod-security.kubernetes.io/enforce": "baseline"}
    await cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    # Only so long it is believed that a pod is on its way.
    monkeypatch.setattr("tke_provider.clients.pods._LOOK_SECONDS", 1)
    with pytest.raises(AirflowFailException, match=r"does not let the build's pod in: .*seccompProfile"):
        await run(build())
    await until(left)


@pytest.fixture
def admitted(build_pods):
    """Whether a cluster lets a build's pod in where a level of the Pod Security Standards is enforced."""
    cluster, _ = build_pods
    name = f"build-{uuid.uuid4().hex[:8]}"

    async def ask(daemon: str, level: str) -> bool:
        labels = {"pod-security.kubernetes.io/enforce": level}
        await cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        job = JOB if daemon == "shared" else dataclasses.replace(JOB, daemon=PodDaemon(daemon == "rootless"))
        spec = job.manifest()["spec"]["template"]["spec"]
        metadata = {"name": "build", "namespace": name}
        try:
            await cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, dry_run=True)
        except ForbiddenError as error:
            return "violates PodSecurity" not in str(error)
        finally:
            await cluster.delete(ObjectRef("v1", "Namespace", "", name))
        return True

    return ask


@pytest.mark.parametrize(
    ("daemon", "level", "expected"),
    [
        ("shared", "restricted", True),
        ("rootless", "baseline", False),
        ("rootless", "privileged", True),
        ("privileged", "baseline", False),
        ("privileged", "privileged", True),
    ],
)
async def test_a_build_asks_of_a_namespace_what_the_documentation_says(admitted, daemon, level, expected):
    assert await admitted(daemon, level) is expected
