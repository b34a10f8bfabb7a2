"""The sample application as a real git repository, and the commits that the demo hands to the pipeline."""

from __future__ import annotations

import base64
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local import ROOT
from local.process import run

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = ROOT / "local" / "sample"
_AUTHOR = ("-c", "user.name=Shop", "-c", "user.email=shop@example.com", "-c", "commit.gpgsign=false")


@dataclass(frozen=True)
class Repository:
    """A git repository with a work tree.

    :param folder: its work tree, made where it does not exist.
    """

    folder: Path

    @property
    def url(self) -> str:
        """Where it is cloned from."""
        return self.folder.as_uri()

    def git(self, *words: str) -> str:
        """Run git in it."""
        return run(["git", "-C", self.folder, *_AUTHOR, *words], f"git {words[0]}").strip()

    def commit_sample(self) -> str:
        """Commit the sample as it stands, if it changed, and return the commit that holds it."""
        return self.commit("Sell tea", {})

    def commit(self, message: str, edits: dict[str, tuple[str, str]]) -> str:
        """Commit the sample with edits, and return the commit's SHA; the one that is there when nothing changed.

        :param edits: file to (text in the sample, what stands there instead).
        """
        if not (self.folder / ".git").is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.git("init", "--quiet", "--initial-branch=main")
        shutil.copytree(SAMPLE, self.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        for name, (before, after) in edits.items():
            text = (SAMPLE / name).read_text()
            if text.count(before) != 1:
                raise ValueError(f"{before!r} stands {text.count(before)} times in {name}, not once")
            (self.folder / name).write_text(text.replace(before, after))
        self.git("add", "--all")
        if self.git("status", "--porcelain"):
            self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def push(self, url: str, user: str, password: str) -> bool:
        """Push the branch to a Git host, and return whether that was news there."""
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        # In the environment, where no list of processes shows it.
        header = {"GIT_CONFIG_KEY_0": f"http.{url}.extraHeader", "GIT_CONFIG_VALUE_0": f"Authorization: Basic {login}"}
        env = os.environ | {"GIT_CONFIG_COUNT": "1", "GIT_TERMINAL_PROMPT": "0"} | header
        said = run(
            ["git", "-C", self.folder, "push", "--force", "--porcelain", url, "HEAD:refs/heads/main"],
            "git push",
            env=env,
        )
        return not any(line.startswith("=") for line in said.splitlines())


#: A mistake that the unit tests find.
WRONG_STOCK = {"stock/app.py": ("max(0, count - sold.get(name, 0))", "count + sold.get(name, 0)")}
#: A mistake that only a start finds.
CRASHING_PRICES = {
    "prices/app.py": (
        'if __name__ == "__main__":\n',
        'if __name__ == "__main__":\n    raise SystemExit("no price list: PRICE_LIST is not set")\n',
    )
}
#: A mistake that shows only in time: it starts, and is never ready.
UNREADY_SHOP = {"shop/app.py": ('return self.reply({"commit": COMMIT})', "return self.send_error(503)")}
