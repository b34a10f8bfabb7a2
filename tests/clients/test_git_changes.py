"""Which files differ between two commits."""

from __future__ import annotations

import pytest

from tests.live_builders import git
from tke_provider.clients.git import changed_paths
from tke_provider.exceptions import InputError, NotFoundError


@pytest.fixture
def first(git_repository) -> str:
    return git_repository.commit({"shop/app.py": "1\n" * 20, "shop/old.py": "2\n" * 20, "stock/app.py": "3"})


async def changed(repository, before: str, commit: str) -> list[str]:
    return await changed_paths(repository.url, before, commit)


async def test_every_file_that_differs_is_named(git_repository, first):
    second = git_repository.commit({"shop/app.py": "4", "shop/new.py": "5"})
    assert await changed(git_repository, first, second) == ["shop/app.py", "shop/new.py"]
    assert await changed(git_repository, second, first) == ["shop/app.py", "shop/new.py"]


async def test_a_commit_does_not_differ_from_itself(git_repository, first):
    assert await changed(git_repository, first, first) == []


async def test_a_file_that_moved_to_another_service_changed_both(git_repository, first):
    git(git_repository.folder, "mv", "shop/old.py", "stock/old.py")
    second = git_repository.commit({})
    assert await changed(git_repository, first, second) == ["shop/old.py", "stock/old.py"]


async def test_names_are_read_as_git_has_them(git_repository, first):
    second = git_repository.commit({"shop/价格 \n.txt": "6"})
    assert await changed(git_repository, first, second) == ["shop/价格 \n.txt"]


async def test_thousands_of_changes_are_read(git_repository, first):
    names = [f"generated/{'x' * 80}/{number:05}" for number in range(3000)]
    second = git_repository.commit(dict.fromkeys(names, "7"))
    assert await changed(git_repository, first, second) == names


async def test_commits_on_different_branches_are_compared(git_repository, first):
    second = git_repository.commit({"shop/app.py": "8"})
    git(git_repository.folder, "checkout", "--quiet", "-b", "other", first)
    third = git_repository.commit({"stock/app.py": "9"})
    assert await changed(git_repository, second, third) == ["shop/app.py", "stock/app.py"]


@pytest.mark.parametrize("missing", ["before", "commit"])
async def test_a_commit_that_git_does_not_have_is_named(git_repository, first, missing):
    commits = {"before": first, "commit": first, missing: "d" * 40}
    with pytest.raises(NotFoundError, match="d" * 40):
        await changed(git_repository, **commits)


async def test_a_branch_is_refused(git_repository, first):
    with pytest.raises(InputError):
        await changed(git_repository, "main", first)
