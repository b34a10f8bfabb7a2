"""A worker that dies while it builds or promotes: its retry leaves one image under one tag, and repeats no work."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.live_cluster import released, until
from tests.operators.test_images import DOCKERFILE
from tests.process_of_a_release import END, RETRY, at_length, killed_after, path_of
from tke_provider.clients.registry import ImageRegistry
from tke_provider.domain.images import REVISION, Image, release_tag
from tke_provider.operators.images import TkeBuildImageOperator
from tke_provider.operators.promotions import TcrPromoteImageOperator

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


async def tags(registry, path: str) -> dict[str, str]:
    """What each tag of a repository stands for."""
    async with ImageRegistry(registry.host, registry.login()) as there:
        names = (await there._ask("GET", path, "tags/list")).json()["tags"]
        return {name: str(await there.digest(path, name)) for name in names}


@pytest.mark.parametrize("moment", ["POST .*/push", *at_length("POST .*/build", END)])
async def test_a_worker_killed_while_it_builds_leaves_one_image(
    git_repository, pushed_base, repository, registry, docker_api, monkeypatch, moment
):
    lines = DOCKERFILE.format(line="RUN sleep 1\nCOPY . /web")
    commit = git_repository.commit({"Dockerfile": lines, "which": uuid.uuid4().hex})
    given = {"task_id": "build", "repository": repository, "git_url": git_repository.url, "commit": commit}
    given |= {"build_args": {"BASE": pushed_base}, "docker_conn_id": registry.connect(monkeypatch, "registry")}
    await killed_after(moment, path_of(TkeBuildImageOperator), given, "run-2")
    if moment == END:
        given["docker_url"] = "tcp://127.0.0.1:1"  # where nothing could build it again
    image = Image.parse(await released(TkeBuildImageOperator(**given), RETRY))
    assert list((await tags(registry, image.path)).values()) == [image.digest]

    async def nothing_runs() -> bool:
        """The engine has ended what the killed worker asked of it."""
        label = {"label": f"{REVISION}={commit}"}
        return not await asyncio.to_thread(docker_api.containers, all=True, filters=label)

    await until(nothing_runs)


@pytest.fixture
def tested(registry) -> Image:
    """An image in the namespace for tests, under a tag."""
    path = f"test/deaths-{uuid.uuid4().hex[:8]}"
    return Image(f"{registry.host}/{path}", registry.push(path, "built"), "c" * 40)


async def promoted(tested: Image, registry, moment: str, **login: str) -> None:
    """A promotion that is killed, and its retry."""
    path = tested.path.replace("test/", "production/")
    given = {"task_id": "promote", "image": tested.as_dict(), "to_repository": path, **login}
    await killed_after(moment, path_of(TcrPromoteImageOperator), given, "run-2")
    made = await released(TcrPromoteImageOperator(**given), RETRY)
    assert made == {**tested.as_dict(), "repository": f"{registry.host}/{path}"}
    assert await tags(registry, path) == {release_tag(tested): tested.digest}


@pytest.mark.parametrize("moment", ["PUT .*/manifests/", *at_length("POST .*/blobs/uploads", END)])
async def test_a_worker_killed_while_it_copies_an_image_leaves_it_under_one_tag(tested, registry, monkeypatch, moment):
    await promoted(tested, registry, moment, docker_conn_id=registry.connect(monkeypatch, "registry"))


@pytest.mark.parametrize("moment", ["DuplicateImage", *at_length(END)])
async def test_a_worker_killed_while_the_cloud_duplicates_an_image_asks_for_it_once(
    tcr_cloud, tested, registry, moment
):
    await promoted(tested, registry, moment)
    assert len(tcr_cloud.calls("DuplicateImage")) == 1
