from __future__ import annotations

import asyncio
import dataclasses
import gc
import threading
import uuid

import pytest

from tests.live_cluster import until
from tke_provider.clients.engine import OPERATION_LABEL, Engine
from tke_provider.domain.images import Build, Image
from tke_provider.domain.runs import Run
from tke_provider.exceptions import (
    BuildError,
    CredentialError,
    DeadlineError,
    ForbiddenError,
    InputError,
    NotFoundError,
    UnavailableError,
)

pytestmark = pytest.mark.stack


@pytest.fixture
def run():
    return Run(operation=f"dag.tests.{uuid.uuid4().hex}")


@pytest.fixture
def containers(docker_api, run):
    """The containers of the run that are on the engine now."""
    return lambda: docker_api.containers(all=True, filters={"label": f"{OPERATION_LABEL}={run.operation}"})


def script(run: Run, text: str, **more: object) -> Run:
    return dataclasses.replace(run, command=("sh", "-c", text), **more)


async def test_a_built_image_is_in_the_registry_under_the_digest_that_is_returned(
    engine, build, context, docker_api, registry
):
    said: list[str] = []
    digest = await engine.build(context('LABEL greeting="hello"'), build, said.append)
    known = docker_api.inspect_distribution(
        f"{build.repository}:{build.tag}", {"username": registry.username, "password": registry.password}
    )
    assert known["Descriptor"]["digest"] == digest
    assert 'Step 2/4 : LABEL greeting="hello"' in said


async def test_a_failing_step_is_named_with_its_last_line(engine, build, context, docker_api):
    folder = context("COPY content /content", "COPY missing /missing")
    with pytest.raises(BuildError, match=r"does not build; Step 3/5 : COPY missing /missing: COPY failed: .*missing"):
        await engine.build(folder, build, lambda _: None)
    assert docker_api.images(build.repository) == []


async def test_a_dockerfile_with_a_mistake_in_it_is_a_failed_build(engine, build, context):
    with pytest.raises((BuildError, InputError), match="unknown instruction: FROBNICATE"):
        await engine.build(context("FROBNICATE"), build, lambda _: None)


async def test_a_base_image_that_is_not_there_is_named(engine, build, context, registry):
    base = f"{registry.host}/tests/nothing:1"
    with pytest.raises((BuildError, ForbiddenError), match="base image cannot be pulled") as caught:
        await engine.build(context(start=base), build, lambda _: None)
    assert base in str(caught.value)
    assert not caught.value.retryable


async def test_a_refused_login_is_known_before_anything_is_built(docker_api, build, context, registry):
    async def login():
        return registry.login("wrong-password")

    said: list[str] = []
    with pytest.raises(CredentialError, match=f"Logging in to {registry.host} failed") as caught:
        await Engine(docker_api, login).build(context(), build, said.append)
    assert said == []
    assert "wrong-password" not in str(caught.value)


async def test_a_login_that_ends_while_it_is_built_is_not_the_one_that_pushes(docker_api, build, context, registry):
    asked: list[str] = []

    async def login():
        asked.append("")
        return registry.login()

    def ended(_: str) -> None:
        """What the engine was told when it began is worth nothing any more."""
        docker_api._auth_configs.add_auth(registry.host, {"username": registry.username, "password": "ended"})

    assert await Engine(docker_api, login).build(context("COPY content /content"), build, ended)
    assert len(asked) == 2


async def test_without_a_login_a_registry_that_wants_one_refuses_the_push(docker_api, build, context):
    async def nobody():
        return None

    with pytest.raises(CredentialError, match="was built and cannot be pushed"):
        await Engine(docker_api, nobody).build(context(), build, lambda _: None)


async def test_a_command_runs_in_the_image_and_its_report_comes_back(engine, image, run, containers):
    said: list[str] = []
    text = "echo one; echo two >&2; echo -n '<r/>' > /tmp/r.xml; exit 3"
    asked = script(run, text, reports=("/tmp/r.xml", "/tmp/nothing.xml"))
    ended = await engine.run(image, asked, said.append)
    assert (ended.exit_code, ended.reports, ended.out_of_memory) == (3, {"/tmp/r.xml": b"<r/>"}, False)
    assert sorted(said) == ["one", "two"]
    assert containers() == []


@pytest.mark.parametrize("report", ["/tmp/nothing.xml", "/tmp"])
async def test_a_report_that_is_missing_or_a_folder_is_none(engine, image, run, report):
    assert (await engine.run(image, script(run, "true", reports=(report,)), print)).reports == {}


async def test_the_container_has_its_limits_and_no_way_out(engine, image, run):
    said: list[str] = []
    limits = "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"  # cgroup v1, or v2
    text = f"ls /sys/class/net; cat /proc/self/status; cat {limits} 2>/dev/null"
    await engine.run(image, script(run, text, memory="64m"), said.append)
    assert said[0] == "lo"
    assert "NoNewPrivs:\t1" in said
    assert str(64 * 2**20) in said


async def test_a_report_that_is_too_large_is_not_read(engine, image, run, containers):
    with pytest.raises(InputError, match=r"/tmp/r\.xml has 20971520 bytes or more"):
        await engine.run(image, script(run, "head -c 20971520 /dev/zero > /tmp/r.xml", reports=("/tmp/r.xml",)), print)
    assert containers() == []


