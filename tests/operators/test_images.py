from __future__ import annotations

import asyncio
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tke_provider.clients.registry import ImageRegistry
from tke_provider.domain.images import SOURCE, Image
from tke_provider.exceptions import UnavailableError
from tke_provider.operators.images import TcrPromoteImageOperator, TkeBuildImageOperator

if TYPE_CHECKING:
    from pathlib import Path

CONTEXT = {"ti": SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=0)}
# No engine answers here, so a task that succeeds with it has built nothing.
NO_ENGINE = "tcp://127.0.0.1:1"


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    done = subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def source(tmp_path, base):
    """A git repository with two services, of which one does not build; its path, and the commit."""
    folder = tmp_path / "shop.git"
    for service, line in (("web", "COPY . /web"), ("broken", "COPY missing /")):
        (folder / service).mkdir(parents=True)
        (folder / service / "Dockerfile").write_text(f"ARG BASE\nFROM ${{BASE}}\n{line}\n")
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "all")
    return str(folder), git(folder, "rev-parse", "HEAD")


@pytest.fixture
def build(source, base, repository, registry, monkeypatch):
    """A build task, with more arguments or other ones."""
    conn_id = registry.connect(monkeypatch, "registry")

    def task(**more: object) -> TkeBuildImageOperator:
        known = {"repository": repository, "git_url": source[0], "commit": source[1], "subdirectory": "web"}
        known |= {"build_args": {"BASE": base}, "docker_conn_id": conn_id}
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
        assert (await speaker.labels(image.path, image.digest))[SOURCE] == source[0]


@pytest.mark.stack
def test_the_same_commit_and_inputs_are_built_once(build):
    first = build().execute(CONTEXT)
    assert build(docker_url=NO_ENGINE).execute(CONTEXT) == first
    assert "No Docker engine answers" in refused(build(docker_url=NO_ENGINE, target="0"), UnavailableError)


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
    assert f"{source[0]} has no commit {'0' * 40}" in refused(build(commit="0" * 40))


@pytest.mark.stack
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"subdirectory": "nothing"}, "The source has no folder 'nothing'"),
        ({"subdirectory": "../../.."}, "The source has no folder '../../..'"),
        ({"dockerfile": "nothing"}, "Folder 'web' of the source has no 'nothing'"),
        ({"dockerfile": "/etc/hostname"}, "has no '/etc/hostname'"),
    ],
)
def test_nothing_outside_of_the_source_is_built(build, wrong, message):
    assert message in refused(build(**wrong))


@pytest.mark.stack
def test_a_wrong_registry_password_ends_the_task_before_anything_is_fetched(build, registry, monkeypatch):
    conn_id = registry.connect(monkeypatch, "wrong", password="wrong-password")
    message = refused(build(docker_conn_id=conn_id, git_url="/nothing"))
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


def test_an_unknown_builder_is_refused(tmp_path):
    (tmp_path / "Dockerfile").touch()
    task = TkeBuildImageOperator(
        task_id="build", repository="127.0.0.1:1/web", context_path=str(tmp_path), builder="magic"
    )
    assert "There is no builder 'magic'" in refused(task)


def test_a_build_argument_that_sounds_secret_is_warned_of_without_its_value(capsys):
    task = TkeBuildImageOperator(
        task_id="build", repository="127.0.0.1:1/web", context_path="/", build_args={"NPM_TOKEN": "hunter2"}
    )
    task._build("127.0.0.1:1/web")
    said = capsys.readouterr().out
    assert "NPM_TOKEN stays readable in the image" in said
    assert "hunter2" not in said


@pytest.mark.stack
def test_what_was_tested_is_promoted_digest_and_all_and_repeating_it_changes_nothing(build, repository):
    image = build().execute(CONTEXT)
    for _ in range(2):
        promote = TcrPromoteImageOperator(
            task_id="promote", image=image, to_repository=f"{repository}/production", docker_conn_id="registry"
        )
        assert promote.execute(CONTEXT) == {**image, "repository": f"{repository}/production"}


@pytest.mark.stack
def test_a_promotion_does_not_move_a_tag(build, repository):
    to = {"to_repository": f"{repository}/production", "tag": "1.0", "docker_conn_id": "registry"}
    image = build().execute(CONTEXT)
    TcrPromoteImageOperator(task_id="promote", image=image, **to).execute(CONTEXT)
    other = build(build_args={**build().build_args, "MORE": "1"}).execute(CONTEXT)
    assert "would have to move" in refused(TcrPromoteImageOperator(task_id="promote", image=other, **to))


def test_a_tag_is_not_promoted_because_it_may_mean_something_else_by_now():
    task = TcrPromoteImageOperator(
        task_id="promote", image="registry.example/web:1", to_repository="registry.example/x"
    )
    assert "without a digest" in refused(task)
