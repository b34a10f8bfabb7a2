"""What a release changed stands in its record, without a secret."""

from __future__ import annotations

import asyncio
import base64
import json
import logging

import pytest
import yaml

from tests.live_cluster import deploy, image, named, refused, released, run_of
from tke_provider.clients import releases
from tke_provider.domain.manifests import images_of
from tke_provider.operators.manifests import TkeDiffOperator
from tke_provider.plugin.board import changed
from tke_provider.plugin.looks import Place

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]
LATE = run_of("run-1", max_tries=1, try_number=2)


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
    service = Place("cls-local000", place.namespace, "web")
    assert await changed(service, 2) == {"markdown": second.diff["markdown"]}
    assert "is gone" in (await changed(service, 7))["reason"]


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


async def test_a_retry_after_somebody_elses_release_leaves_that_alone(place):
    quick = place.workload(replicas=0)
    await released(deploy(place, "a", quick), run_of("run-1", max_tries=1))  # its worker died before it could say so
    other = await released(deploy(place, "b", quick), run_of("run-2"))
    said = await refused(deploy(place, "a", quick), LATE)
    assert f"was released since the first try by {other['op']}" in said
    assert images_of([await place.cluster.get(place.ref("Deployment"))]) == {"web/web": named("b")}
    cleared = await released(deploy(place, "a", quick), run_of("run-1", max_tries=2, try_number=2))
    assert (cleared["record"], cleared["previous"]) == (3, {"web/web": named("b")})
