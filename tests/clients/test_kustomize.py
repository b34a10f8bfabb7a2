from __future__ import annotations

import os

import pytest
import yaml

from tests.live_cluster import deploy, released
from tke_provider.clients.kustomize import render
from tke_provider.domain.manifests import parse
from tke_provider.exceptions import InputError, ManifestError

pytestmark = pytest.mark.stack

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: shop, image: shop}]}
"""


@pytest.fixture(autouse=True)
def kubectl(monkeypatch):
    """The kubectl that the stack compiled, whatever the machine has."""
    from local.golang import compiled
    from local.kubernetes.programs import SOURCE

    monkeypatch.setenv("PATH", f"{compiled(SOURCE)}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def commit(tmp_path):
    """A checked out commit with a base, and overlays by what their kustomization says."""

    def write(**overlays: str):
        files = {"base/deployment.yaml": DEPLOYMENT, "base/kustomization.yaml": "resources: [deployment.yaml]\n"}
        files |= {f"{name}/kustomization.yaml": text for name, text in overlays.items()}
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


async def test_an_overlay_becomes_manifests(commit):
    root = commit(live="resources: [../base]\nreplicas: [{name: shop, count: 5}]\nnameSuffix: -live\n")
    (deployment,) = parse(str(await render(root, "live")))
    assert (deployment["metadata"]["name"], deployment["spec"]["replicas"]) == ("shop-live", 5)


async def test_a_folder_without_a_kustomization_is_no_overlay(commit):
    root = commit()
    (root / "plain").mkdir()
    assert await render(root, "plain") is None
    assert await render(root, "base/deployment.yaml") is None
    assert await render(root, "nowhere") is None


async def test_an_overlay_outside_of_the_commit_is_none(commit):
    root = commit(live="resources: [../base]\n")
    assert await render(root / "base", "../live") is None


async def test_what_does_not_render_is_told_in_kustomize_s_words(commit):
    root = commit(live="resources: [../base, missing.yaml]\n")
    with pytest.raises(ManifestError, match=r"The kustomization at 'live' does not render: .*missing\.yaml") as caught:
        await render(root, "live")
    assert str(root) not in str(caught.value)


@pytest.mark.parametrize(
    "elsewhere",
    ["https://github.com/example/base//shop?ref=v1", "https://example.com/deployment.yaml", "git@example.com:a/b.git"],
)
async def test_a_base_that_lies_elsewhere_is_refused(commit, elsewhere):
    root = commit(live=f'resources: ["{elsewhere}"]\n')
    with pytest.raises(ManifestError, match="needs something that is not in the commit"):
        await render(root, "live")


async def test_no_file_beside_the_commit_is_read(commit, tmp_path):
    root = commit(live="resources: [../base]\nsecretGenerator: [{name: a, files: [../../secret]}]\n") / "live"
    (tmp_path / "secret").write_text("of the worker")
    with pytest.raises(ManifestError, match="does not render"):
        await render(root.parent, "live")


async def test_no_variable_of_the_worker_is_read(commit, monkeypatch):
    monkeypatch.setenv("TOKEN_OF_THE_WORKER", "secret")
    root = commit(live="configMapGenerator: [{name: a, envs: [names.env]}]\n")
    (root / "live" / "names.env").write_text("TOKEN_OF_THE_WORKER\n")
    (config,) = parse(str(await render(root, "live")))
    assert config["data"] == {"TOKEN_OF_THE_WORKER": ""}


async def test_a_program_in_the_commit_is_not_run(commit):
    generator = (
        "apiVersion: example.com/v1\nkind: Run\nmetadata:\n  name: run\n  annotations:\n"
        "    config.kubernetes.io/function: |\n      exec: {path: ./run.sh}\n"
    )
    root = commit(live="resources: [../base]\ngenerators: [run.yaml]\n")
    (root / "live" / "run.yaml").write_text(generator)
    (root / "live" / "run.sh").write_text("#!/bin/sh\ntouch ran\n")
    (root / "live" / "run.sh").chmod(0o755)
    with pytest.raises(ManifestError, match="does not render"):
        await render(root, "live")
    assert not list(root.rglob("ran"))


async def test_a_worker_without_kubectl_is_told_what_to_install(commit, monkeypatch):
    root = commit(live="resources: [../base]\n")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(InputError, match="neither kubectl nor kustomize"):
        await render(root, "live")


async def test_a_service_is_deployed_from_an_overlay_of_the_commit(place, connected, git_repository):
    base = yaml.safe_dump(place.workload())
    overlay = "resources: [../base]\nreplicas: [{name: web, count: 3}]\n"
    files = {"base/web.yaml": base, "base/kustomization.yaml": "resources: [web.yaml]\n"}
    commit = git_repository.commit({**files, "live/kustomization.yaml": overlay})
    source = {"git_url": git_repository.url, "commit": commit, "manifests_path": "live"}
    await released(deploy(place, manifests=None, **source))
    assert (await place.cluster.get(place.ref("Deployment")))["spec"]["replicas"] == 3
