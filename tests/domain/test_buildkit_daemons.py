from __future__ import annotations

import base64
import dataclasses

import pytest

from tests.domain.test_buildkit import JOB
from tke_provider.domain.buildkit import BuildJob, check_pod_spec
from tke_provider.domain.buildkit_daemons import PodDaemon
from tke_provider.exceptions import InputError

CONFIGURATION = '[registry."docker.io"]\n  mirrors = ["demo.tencentcloudcr.com/mirror"]\n'
PRIVILEGED = dataclasses.replace(JOB, daemon=PodDaemon(rootless=False, configuration=CONFIGURATION))
ROOTLESS = dataclasses.replace(JOB, daemon=PodDaemon(rootless=True))


def pod(job: BuildJob) -> dict:
    return job.manifest()["spec"]["template"]["spec"]


def test_a_shared_daemon_adds_nothing_to_the_pod():
    assert pod(JOB)["initContainers"] == []
    assert [volume["name"] for volume in pod(JOB)["volumes"]] == ["secrets", "tmp"]


@pytest.mark.parametrize("job", [PRIVILEGED, ROOTLESS])
def test_a_daemon_in_the_pod_is_a_sidecar_that_serves_before_the_client_asks(job):
    (daemon,) = pod(job)["initContainers"]
    (client,) = pod(job)["containers"]
    assert daemon["restartPolicy"] == "Always"
    assert daemon["startupProbe"]["exec"]["command"][:2] == ["buildctl", job.arguments()[0]]
    assert job.arguments()[:2] == ["--addr=unix:///run/buildkit/buildkitd.sock", "build"]
    shared = {"name": "sockets", "mountPath": "/run/buildkit"}
    assert shared in daemon["volumeMounts"]
    assert shared in client["volumeMounts"]


@pytest.mark.parametrize("job", [PRIVILEGED, ROOTLESS])
def test_the_client_has_no_more_rights_beside_a_daemon_and_the_daemon_no_logins(job):
    (client,), (plain,) = pod(job)["containers"], pod(JOB)["containers"]
    assert client["securityContext"] == plain["securityContext"]
    assert pod(job)["securityContext"]["runAsNonRoot"] is True
    assert "secrets" not in [mount["name"] for mount in pod(job)["initContainers"][0]["volumeMounts"]]


def test_a_privileged_daemon_is_root_and_lets_the_clients_group_in():
    (daemon,) = pod(PRIVILEGED)["initContainers"]
    assert daemon["securityContext"]["privileged"] is True
    assert daemon["securityContext"]["runAsUser"] == 0
    assert f"--group={pod(PRIVILEGED)['securityContext']['runAsGroup']}" in daemon["command"]


def test_a_rootless_daemon_is_the_user_that_its_client_is_and_not_privileged():
    (daemon,) = pod(ROOTLESS)["initContainers"]
    assert "privileged" not in daemon["securityContext"]
    assert "runAsUser" not in daemon["securityContext"]
    assert pod(ROOTLESS)["securityContext"]["runAsUser"] == 1000
    assert daemon["command"][:2] == ["rootlesskit", "buildkitd"]


def test_the_daemon_sees_its_configuration_and_nothing_else_of_the_secret():
    (daemon,) = pod(PRIVILEGED)["initContainers"]
    (volume,) = [volume for volume in pod(PRIVILEGED)["volumes"] if volume["name"] == "configuration"]
    assert [item["key"] for item in volume["secret"]["items"]] == ["buildkitd.toml"]
    assert "--config=/etc/tke/buildkitd.toml" in daemon["command"]
    data = PRIVILEGED.secret("uid")["data"]
    assert base64.b64decode(data["buildkitd.toml"]).decode() == CONFIGURATION
    assert "client-key.pem" not in data


def test_more_of_the_pods_specification_is_taken_over():
    job = dataclasses.replace(ROOTLESS, pod_spec={"nodeSelector": {"pool": "builds"}})
    assert pod(job)["nodeSelector"] == {"pool": "builds"}


@pytest.mark.parametrize("given", [{"containers": []}, {"securityContext": {}}, "nodeSelector"])
def test_what_the_build_itself_sets_is_refused(given):
    with pytest.raises(InputError, match="pod_spec"):
        check_pod_spec(given)


@pytest.mark.parametrize("name", ["hostPID", "shareProcessNamespace"])
def test_what_lets_a_build_step_read_the_builds_secrets_is_refused(name):
    check_pod_spec({name: False})
    with pytest.raises(InputError, match=f"{name}, by which the steps of a build could read its secrets"):
        check_pod_spec({name: True})
