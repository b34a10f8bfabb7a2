"""What a release changed stands in its record, without a secret."""

from __future__ import annotations

import asyncio
import base64
import json
import logging

import pytest
import yaml

from tests.live_cluster import deploy, image, named, released, run_of
from tke_provider.clients import releases
from tke_provider.operators.manifests import TkeDiffOperator
from tke_provider.plugin.board import changed

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]


def secret(value: str) -> dict:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"token": value}}


@pytest.fixture
def release(place, git_repository):
    """Release a commit with these manifests."""

    def given(digit: str, *manifests: dict) -> dict:
        commit = git_repository.commit({"web.yaml": yaml.safe_dump_all(manifests)})
        place_of = {"git_url": git_repository.url, "commit": commit, "manifests_path": "web.yaml", "manifests": None}
        return {**place_of, "images": {"web": image(digit)}}

    return given


def web(place, value: str) -> dict:
    workload = place.workload()
    workload["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "DB_PASSWORD", "value": value}]
    return workload


async def test_the_record_says_what_the_release_changed_and_no_secret(place, release, caplog):
    caplog.set_level(logging.DEBUG)
    await released(deploy(place, **release("a", web(place, "hunter1"), secret("token-one"))), run_of("run-1"))
    given = release("b", web(place, "hunter2"), secret("token-two"))
    shown = await asyncio.to_thread(
        TkeDiffOperator(task_id="diff", namespace=place.namespace, **given).execute, run_of("run-2")
    )
    await released(deploy(place, **given), run_of("run-2"))
    second, first = await releases.history(place.cluster, place.namespace, "web")
    assert first.diff["counts"] == {"created": 2, "changed": 0, "deleted": 0, "unchanged": 0}
    assert second.diff == shown
    assert f"image: {named('a')}" in second.diff["markdown"]
    assert f"image: {named('b')}" in second.diff["markdown"]
    assert "(hidden, changed)" in second.diff["markdown"]
    said = json.dumps([first.diff, second.diff]) + caplog.text
    for value in ("hunter1", "hunter2", "token-one", "token-two"):
        assert value not in said
        assert base64.b64encode(value.encode()).decode() not in said
    assert await changed("cls-local000", place.namespace, "web", 2) == {"markdown": second.diff["markdown"]}
    assert "is gone" in (await changed("cls-local000", place.namespace, "web", 7))["reason"]


async def test_a_retry_says_the_same_and_a_release_of_the_same_says_that_nothing_changed(place):
    context = run_of("run-2")
    await released(deploy(place, "a"), run_of("run-1"))
    await asyncio.to_thread(lambda: asyncio.run(deploy(place, "b").change(context)))
    before = (await releases.read(place.cluster, place.namespace, "web")).diff
    await released(deploy(place, "b"), context)
    assert (await releases.read(place.cluster, place.namespace, "web")).diff == before
    assert before["counts"]["changed"] == 1
    await released(deploy(place, "b"), run_of("run-3"))
    assert (await releases.read(place.cluster, place.namespace, "web")).diff["objects"] == []
