"""The scanner's list is read whole once, not at every look. Its images are made up: hundreds take long to build."""

from __future__ import annotations

import time

import pytest

from tke_provider.emulator.models import Namespace
from tke_provider.hooks.tcss import TcssHook
from tke_provider.triggers.scans import ScanTrigger

LIST = "DescribeAssetImageRegistryList"
DIGEST = f"sha256:{'a' * 64}"
IMAGE = ("tcr-local000", "test/web", DIGEST)


class Registry:
    """What the emulated cloud asks of a registry; the image wanted is the last but one of many."""

    domain = "registry.example"

    def __init__(self) -> None:
        self.names = [*(f"test/other-{number:03}" for number in range(240)), "test/web", "test/zoo"]

    def repositories(self) -> list[str]:
        return self.names

    def tags(self, repository: str) -> list[str]:
        return ["v1"]

    def digest(self, repository: str, tag: str) -> str:
        return DIGEST if repository == "test/web" else f"sha256:{repository.encode().hex():0>64}"


@pytest.fixture
def listed(cloud, _emulator, monkeypatch) -> Registry:
    """An account with 242 images."""
    emulator, _ = _emulator
    registry = Registry()
    monkeypatch.setattr(emulator, "registry", registry)
    emulator.state.registries["tcr-local000"].namespaces["test"] = Namespace("test", 1, 0.0)
    cloud.connect(monkeypatch)
    return registry


async def test_a_wait_reads_the_list_once_and_then_the_page_of_its_image(cloud, listed):
    cloud.tell("scan", digest=DIGEST, status="SCANNING")
    asked = dict(zip(("registry_id", "repository", "digest"), IMAGE, strict=True))
    trigger = ScanTrigger(tke_conn_id="tke_default", deadline=time.time() + 60, limits={"high": 0}, **asked)
    for _ in range(3):
        assert not (await trigger.look()).final
    assert len(cloud.calls(LIST)) == 3 + 1 + 1  # pages of the whole list, then one a look
    cloud.tell("scan", digest=DIGEST, found={})
    assert (await trigger.look()).state.value == "passed"


async def test_an_image_that_moved_in_the_list_is_looked_for_anew(cloud, listed):
    pages: dict[int, int] = {}
    async with await TcssHook("tke_default").tcss() as tcss:
        assert await tcss.scan(*IMAGE, pages)
        assert pages == {200: 1}
        del listed.names[:100]
        assert await tcss.scan(*IMAGE, pages)
        assert pages == {100: 1}
        assert await tcss.scan("tcr-local000", "test/web", "sha256:other") is None


async def test_a_page_from_which_an_image_has_just_gone_is_not_taken_for_the_last_one(listed, monkeypatch):
    kept = listed.digest
    monkeypatch.setattr(
        listed, "digest", lambda repository, tag: "" if "other-007" in repository else kept(repository, tag)
    )
    async with await TcssHook("tke_default").tcss() as tcss:
        assert await tcss.scan(*IMAGE)
