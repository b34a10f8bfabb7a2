"""Where people read a commit: its page at the git hosts that are known."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)")
_CODING = "e.coding.net"
_CODING_PARTS = 3
"""Team, project and repository."""
_PAGES = {
    "github.com": "commit",
    "gitlab.com": "-/commit",
    "gitee.com": "commit",
    "gitea.com": "commit",
    "codeberg.org": "commit",
    "bitbucket.org": "commits",
    "git.code.tencent.com": "commit",
    "git.tencent.com": "commit",
}


def commit_page(git_url: str, commit: str) -> str:
    """Return the page of a commit; empty at a host whose pages are not known.

    :param git_url: as it is cloned from, by HTTPS or SSH.
    """
    host, path = _place(git_url)
    if not (path and _SHA.fullmatch(commit)):
        return ""
    parts = path.split("/")
    if host == _CODING and len(parts) == _CODING_PARTS:
        team, project, repository = parts
        return f"https://{team}.coding.net/p/{project}/d/{repository}/git/commit/{commit}"
    return f"https://{host}/{path}/{_PAGES[host]}/{commit}" if host in _PAGES else ""


def _place(git_url: str) -> tuple[str, str]:
    scp = None if "://" in git_url else _SCP.fullmatch(git_url)
    try:
        url = urlsplit(git_url)
        host, path = scp.groups() if scp else (url.hostname or "", url.path)
    except ValueError:
        return "", ""
    return host.lower(), quote(path.strip("/").removesuffix(".git"), safe="/")
