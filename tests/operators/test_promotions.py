"""Promotions on the stack's registry, which stands where TCR stands."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tke_provider.clients.registry import ImageRegistry
from tke_provider.domain.images import Image, release_tag
from tke_provider.operators.promotions import TcrPromoteImageOperator


def promote(image: Image | str, to: str, **more: str) -> dict:
    given = image.as_dict() if isinstance(image, Image) else image
    return TcrPromoteImageOperator(task_id="promote", image=given, to_repository=to, **more).execute({})


def refused(image: Image | str, to: str, **more: str) -> str:
    with pytest.raises(AirflowFailException) as caught:
        promote(image, to, **more)
    return str(caught.value)


@pytest.fixture
def name() -> str:
    return f"cloud-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def tested(image, name, registry):
    """An image in the namespace for tests, under a tag; in the registry of the cloud's connection."""

    async def put() -> Image:
        async with ImageRegistry(registry.host, registry.login()) as there:
            await there.promote(image, there, f"test/{name}", "built")
        return Image(f"{registry.host}/test/{name}", image.digest, "c" * 40)

    return asyncio.run(put())


def digest_of(registry, path: str, tag: str) -> str | None:
    async def look() -> str | None:
        async with ImageRegistry(registry.host, registry.login()) as there:
            return await there.digest(path, tag)

    return asyncio.run(look())


@pytest.mark.stack
def test_within_one_registry_of_tcr_the_cloud_duplicates_the_image_once(tcr_cloud, tested, name, registry):
    for _ in range(2):
        made = promote(tested, f"production/{name}")
        assert made == {**tested.as_dict(), "repository": f"{registry.host}/production/{name}"}
    assert digest_of(registry, f"production/{name}", release_tag(tested)) == tested.digest
    (call,) = tcr_cloud.calls("DuplicateImage")
    assert (call["request"]["SourceReference"], call["request"]["Override"]) == ("built", False)


@pytest.mark.stack
@pytest.mark.parametrize("trouble", ["lost_answer", "server_error"])
def test_a_duplication_without_an_answer_is_made_once_by_the_retry(tcr_cloud, tested, name, registry, trouble):
    from tke_provider.exceptions import UnavailableError

    tcr_cloud.trouble(trouble, "DuplicateImage")
    with pytest.raises(UnavailableError):
        promote(tested, f"production/{name}")
    promote(tested, f"production/{name}")
    assert digest_of(registry, f"production/{name}", release_tag(tested)) == tested.digest
    assert len(tcr_cloud.calls("DuplicateImage")) == (1 if trouble == "lost_answer" else 2)


@pytest.mark.stack
def test_an_image_without_a_tag_is_copied_by_its_digest(tcr_cloud, tested, name, registry):
    async def forget_the_tag() -> None:
        async with ImageRegistry(registry.host, registry.login()) as there:
            raw, manifest = await there._manifest(f"test/{name}", tested.digest)
            other = raw.replace(b"}", b" }", 1)
            kind = {"Content-Type": manifest["mediaType"]}
            await there._ask("PUT", f"test/{name}", "manifests/built", headers=kind, content=other)

    asyncio.run(forget_the_tag())
    assert promote(tested, f"production/{name}")["digest"] == tested.digest
    assert tcr_cloud.calls("DuplicateImage") == []


@pytest.mark.stack
def test_a_tag_that_stands_for_another_image_is_not_moved_by_the_cloud_either(tcr_cloud, tested, name, image, registry):
    async def take_the_tag() -> str:
        async with ImageRegistry(registry.host, registry.login()) as there:
            raw, manifest = await there._manifest(image.path, image.digest)
            other = raw.replace(b"}", b" }", 1)
            await there.promote(image, there, f"production/{name}", "1.0")
            kind = {"Content-Type": manifest["mediaType"]}
            await there._ask("PUT", f"production/{name}", "manifests/1.0", headers=kind, content=other)
            return str(await there.digest(f"production/{name}", "1.0"))

    taken = asyncio.run(take_the_tag())
    assert "would have to move" in refused(tested, f"production/{name}", tag="1.0")
    assert digest_of(registry, f"production/{name}", "1.0") == taken


@pytest.mark.stack
def test_elsewhere_the_registry_mounts_the_layers(tested, name, registry, monkeypatch):
    registry.connect(monkeypatch, "registry")
    for _ in range(2):
        made = promote(tested, f"production/{name}", docker_conn_id="registry")
        assert made["digest"] == tested.digest
    assert digest_of(registry, f"production/{name}", release_tag(tested)) == tested.digest


@pytest.mark.stack
def test_an_image_that_is_gone_is_named(tcr_cloud, tested, name):
    gone = Image(tested.repository, f"sha256:{'0' * 64}")
    assert "does not have" in refused(gone, f"production/{name}")


def test_a_tag_is_not_promoted_because_it_may_mean_something_else_by_now():
    assert "without a digest" in refused("registry.example/web:1", "registry.example/x")
