from __future__ import annotations

import asyncio
import datetime as dt
import re
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.live_builders import connection_to, git
from tke_provider.clients.registry import ImageRegistry
from tke_provider.domain.images import CREATED, REVISION, SOURCE, Image
from tke_provider.exceptions import InputError, UnavailableError
from tke_provider.operators.images import TkeBuildImageOperator

CONTEXT = {"ti": SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=0)}
DOCKERFILE = "ARG BASE\nFROM ${{BASE}}\n{line}\n"


@pytest.fixture
def source(git_repository):
    """A git repository with two services, of which one does not build; and the commit."""
    lines = {"web": "COPY . /web", "broken": "COPY missing /"}
    files = {f"{name}/Dockerfile": DOCKERFILE.format(line=line) for name, line in lines.items()}
    return git_repository, git_repository.commit(files)


@pytest.fixture(params=["engine", "buildkit"])
def builder(request, monkeypatch):
    """What builds: arguments of the task, and those with which nothing answers."""
    if request.param == "engine":
        return {"builder": "engine"}, {"docker_url": "tcp://127.0.0.1:1"}
    from local.endpoints import BUILDKIT_FOLDER, BUILDKIT_IMAGE

    _, namespace = request.getfixturevalue("build_pods")
    monkeypatch.setenv("AIRFLOW_CONN_NOWHERE", connection_to(BUILDKIT_FOLDER, "tcp://10.199.0.1:1"))
    pod = {"buildkit_image": BUILDKIT_IMAGE, "namespace": namespace}
    return {"builder": "buildkit", **pod}, {"buildkit_conn_id": "nowhere"}


@pytest.fixture
def build(source, builder, pushed_base, repository, registry, monkeypatch):
    """A build task, with more arguments or other ones."""
    conn_id = registry.connect(monkeypatch, "registry")

    def task(**more: object) -> TkeBuildImageOperator:
        known = {"repository": repository, "git_url": source[0].url, "commit": source[1], "subdirectory": "web"}
        known |= {"build_args": {"BASE": pushed_base}, "docker_conn_id": conn_id, **builder[0]}
        return TkeBuildImageOperator(task_id="build", **{**known, **more})

    return task


def refused(task, error: type[Exception] = AirflowFailException) -> str:
    with pytest.raises(error) as caught:
        task.execute(CONTEXT)
    return str(caught.value)


@pytest.mark.stack
async def test_a_commit_becomes_an_image_with_its_origin_in_it(build, source, registry):
    image = Image.parse(await asyncio.to_thread(build().execute, CONTEXT))
    assert image.commit == source[1]
    async with ImageRegistry(registry.host, registry.login()) as speaker:
        labels = await speaker.labels(image.path, image.digest)
    committed = git(source[0].folder, "show", "--no-patch", "--format=%ct", source[1])
    assert (labels[SOURCE], labels[REVISION]) == (source[0].url, source[1])
    assert dt.datetime.fromisoformat(labels[CREATED]).timestamp() == int(committed)


@pytest.mark.stack
def test_the_same_commit_and_inputs_are_built_once(build, builder):
    first = build().execute(CONTEXT)
    assert build(**builder[1]).execute(CONTEXT) == first
    other = {"builder": "buildkit", "buildkit_image": "none"}
    if builder[0]["builder"] == "buildkit":
        other = {"builder": "engine", "docker_url": "tcp://127.0.0.1:1"}
    assert build(**other).execute(CONTEXT) == first
    assert re.search(
        "No Docker engine answers|BuildKit does not answer", refused(build(**builder[1], target="0"), UnavailableError)
    )


@pytest.mark.stack
def test_a_builder_that_has_its_cache_makes_the_same_digest_for_another_repository(build, repository):
    first = build().execute(CONTEXT)
    assert build(repository=f"{repository}/again").execute(CONTEXT)["digest"] == first["digest"]


@pytest.mark.stack
async def test_an_image_for_the_platform_of_the_builder_is_built(build, registry):
    image = Image.parse(await asyncio.to_thread(build(platform="linux/amd64").execute, CONTEXT))
    async with ImageRegistry(registry.host, registry.login()) as speaker:
        _, manifest = await speaker._manifest(image.path, image.digest)
        configuration = (await speaker._ask("GET", image.path, f"blobs/{manifest['config']['digest']}")).json()
    assert (configuration["os"], configuration["architecture"]) == ("linux", "amd64")


@pytest.mark.stack
@pytest.mark.parametrize("builder", ["engine"], indirect=True)
async def test_an_engine_that_does_not_make_the_platform_that_was_asked_for_pushes_nothing(build, registry):
    task = build(platform="linux/arm64")
    message = await asyncio.to_thread(refused, task)
    assert "was to be for linux/arm64, and the engine made it for linux/amd64" in message
    assert "use builder='buildkit'; nothing was pushed" in message
    async with ImageRegistry(registry.host, registry.login()) as speaker:
        path = task.repository.partition("/")[2]
        assert await speaker.digest(path, task._build(task.repository).tag) is None


@pytest.mark.stack
def test_an_image_that_somebody_else_gave_the_tag_is_not_taken_for_the_build(build, repository, docker_api, registry):
    task = build()
    tag = task._build(repository).tag
    docker_api.tag(build().build_args["BASE"], repository, tag)
    auth = {"username": registry.username, "password": registry.password}
    docker_api.push(repository, tag, auth_config=auth)
    foreign = docker_api.inspect_distribution(f"{repository}:{tag}", auth)["Descriptor"]["digest"]
    assert task.execute(CONTEXT)["digest"] != foreign


