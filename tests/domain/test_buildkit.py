from __future__ import annotations

import base64
import dataclasses
import json

import pytest

from tke_provider.domain.buildkit import BuildJob, Secrets, git_context
from tke_provider.domain.buildkit_daemons import SharedDaemon
from tke_provider.domain.images import Build
from tke_provider.exceptions import InputError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BUILD = Build("demo.tencentcloudcr.com/test/web", COMMIT, "https://git.example/team/web.git", subdirectory="web/")
SECRETS = Secrets(
    mounts={"npmrc": "secret of npm"},
    registries={"demo.tencentcloudcr.com": ("user", "secret of tcr")},
    git=("bot", "secret of git"),
)
JOB = BuildJob(
    build=BUILD,
    operation="shop.build.123",
    committed=1700000000,
    namespace="build",
    image="demo.tencentcloudcr.com/tools/buildkit:v0.34.2",
    daemon=SharedDaemon("tcp://buildkitd.build:1234", "ca", "certificate", "secret key"),
    secrets=SECRETS,
    timeout=3600,
)


def pod(job: BuildJob = JOB) -> dict:
    return job.manifest()["spec"]["template"]["spec"]


def test_the_daemon_fetches_this_commit_and_folder_and_no_submodules():
    assert git_context(BUILD) == f"https://git.example/team/web.git?ref={COMMIT}&submodules=false&subdir=web"
    assert "subdir" not in git_context(dataclasses.replace(BUILD, subdirectory="./"))


@pytest.mark.parametrize(
    "source", ["git@git.example:team/web.git", "ssh://git.example/web.git", "/srv/web.git", "https://git.example/web"]
)
def test_a_source_that_buildkit_would_take_for_something_else_is_refused(source):
    with pytest.raises(InputError, match="BuildKit cannot fetch from"):
        git_context(dataclasses.replace(BUILD, source=source))


@pytest.mark.parametrize("folder", ["..", "../other", "web/../../other", "/etc"])
def test_a_folder_outside_of_the_repository_is_refused(folder):
    with pytest.raises(InputError, match="The source has no folder"):
        git_context(dataclasses.replace(BUILD, subdirectory=folder))


def test_nothing_secret_stands_in_the_job_or_in_a_representation():
    assert "secret of" not in json.dumps(JOB.manifest()) + repr(JOB)
    assert "secret key" not in json.dumps(JOB.manifest()) + repr(JOB)


def test_the_secret_goes_with_the_job_and_holds_every_login_by_its_host():
    secret = JOB.secret("uid-of-the-job")
    assert secret["metadata"]["ownerReferences"][0]["uid"] == "uid-of-the-job"
    files = {name: base64.b64decode(data).decode() for name, data in secret["data"].items()}
    auths = json.loads(files["config.json"])["auths"]
    assert base64.b64decode(auths["demo.tencentcloudcr.com"]["auth"]) == b"user:secret of tcr"
    assert base64.b64decode(files["git-header"].removeprefix("basic ")) == b"bot:secret of git"
    assert files["secret.npmrc"] == "secret of npm"


def test_the_login_of_the_git_host_is_for_that_host_alone():
    (given,) = [word for word in JOB.arguments() if "GIT_AUTH" in word]
    assert given == "--secret=id=GIT_AUTH_HEADER.git.example,src=/run/tke/git-header"
    public = dataclasses.replace(JOB, secrets=Secrets())
    assert not [word for word in public.arguments() if "GIT_AUTH" in word]


@pytest.mark.parametrize("name", ["a,src=/etc/passwd", "", "../ca.pem", ".hidden"])
def test_a_secret_id_that_is_more_than_a_name_is_refused(name):
    with pytest.raises(InputError, match="Secret id"):
        Secrets(mounts={name: "value"})


def test_the_pod_may_do_nothing_but_ask():
    spec = pod()
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_whatever_tells_a_time_tells_the_commits():
    words = JOB.arguments()
    assert "--opt=build-arg:SOURCE_DATE_EPOCH=1700000000" in words
    assert "--opt=label:org.opencontainers.image.created=2023-11-14T22:13:20+00:00" in words
    assert any(word.startswith("--output=") and "rewrite-timestamp=true" in word for word in words)


def test_options_that_nobody_asked_for_are_left_out():
    words = " ".join(JOB.arguments())
    assert not [
        word for word in ("target", "platform", "attest", "cache") if f"{word}=" in words or f"{word}:" in words
    ]


def test_options_that_were_asked_for_are_there():
    build = dataclasses.replace(
        BUILD, target="run", platform="linux/amd64,linux/arm64", attestations={"provenance": "mode=max"}
    )
    words = dataclasses.replace(JOB, build=build, cache_tag="cache").arguments()
    assert {"--opt=target=run", "--opt=platform=linux/amd64,linux/arm64", "--opt=attest:provenance=mode=max"} <= {
        *words
    }
    assert f"--import-cache=type=registry,ref={BUILD.repository}:cache" in words


def test_a_retry_has_the_same_name_and_other_inputs_another():
    assert dataclasses.replace(JOB, committed=1).name == JOB.name
    assert dataclasses.replace(JOB, operation="shop.build.124").name != JOB.name
    assert dataclasses.replace(JOB, build=dataclasses.replace(BUILD, target="run")).name != JOB.name
