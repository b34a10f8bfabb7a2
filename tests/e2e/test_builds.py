"""A commit becomes an image without an engine, by BuildKit and a pod that asks it."""

from __future__ import annotations

import pytest

from local import ROOT
from local.endpoints import BASE_IMAGE
from tests.e2e.conftest import until

pytestmark = [pytest.mark.e2e, pytest.mark.aside]


@pytest.fixture
def conf(git_repository) -> dict:
    """The prices of the sample, in a repository that BuildKit can reach."""
    sample = ROOT / "local" / "sample" / "prices"
    files = {f"prices/{file.name}": file.read_text() for file in sample.iterdir() if file.is_file()}
    commit = git_repository.commit(files)
    return {"git_url": git_repository.url, "commit": commit, "service": "prices", "base_image": BASE_IMAGE}


def test_the_image_that_buildkit_made_passes_its_tests_and_no_build_is_left(conf, run_dag, core):
    run = run_dag("build_with_buildkit", conf)
    assert run.state == "success", run.states
    assert run.result("build")["commit"] == conf["commit"]
    assert run.result("build")["digest"] in run.result("unit_tests")["image"]
    assert "load git source" in run.log("build")
    left = [secret.metadata.name for secret in core.list_namespaced_secret("default").items]
    assert [name for name in left if name.startswith("tke-build-")] == []


def test_a_daemon_in_the_build_s_own_pod_makes_the_image_and_is_gone(conf, run_dag, core):
    run = run_dag("build_in_its_own_pod", conf)
    assert run.state == "success", run.log("build")
    assert run.result("build")["commit"] == conf["commit"]
    assert "load git source" in run.log("build")

    def gone() -> bool:
        pods = core.list_namespaced_pod("default", label_selector="batch.kubernetes.io/job-name").items
        return not [each for each in pods if each.metadata.name.startswith("tke-build-")]

    until(gone, 60, "the build's pod is gone")


def test_the_same_commit_is_not_built_again(conf, run_dag):
    first = run_dag("build_with_buildkit", conf)
    again = run_dag("build_with_buildkit", conf)
    assert again.result("build") == first.result("build")
    assert "is there already" in again.log("build")
    assert "load git source" not in again.log("build")
