from __future__ import annotations

import asyncio
import subprocess

import pytest

from tke_provider.exceptions import InputError, ManifestError
from tke_provider.hooks.manifests import ManifestSource

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"


def read(**given) -> list[str]:
    """The names of the manifests."""
    return [each["metadata"]["name"] for each in asyncio.run(ManifestSource(**given).read())]


@pytest.fixture
def commit(tmp_path):
    """Commit files, and say where they are."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.com"]

    def make(path: str, **files: str) -> dict:
        subprocess.run([*git, "init", "-q"], check=True)
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", "a"], check=True)
        head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
        return {"git_url": str(tmp_path), "commit": head.stdout.strip(), "path": path}

    return make


def test_manifests_are_read_as_they_are_written_down():
    assert read(manifests=CONFIG % "a") == ["a"]


def test_a_folder_at_a_commit_is_read_in_the_order_of_its_names(commit):
    assert read(**commit(".", b=CONFIG % "b", a=CONFIG % "a")) == ["a", "b"]


def test_a_file_at_a_commit_is_read_alone(commit):
    assert read(**commit("b.yaml", b=CONFIG % "b", a=CONFIG % "a")) == ["b"]


@pytest.mark.parametrize(
    "given",
    [{}, {"manifests": CONFIG, "git_url": "https://example.com/a"}, {"git_url": "https://example.com/a"}],
    ids=["nothing", "two places", "no commit"],
)
def test_the_one_place_of_the_manifests_has_to_be_named(given):
    with pytest.raises(InputError, match="does not say where its manifests are"):
        read(**given)


def test_a_path_without_manifests_is_named(commit):
    with pytest.raises(InputError, match="no manifests at 'deploy'"):
        read(**commit("deploy", a=CONFIG % "a"))


def test_a_link_does_not_lead_to_the_workers_own_files(commit, tmp_path):
    (tmp_path / "a.yaml").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match=r"no manifests at 'a\.yaml'"):
        read(**commit("a.yaml"))


def test_files_that_cannot_be_understood_are_refused(commit):
    with pytest.raises(ManifestError, match="has no kind"):
        read(**commit(".", a="apiVersion: v1\n"))


def test_a_secret_written_down_in_the_task_is_refused_without_its_value(commit):
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {key: hunter2}\n"
    with pytest.raises(InputError, match="Secret key stands in the task's manifests") as caught:
        read(manifests=secret)
    assert "hunter2" not in str(caught.value)
    assert read(**commit(".", a=secret)) == ["key"]