@pytest.mark.stack
def test_a_folder_on_the_worker_is_built_every_time(build, context):
    folder = {"git_url": None, "commit": None, "subdirectory": ".", "context_path": str(context("COPY . /web"))}
    folder |= {"builder": "engine"}
    first = build(**folder).execute(CONTEXT)
    context("COPY . /web")
    second = build(**folder).execute(CONTEXT)
    assert first["digest"] != second["digest"]
    assert second["commit"] == ""


@pytest.mark.stack
def test_a_dockerfile_that_fails_ends_the_task_at_once(build):
    message = refused(build(subdirectory="broken"))
    assert "does not build" in message
    assert "COPY missing /" in message


@pytest.mark.stack
def test_a_commit_that_does_not_exist_ends_the_task_at_once(build, source):
    assert f"{source[0].url} has no commit {'0' * 40}" in refused(build(commit="0" * 40))


@pytest.mark.stack
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"subdirectory": "nothing"}, "The source has no folder 'nothing'"),
        ({"subdirectory": "../../.."}, "The source has no folder '../../..'"),
        ({"dockerfile": "nothing"}, "Folder 'web' of the source has no 'nothing'"),
        ({"dockerfile": "/etc/hostname"}, "has no '/etc/hostname'"),
        ({"dockerfile": "../broken/Dockerfile"}, "has no '../broken/Dockerfile'"),
    ],
)
def test_nothing_outside_of_the_source_is_built(build, wrong, message):
    assert message in refused(build(**wrong))


@pytest.mark.stack
def test_a_wrong_registry_password_ends_the_task_before_anything_is_fetched(build, registry, monkeypatch):
    conn_id = registry.connect(monkeypatch, "wrong", password="wrong-password")
    message = refused(build(docker_conn_id=conn_id, git_url="http://127.0.0.1:1/nothing.git"))
    assert f"Registry {registry.host} refuses the login" in message
    assert "wrong-password" not in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "has neither git_url nor context_path"),
        ({"git_url": "https://git.example/web", "context_path": "/web"}, "has both git_url and context_path"),
        ({"git_url": "https://git.example/web"}, "'' is no full commit SHA"),
        ({"git_url": "https://git.example/web", "commit": "main"}, "'main' is no full commit SHA"),
        ({"git_url": "ext::evil", "commit": "0" * 40}, "no git repository"),
        ({"context_path": "/nothing"}, "The source has no folder"),
        ({"context_path": "/nothing", "build_args": "A=1"}, "build_args of task build is a str"),
    ],
)
def test_wrong_input_ends_the_task_at_once_and_without_the_network(arguments, message):
    assert message in refused(TkeBuildImageOperator(task_id="build", repository="127.0.0.1:1/web", **arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"secrets": {"npmrc": "npm"}}, "The engine cannot build with secrets"),
        ({"cache_tag": "cache"}, "The engine cannot build with cache_tag"),
        ({"attestations": {"provenance": "mode=max"}}, "The engine cannot build with attestations"),
        ({"platform": "linux/amd64,linux/arm64"}, "The engine cannot build with platform linux/amd64,linux/arm64"),
        ({"builder": "buildkit"}, "no image for the pod that asks BuildKit"),
        ({"builder": "buildkit", "git_url": "git@git.example:web.git"}, "BuildKit cannot fetch from"),
        ({"builder": "buildkit", "git_url": None, "commit": None, "context_path": "/"}, "not folders on the worker"),
        ({"builder": "buildkit", "attestations": {"magic": ""}}, "attestations has magic"),
        ({"builder": "buildkit", "pod_spec": {"volumes": []}}, "pod_spec has volumes"),
        ({"builder": "buildkit", "buildkit_config": "debug = true"}, "A shared daemon has its configuration"),
    ],
)
def test_what_a_builder_cannot_do_is_refused_without_the_network(arguments, message):
    known = {"git_url": "https://git.example/web.git", "commit": "0" * 40, "repository": "127.0.0.1:1/web"}
    assert message in refused(TkeBuildImageOperator(task_id="build", **{**known, **arguments}))


@pytest.mark.parametrize("argument", ["builder", "buildkit_daemon"])
def test_an_unknown_builder_or_daemon_is_refused_when_the_dag_is_parsed(argument):
    with pytest.raises(InputError, match=f"{argument} is 'magic'"):
        TkeBuildImageOperator(task_id="build", repository="127.0.0.1:1/web", **{argument: "magic"})


def test_the_pod_runs_in_the_cluster_of_the_region_that_is_named():
    task = TkeBuildImageOperator(task_id="build", repository="a", builder="buildkit", region="ap-shanghai")
    builder = task._builder(task.registry_hook(), "operation")
    assert builder.cluster.region == "ap-shanghai"
    assert "region" in task.template_fields


def test_a_build_argument_that_sounds_secret_is_warned_of_without_its_value(capsys):
    task = TkeBuildImageOperator(
        task_id="build", repository="127.0.0.1:1/web", context_path="/", build_args={"NPM_TOKEN": "hunter2"}
    )
    task._build("127.0.0.1:1/web")
    said = capsys.readouterr().out
    assert "NPM_TOKEN stays readable in the image" in said
    assert "hunter2" not in said
