from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import gettempdir

import pytest

from tests.live_builders import BASIC, PASSWORD, git
from tke_provider.clients.git import GitLogin, _Git, check_source, checkout, commit_time, commit_times, host_of
from tke_provider.exceptions import CredentialError, InputError, NotFoundError, UnavailableError


def commit(folder: Path, text: str) -> str:
    (folder / "file").write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "-m", text)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    """A repository of two commits, of which the second is on no branch any more."""
    folder = tmp_path / "repository.git"
    folder.mkdir()
    git(folder, "init")
    first = commit(folder, "first")
    second = commit(folder, "second")
    return folder, first, second


@pytest.fixture
def host(git_host):
    """A git host that wants a login: its address, and the Authorization headers that it was shown."""
    address, handler = git_host(login=True)
    return address, handler.seen


async def read(url: str, sha: str, login: GitLogin | None = None) -> str:
    async with checkout(url, sha, login) as folder:
        return (folder / "file").read_text()


def left_behind() -> list[Path]:
    return list(Path(gettempdir()).glob("tke-checkout-*"))


async def test_exactly_the_commit_is_there_without_its_history_and_the_folder_is_gone_afterwards(repository):
    folder, first, _ = repository
    async with checkout(str(folder), first) as found:
        assert [path.name for path in found.iterdir()] == ["file"]
        assert (found / "file").read_text() == "first"
    assert not found.exists()


async def test_everything_carries_the_time_of_the_commit_whenever_it_was_fetched(repository):
    folder, first, _ = repository
    committed = int(git(folder, "show", "--no-patch", "--format=%ct", first))
    async with checkout(str(folder), first) as found:
        assert {path.stat().st_mtime for path in (found, *found.rglob("*"))} == {committed}


@pytest.mark.parametrize("filtering", ["true", "false"])
async def test_the_time_of_a_commit_is_known_without_its_files_where_the_server_can(repository, filtering):
    folder, first, _ = repository
    git(folder, "config", "uploadpack.allowFilter", filtering)
    committed = int(git(folder, "show", "--no-patch", "--format=%ct", first))
    assert await commit_time(f"file://{folder}", first) == committed


async def test_the_folder_is_gone_when_its_user_fails(repository):
    folder, first, _ = repository
    with pytest.raises(RuntimeError):
        async with checkout(f"file://{folder}", first) as found:
            raise RuntimeError
    assert not found.exists()


@pytest.fixture
def fetches(monkeypatch):
    """How often git fetched."""
    counted, run = [], _Git.run

    async def counting(self, *arguments):
        counted.extend(each for each in arguments[:1] if each == "fetch")
        return await run(self, *arguments)

    monkeypatch.setattr(_Git, "run", counting)
    return counted


async def test_the_times_of_many_commits_are_fetched_at_once(repository, fetches):
    folder, first, second = repository
    times = await commit_times(f"file://{folder}", [first, second])
    assert times == {each: int(git(folder, "show", "--no-patch", "--format=%ct", each)) for each in (first, second)}
    assert len(fetches) == 1
    assert await commit_times("https://nowhere.example/a", []) == {}


async def test_a_commit_that_is_not_there_costs_one_fetch_more_and_is_left_out(repository, fetches):
    folder, first, _ = repository
    assert set(await commit_times(f"file://{folder}", [first, "0" * 40, "1" * 40])) == {first}
    assert len(fetches) == 2


async def test_what_is_no_full_sha_is_refused_before_anything_is_fetched(repository, fetches):
    folder, first, _ = repository
    with pytest.raises(InputError, match="'main' is no full commit SHA"):
        await commit_times(f"file://{folder}", [first, "main"])
    assert fetches == []


