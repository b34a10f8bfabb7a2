"""The commit that a task builds or releases, where people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink

from tke_provider.domain.commits import commit_page

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class CommitLink(BaseOperatorLink):
    """The page of the commit, from the operator's ``git_url`` and ``commit``."""

    name = "Commit"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002  # Airflow's signature
        """Return its page at the git host; nothing at a host whose pages are not known."""
        git_url, commit = (getattr(operator, name, None) for name in ("git_url", "commit"))
        return commit_page(git_url, commit) if isinstance(git_url, str) and isinstance(commit, str) else ""
