from __future__ import annotations

import pytest

from tke_provider.domain.commits import commit_page

SHA = "a" * 40


@pytest.mark.parametrize(
    ("git_url", "page"),
    [
        ("https://github.com/team/shop.git", f"https://github.com/team/shop/commit/{SHA}"),
        ("git@github.com:Team/shop.git", f"https://github.com/Team/shop/commit/{SHA}"),
        ("ssh://git@gitlab.com:22/a/b/shop", f"https://gitlab.com/a/b/shop/-/commit/{SHA}"),
        ("https://e.coding.net/team/project/shop.git", f"https://team.coding.net/p/project/d/shop/git/commit/{SHA}"),
        ("https://git.code.tencent.com/team/shop.git", f"https://git.code.tencent.com/team/shop/commit/{SHA}"),
        ("https://git.example.com/team/shop.git", ""),
        ("/srv/git/shop", ""),
        ("https://[", ""),
        ("https://github.com/", ""),
    ],
)
def test_a_commit_has_a_page_at_the_hosts_that_are_known(git_url, page):
    assert commit_page(git_url, SHA) == page


def test_what_is_no_commit_has_no_page():
    assert commit_page("https://github.com/team/shop.git", "main") == ""


def test_a_login_in_the_address_is_not_shown():
    assert "token" not in commit_page("https://user:token@github.com/team/shop.git", SHA)