async def test_a_server_that_hands_out_branches_only_is_asked_for_all_of_them(repository, tmp_path, monkeypatch):
    folder, first, _ = repository
    # Protocol 0, which older servers speak, refuses a commit that no branch points at.
    (tmp_path / ".gitconfig").write_text("[protocol]\n\tversion = 0\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert await read(f"file://{folder}", first) == "first"


@pytest.mark.parametrize("scheme", ["", "file://"])
async def test_a_commit_that_does_not_exist_is_named_with_its_repository(repository, scheme):
    folder, *_ = repository
    before = left_behind()
    with pytest.raises(NotFoundError, match=f"{folder} has no commit {'0' * 40} on any branch or tag"):
        await read(f"{scheme}{folder}", "0" * 40)
    assert left_behind() == before


async def test_a_branch_is_refused_because_it_may_mean_something_else_tomorrow(repository):
    with pytest.raises(InputError, match="'main' is no full commit SHA"):
        await read(str(repository[0]), "main")


async def test_a_repository_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(NotFoundError, match=f"There is no git repository {tmp_path}/nothing"):
        await read(f"{tmp_path}/nothing", "0" * 40)


async def test_a_host_that_does_not_answer_is_worth_a_retry():
    with pytest.raises(UnavailableError, match=r"127.0.0.1:1/web failed: .*Failed to connect") as caught:
        await read("https://127.0.0.1:1/web", "0" * 40)
    assert caught.value.retryable


async def test_a_login_opens_a_repository_and_is_left_nowhere(repository, host, tmp_path, monkeypatch):
    _, first, _ = repository
    address, seen = host
    kept = tmp_path / "credentials"
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f"[credential]\n\thelper = store --file={kept}\n")
    monkeypatch.setenv("HOME", str(home))
    async with checkout(f"http://{address}/repository.git", first, GitLogin(address, "test", PASSWORD)) as found:
        files = [path for path in found.rglob("*") if path.is_file()]
        assert [path for path in files if PASSWORD in path.read_text()] == []
    assert BASIC in seen
    assert not kept.exists()


@pytest.mark.parametrize("login", [None, "wrong"])
async def test_a_refused_login_says_so_without_the_password(repository, host, login):
    address, _ = host
    given = GitLogin(address, "test", login) if login else None
    with pytest.raises(CredentialError, match="git_conn_id") as caught:
        await read(f"http://{address}/repository.git", repository[1], given)
    causes = f"{caught.value} {caught.value.__cause__!r} {caught.value.__cause__}"
    assert "wrong" not in causes


async def test_a_login_is_never_shown_to_another_host(repository, host):
    address, seen = host
    with pytest.raises(InputError, match=r"is for git\.example\.com, and the repository"):
        await read(f"http://{address}/repository.git", repository[1], GitLogin("git.example.com", "test", PASSWORD))
    assert seen == []


async def test_a_password_is_not_sent_unencrypted_to_another_machine():
    with pytest.raises(InputError, match="unencrypted"):
        await read("http://git.example.com/web", "0" * 40, GitLogin("git.example.com", "test", PASSWORD))


async def test_a_cancelled_fetch_ends_its_process_and_deletes_its_folder(tmp_path):
    before = left_behind()
    asked = asyncio.Event()

    async def never_answer(reader, writer):
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    fetching = asyncio.ensure_future(read(f"http://127.0.0.1:{port}/web", "0" * 40))
    await asked.wait()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert left_behind() == before
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "repository",
    [
        "ext::sh -c 'touch /tmp/x'",
        "fd::3",
        "-u./evil",
        "--upload-pack=evil",
        "ssh://-oProxyCommand=evil/web",
        "-oProxyCommand=evil:web",
        "ftp://example.com/web",
        "https:///web",
        "../relative",
        "https://example.com/web\nhttps://evil",
        "",
    ],
)
def test_what_would_run_a_program_or_is_no_repository_is_refused(repository):
    with pytest.raises(InputError, match="no git repository"):
        check_source(repository)


@pytest.mark.parametrize("login", ["user:hunter2@", "hunter2@"])
def test_a_url_with_a_login_in_it_is_refused_without_being_quoted(login):
    with pytest.raises(InputError, match="git_conn_id") as caught:
        check_source(f"https://{login}git.example.com/web")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("repository", "host"),
    [
        ("https://git.example.com/team/web.git", "git.example.com"),
        ("http://127.0.0.1:3000/web", "127.0.0.1:3000"),
        ("ssh://git@git.example.com:2222/web", "git.example.com:2222"),
        ("git@git.example.com:team/web.git", "git.example.com"),
        ("/srv/git/web.git", ""),
        ("file:///srv/git/web.git", ""),
    ],
)
def test_every_form_of_a_repository_is_taken_and_its_host_known(repository, host):
    check_source(repository)
    assert host_of(repository) == host
