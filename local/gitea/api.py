"""The little of Gitea's API that the demo and the tests need: a repository, and who is told of its pushes."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from local import StackError


@dataclass(frozen=True)
class GitHost:
    """A Gitea and the login of its one user."""

    url: str
    user: str
    password: str = field(repr=False)

    def repository(self, name: str) -> str:
        """Make a repository that anybody may read, if there is none of that name, and return its address."""
        made = self._ask("POST", "user/repos", {"name": name, "default_branch": "main"})
        if made.status_code not in {HTTPStatus.CREATED, HTTPStatus.CONFLICT}:
            raise StackError(f"Gitea did not make the repository {name}: {made.text}")
        return f"{self.url}/{self.user}/{name}.git"

    def webhook(self, name: str, target: str, secret: str) -> None:
        """Let pushes to a repository be delivered to one address alone."""
        self.silence(name)
        config = {"url": target, "content_type": "json", "secret": secret}
        hook = {"type": "gitea", "active": True, "events": ["push"], "config": config}
        self._ask("POST", f"repos/{self.user}/{name}/hooks", hook).raise_for_status()

    def silence(self, name: str) -> None:
        """Let pushes to a repository be delivered to nobody."""
        hooks = f"repos/{self.user}/{name}/hooks"
        for hook in self._ask("GET", hooks).raise_for_status().json():
            self._ask("DELETE", f"{hooks}/{hook['id']}").raise_for_status()

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        return httpx.request(
            method, f"{self.url}/api/v1/{path}", json=body, auth=(self.user, self.password), timeout=30
        )
