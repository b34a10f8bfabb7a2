"""A watcher tells of every head once, and its position moves after that is stored."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import uuid

import pytest
from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome

from tests.triggers.watching import State, triggerer, until
from tke_provider.exceptions import InputError
from tke_provider.triggers import pushes
from tke_provider.triggers.push_streams import PushStream
from tke_provider.triggers.pushes import GitHeadTrigger, TcrImageTrigger, asset_name


class Repository:
    def __init__(self, folder) -> None:
        self.url = f"file://{folder}"
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        done = subprocess.run(["git", *identity, *arguments], cwd=self.folder, check=True, capture_output=True)
        return done.stdout.decode().strip()

    def commit(self) -> str:
        self.git("commit", "--quiet", "--allow-empty", "--message=x")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


async def test_the_first_look_only_remembers_and_each_later_head_is_told(repository):
    first = repository.commit()
    trigger = GitHeadTrigger(git_url=repository.url)
    assert await trigger.news(None) == [(f"0 {first}", None)]
    second = repository.commit()
    told = {"git_url": repository.url, "branch": "main", "commit": second, "before": first, "number": "1"}
    assert await trigger.news(f"0 {first}") == [(f"1 {second}", told)]


async def test_a_stream_looks_at_who_watches_and_begins_where_it_ended(repository, monkeypatch):
    first, second = repository.commit(), repository.commit()
    trigger = GitHeadTrigger(git_url=repository.url)
    stored = {trigger.asset: f"4 {first}"}
    monkeypatch.setattr(PushStream, "_state", lambda _, asset: State(stored, asset))
    stream = trigger.create_shared_stream_producer(trigger.serialize()[1])
    listening = trigger.filter_shared_stream(_never())
    waiting = asyncio.ensure_future(anext(listening))
    async with contextlib.aclosing(stream.open_stream()) as told:
        (asset, event), behind = await anext(told)
    assert (asset, event["commit"], event["number"]) == (trigger.asset, second, "5")
    await stream.advance([AdvanceItem(behind, AdvanceOutcome(acked=1, failed=0))])
    assert stored == {trigger.asset: f"5 {second}"}
    waiting.cancel()
    await stream.aclose()


async def _never():
    await asyncio.Event().wait()
    yield None


async def test_a_head_that_is_told_again_is_the_same_event_and_one_that_came_back_is_another(repository):
    first, second = repository.commit(), repository.commit()
    trigger = GitHeadTrigger(git_url=repository.url)
    told = await trigger.news(f"0 {first}")
    assert await trigger.news(f"0 {first}") == told
    ((reached, _),) = told
    repository.git("reset", "--hard", first)
    ((_, back),) = await trigger.news(reached)
    assert (back["commit"], back["before"], back["number"]) == (first, second, "2")


async def test_a_host_that_does_not_answer_is_asked_again(repository, capsys):
    trigger = GitHeadTrigger(git_url=f"{repository.url}/missing")
    assert await trigger.look("0 a") == ()
    assert "Cannot look at git:" in capsys.readouterr().out


async def test_the_head_of_another_branch_that_ends_alike_is_not_taken(repository):
    commit = repository.commit()
    repository.git("branch", "feature/main")
    repository.git("branch", "release")
    repository.git("checkout", "--quiet", "release")
    repository.git("branch", "--delete", "--force", "main")
    assert await GitHeadTrigger(git_url=repository.url).look("0 a") == ()
    assert await GitHeadTrigger(git_url=repository.url, branch="release").look(None) == [(f"0 {commit}", None)]


async def test_a_branch_that_is_an_option_is_refused(repository):
    with pytest.raises(InputError, match="is no name of a branch"):
        await GitHeadTrigger(git_url="https://git.example/a.git", branch="--upload-pack=x").news(None)


def test_a_login_in_the_url_never_becomes_an_argument_that_is_stored():
    with pytest.raises(InputError, match="carries a login") as caught:
        GitHeadTrigger(git_url="https://bot:token-of-bot@git.example/a.git")
    assert "token-of-bot" not in str(caught.value)


def test_it_survives_the_way_through_the_database():
    trigger = GitHeadTrigger(git_url="https://git.example/a.git", branch="dev", git_conn_id="git", every=5)
    path, kwargs = trigger.serialize()
    assert path == "tke_provider.triggers.pushes.GitHeadTrigger"
    again = GitHeadTrigger(**kwargs)
    assert again.serialize() == trigger.serialize()
    assert again.shared_stream_key() == trigger.shared_stream_key()


async def test_images_are_asked_of_the_registry_that_the_connection_names(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    where = {"RegistryId": "tcr-local000", "NamespaceName": "test"}
    await _tcr("CreateRepository", {**where, "RepositoryName": "shop"})
    trigger = TcrImageTrigger(repository="test/shop", tag="v*")
    ((position, told),) = await trigger.look(None)
    assert told is None
    assert await trigger.look(position) == []
    path, kwargs = trigger.serialize()
    assert path == "tke_provider.triggers.pushes.TcrImageTrigger"
    assert TcrImageTrigger(**kwargs).serialize() == (path, kwargs)


async def _tcr(action: str, params: dict[str, str]) -> None:
    from tke_provider.hooks.tcr import TcrHook

    async with await TcrHook().client() as client:
        await client.call("tcr", "2019-09-24", action, params)


def test_the_asset_is_the_same_by_any_address_of_the_repository():
    assert asset_name("git@git.example:team/a.git", "main") == asset_name("https://git.example/team/a", "main")


async def test_each_watcher_passes_on_its_own_news():
    trigger = GitHeadTrigger(git_url="https://git.example/a.git")

    async def shared():
        yield "git:git.example/b@main", {"commit": "b"}
        yield trigger.asset, {"commit": "c"}

    assert [event.payload async for event in trigger.filter_shared_stream(shared())] == [{"commit": "c"}]


def test_repositories_of_one_host_and_login_share_a_loop():
    here, beside, elsewhere = (
        GitHeadTrigger(git_url=f"https://{where}.git") for where in ("git.example/a", "git.example/b", "host.example/a")
    )
    assert here.shared_stream_key() == beside.shared_stream_key() != elsewhere.shared_stream_key()
    login = GitHeadTrigger(git_url="https://git.example/a.git", git_conn_id="git")
    assert login.shared_stream_key() != here.shared_stream_key()
    assert (
        TcrImageTrigger(repository="a/b").shared_stream_key() == TcrImageTrigger(repository="a/c").shared_stream_key()
    )


async def test_a_host_that_hangs_is_given_up_and_asked_again(repository, monkeypatch, capsys):
    monkeypatch.setattr(pushes, "LONGEST_LOOK", 0.05)
    trigger = GitHeadTrigger(git_url=repository.url)
    monkeypatch.setattr(trigger, "news", lambda _: asyncio.sleep(60))
    assert await trigger.look(None) == ()
    assert "no answer within" in capsys.readouterr().out


@pytest.mark.stack
async def test_each_image_that_is_pushed_to_the_registry_is_told_once_over_a_restart(registry, tcr_cloud, monkeypatch):
    stored: dict[str, str] = {}
    monkeypatch.setattr(PushStream, "_state", lambda _, asset: State(stored, asset))
    repository = f"test/watched-{uuid.uuid4().hex}"

    def watcher() -> TcrImageTrigger:
        return TcrImageTrigger(repository=repository, tag="v*", every=0.2)

    registry.push(repository, "v1")
    async with triggerer() as running:
        running.watch(watcher())
        await until(lambda: stored)
        digests = [registry.push(repository, "v2")]
        await until(lambda: len(running.events) == 1)
        await running.stop()
        registry.push(repository, "nightly")
        digests.append(registry.push(repository, "v3"))
        running.watch(watcher())
        await until(lambda: len(running.events) == 2)
        await until(lambda: "v3" in stored[watcher().asset])
    assert [told["image"] for _, told in running.events] == [
        f"{registry.host}/{repository}@{digest}" for digest in digests
    ]
