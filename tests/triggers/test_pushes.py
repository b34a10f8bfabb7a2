"""A watcher tells of every head once, and its position moves after that is stored."""

from __future__ import annotations

import contextlib
import subprocess

import pytest
from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome

from tke_provider.exceptions import InputError, UnavailableError
from tke_provider.triggers.push_streams import PushStream
from tke_provider.triggers.pushes import GitHeadTrigger, asset_name

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
        assert await anext(stream) == (None, first)
        second = repository.commit()
        told = {"git_url": repository.url, "branch": "main", "commit": second, "before": first}
        assert await anext(stream) == (told, second)


async def test_what_came_while_nobody_watched_is_told(repository, stream_of):
    first, second = repository.commit(), repository.commit()
    async with contextlib.aclosing(stream_of(State(first)).open_stream()) as stream:
        told, position = await anext(stream)
    assert (told["commit"], told["before"], position) == (second, first, second)


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
    assert await trigger.look("a") == ()
    assert "Cannot look at git:" in capsys.readouterr().out


async def test_the_head_of_another_branch_that_ends_alike_is_not_taken(repository, stream_of):
    commit = repository.commit()
    repository.git("branch", "feature/main")
    repository.git("branch", "release")
    repository.git("checkout", "--quiet", "release")
    repository.git("branch", "--delete", "--force", "main")
    assert await GitHeadTrigger(git_url=repository.url).look("a") == ()
    assert await GitHeadTrigger(git_url=repository.url, branch="release").look(None) == [(commit, None)]


async def test_a_branch_that_is_an_option_is_refused(repository):
    with pytest.raises(InputError, match="is no name of a branch"):
        await GitHeadTrigger(git_url="https://git.example/a.git", branch="--upload-pack=x").news(None)


def test_it_survives_the_way_through_the_database():
    trigger = GitHeadTrigger(git_url="https://git.example/a.git", branch="dev", git_conn_id="git", every=5)
    path, kwargs = trigger.serialize()
    assert path == "tke_provider.triggers.pushes.GitHeadTrigger"
    again = GitHeadTrigger(**kwargs)
    assert again.serialize() == trigger.serialize()
    assert again.shared_stream_key() == trigger.shared_stream_key()


def test_the_asset_is_the_same_by_any_address_of_the_repository():
    assert asset_name("git@git.example:team/a.git", "main") == asset_name("https://git.example/team/a", "main")


async def test_news_become_events_and_the_first_look_does_not():
    async def shared():
        yield None
        yield {"commit": "c"}

    trigger = GitHeadTrigger(git_url="https://git.example/a.git")
    assert [event.payload async for event in trigger.filter_shared_stream(shared())] == [{"commit": "c"}]
