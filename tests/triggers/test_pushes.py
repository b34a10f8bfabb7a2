"""A watcher tells of every head once, and its position moves after that is stored."""

from __future__ import annotations

import contextlib
import subprocess

import pytest
from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome

from tke_provider.exceptions import InputError, UnavailableError
from tke_provider.triggers.push_streams import PushStream
from tke_provider.triggers.pushes import GitHeadTrigger, TcrImageTrigger, asset_name

STORED, LOST = AdvanceOutcome(acked=1, failed=0), AdvanceOutcome(acked=0, failed=1)


class State:
    """Airflow's asset state, which only a triggerer has."""

    def __init__(self, position: str | None = None) -> None:
        self.position = position

    async def aget(self, key: str) -> str | None:
        assert key == "position"
        return self.position

    async def aset(self, key: str, value: str) -> None:
        assert key == "position"
        self.position = value


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


@pytest.fixture
def stream_of(repository):
    def make(state: State, **more: object) -> PushStream:
        stream = PushStream(GitHeadTrigger(git_url=repository.url, **{"every": 0.01} | more))
        stream._state = lambda: state
        return stream

    return make


async def test_the_first_look_only_remembers_and_each_later_head_is_told(repository, stream_of):
    first = repository.commit()
    async with contextlib.aclosing(stream_of(State()).open_stream()) as stream:
        assert await anext(stream) == (None, f"0 {first}")
        second = repository.commit()
        told = {"git_url": repository.url, "branch": "main", "commit": second, "before": first, "number": "1"}
        assert await anext(stream) == (told, f"1 {second}")


async def test_what_came_while_nobody_watched_is_told(repository, stream_of):
    first, second = repository.commit(), repository.commit()
    async with contextlib.aclosing(stream_of(State(f"4 {first}")).open_stream()) as stream:
        told, position = await anext(stream)
    assert (told["commit"], told["before"], told["number"], position) == (second, first, "5", f"5 {second}")


async def test_a_head_that_is_told_again_is_the_same_event_and_one_that_came_back_is_another(repository):
    first, second = repository.commit(), repository.commit()
    trigger = GitHeadTrigger(git_url=repository.url)
    told = await trigger.news(f"0 {first}")
    assert await trigger.news(f"0 {first}") == told
    ((reached, _),) = told
    repository.git("reset", "--hard", first)
    ((_, back),) = await trigger.news(reached)
    assert (back["commit"], back["before"], back["number"]) == (first, second, "2")


async def test_the_position_moves_when_the_event_is_stored(stream_of):
    state = State("a")
    await stream_of(state).advance([AdvanceItem("b", STORED), AdvanceItem("c", STORED)])
    assert state.position == "c"


async def test_an_event_that_was_not_stored_is_told_again(stream_of):
    state = State("a")
    with pytest.raises(UnavailableError):
        await stream_of(state).advance([AdvanceItem("b", STORED), AdvanceItem("c", LOST)])
    assert state.position == "a"


async def test_a_host_that_does_not_answer_is_asked_again(repository, capsys):
    trigger = GitHeadTrigger(git_url=f"{repository.url}/missing")
    assert await trigger.look("0 a") == ()
    assert "Cannot look at git:" in capsys.readouterr().out


async def test_the_head_of_another_branch_that_ends_alike_is_not_taken(repository, stream_of):
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


async def test_news_become_events_and_the_first_look_does_not():
    async def shared():
        yield None
        yield {"commit": "c"}

    trigger = GitHeadTrigger(git_url="https://git.example/a.git")
    assert [event.payload async for event in trigger.filter_shared_stream(shared())] == [{"commit": "c"}]