async def test_a_line_without_an_end_is_said_in_parts(engine, image, run):
    said: list[str] = []
    await engine.run(image, script(run, "printf %01000000d 0"), said.append)
    assert len(said) > 1
    assert "".join(said) == "0" * 1_000_000


async def test_the_images_own_entrypoint_does_not_come_before_the_command(engine, build, context, run):
    folder = context('ENTRYPOINT ["false"]')
    served = Image(build.repository, await engine.build(folder, build, lambda _: None))
    assert (await engine.run(served, script(run, "exit 3"), print)).exit_code == 3


async def test_variables_reach_the_command(engine, image, run):
    said: list[str] = []
    await engine.run(image, script(run, "echo $GREETING", environment={"GREETING": "a b"}), said.append)
    assert said == ["a b"]


async def test_the_kernels_kill_for_memory_is_told_apart(engine, image, run):
    ended = await engine.run(image, script(run, "tail /dev/zero", memory="16m"), print)
    assert ended.out_of_memory
    assert ended.exit_code == 137


async def test_the_kernels_kill_is_told_apart_though_the_engine_heard_of_it_late(
    engine, image, run, docker_api, monkeypatch
):
    inspect = docker_api.inspect_container

    def inspected_before_the_engine_heard(container: str) -> dict:
        # Only a busy machine has this order, and never when asked to.
        found = inspect(container)
        found["State"]["OOMKilled"] = False
        return found

    monkeypatch.setattr(docker_api, "inspect_container", inspected_before_the_engine_heard)
    assert (await engine.run(image, script(run, "tail /dev/zero", memory="16m"), print)).out_of_memory
    assert not (await engine.run(image, script(run, "exit 137"), print)).out_of_memory


async def test_a_command_that_takes_too_long_is_killed(engine, image, run, containers):
    with pytest.raises(DeadlineError, match=r"was killed after 0\.2 s"):
        await engine.run(image, script(run, "sleep 600", timeout=0.2), print)
    assert containers() == []


async def test_a_cancelled_run_leaves_no_container(engine, image, run, containers):
    started = asyncio.Event()
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(
        engine.run(image, script(run, "echo up; sleep 600"), lambda _: loop.call_soon_threadsafe(started.set))
    )
    await started.wait()
    assert len(containers()) == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert containers() == []


async def test_what_a_cancelled_run_was_reading_ends_in_no_error_for_nobody(engine, image, run):
    started, loop = asyncio.Event(), asyncio.get_running_loop()
    errors: list[dict] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    running = asyncio.ensure_future(
        engine.run(image, script(run, "echo up; sleep 600"), lambda _: loop.call_soon_threadsafe(started.set))
    )
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    async def has_read() -> bool:
        return "engine" not in [thread.name for thread in threading.enumerate()]

    await until(has_read)
    gc.collect()
    await asyncio.sleep(0)
    assert errors == []


async def test_a_container_that_somebody_removes_is_worth_a_retry(engine, image, run, containers, docker_api):
    removed: list[str] = []

    def remove(_: str) -> None:
        removed.append(containers()[0]["Id"])
        docker_api.remove_container(removed[0], force=True)

    with pytest.raises(UnavailableError, match="somebody removed the container"):
        await engine.run(image, script(run, "echo up; sleep 600"), remove)


async def test_what_a_killed_worker_left_is_removed_by_the_next_try(engine, image, run, docker_api, containers):
    left = docker_api.create_container(
        str(image), command=["sleep", "600"], labels={OPERATION_LABEL: run.operation}, network_disabled=True
    )
    others = docker_api.create_container(str(image), command=["true"], labels={OPERATION_LABEL: "another"})
    docker_api.start(left)
    try:
        together: list[int] = []
        await engine.run(image, script(run, "echo up; sleep 0.5"), lambda _: together.append(len(containers())))
        assert together == [1]
        assert containers() == []
        assert docker_api.inspect_container(others)
    finally:
        docker_api.remove_container(others)


async def test_an_image_that_is_not_on_the_engine_is_pulled(engine, image, run, docker_api):
    docker_api.remove_image(str(image), force=True)
    docker_api.remove_image(f"{image.repository}:{Build(image.repository).tag}", force=True)
    assert (await engine.run(image, script(run, "true"), print)).exit_code == 0


async def test_a_digest_that_the_registry_does_not_have_is_named(engine, image, run):
    gone = dataclasses.replace(image, digest="sha256:" + "0" * 64)
    with pytest.raises(NotFoundError, match=f"{gone} failed|{gone} cannot be pulled"):
        await engine.run(gone, run, print)


async def test_a_command_that_the_image_does_not_have_is_named(engine, image, run, containers):
    with pytest.raises(InputError, match=r"Starting pytest in .* failed: .*pytest"):
        await engine.run(image, dataclasses.replace(run, command=("pytest",)), print)
    assert containers() == []


async def test_an_engine_that_has_gone_is_worth_a_retry(image, run):
    from docker import APIClient

    gone = APIClient("tcp://127.0.0.1:1", version="1.41")

    async def nobody():
        return None

    with pytest.raises(UnavailableError, match="the Docker engine does not answer") as caught:
        await Engine(gone, nobody).run(image, run, print)
    gone.close()
    assert caught.value.retryable
