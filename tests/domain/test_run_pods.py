from __future__ import annotations

import pytest

from tke_provider.domain.images import Image
from tke_provider.domain.operations import OPERATION
from tke_provider.domain.run_pods import SPEC, Surroundings, assess_run, pod_name, run_pod
from tke_provider.domain.runs import Run
from tke_provider.domain.verdicts import State
from tke_provider.exceptions import InputError

IMAGE = Image("registry.example/test/web", "sha256:" + "5" * 64)
RUN = Run("shop.tests.0123456789ab", ("pytest",), {"A": "b"}, ("/tmp/junit.xml", "/tmp/sub/cov.xml", "/out/more.xml"))
HERE = Surroundings("ci")
RUNS = {"running": {}}


def ended(exit_code: int = 0, **more: object) -> dict:
    return {"terminated": {"exitCode": exit_code, "reason": "Completed", **more}}


def pod(tests: dict | None = None, reader: dict | None = None, **status: object) -> dict:
    statuses = [{"name": name, "state": state} for name, state in (("reader", reader), ("tests", tests)) if state]
    metadata = {"name": "tests-1", "uid": "u"}
    return {"metadata": metadata, "status": {"phase": "Running", "containerStatuses": statuses, **status}}


def test_both_containers_share_the_folders_of_the_reports_and_nothing_else():
    made = run_pod(IMAGE, RUN, HERE)["spec"]
    reader, tests = made["containers"]
    mounts = [{"name": "reports-0", "mountPath": "/out"}, {"name": "reports-1", "mountPath": "/tmp"}]
    assert tests["volumeMounts"] == mounts
    assert reader["volumeMounts"] == [{**mount, "readOnly": True} for mount in mounts]
    assert [volume["name"] for volume in made["volumes"]] == ["reports-0", "reports-1"]
    assert (reader["image"], tests["image"]) == (str(IMAGE), str(IMAGE))


def test_a_retry_has_the_same_pod_and_another_image_is_seen():
    one, same, other = (run_pod(Image(IMAGE.repository, f"sha256:{d * 64}"), RUN, HERE) for d in "556")
    assert one == same
    assert one["metadata"]["name"] == other["metadata"]["name"] == pod_name(RUN.operation) == "tests-0123456789ab"
    assert one["metadata"]["annotations"][SPEC] != other["metadata"]["annotations"][SPEC]
    assert one["metadata"]["annotations"][OPERATION] == RUN.operation


def test_nothing_runs_with_rights_in_the_cluster_unless_asked():
    made = run_pod(IMAGE, RUN, HERE)["spec"]
    assert made["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in made
    assert all(each["securityContext"]["allowPrivilegeEscalation"] is False for each in made["containers"])
    asked = run_pod(IMAGE, RUN, Surroundings("ci", service_account="tester"))["spec"]
    assert (asked["serviceAccountName"], asked["automountServiceAccountToken"]) == ("tester", True)


def test_more_of_the_pod_is_taken_over_but_for_what_the_run_itself_sets():
    more = {"nodeSelector": {"pool": "ci"}, "imagePullSecrets": [{"name": "tcr"}]}
    made = run_pod(IMAGE, RUN, Surroundings("ci", pod_spec=more))["spec"]
    assert {name: made[name] for name in more} == more
    with pytest.raises(InputError, match="pod_spec has containers, restartPolicy"):
        Surroundings("ci", pod_spec={"restartPolicy": "Always", "containers": []})


def test_a_report_in_the_root_folder_is_refused():
    with pytest.raises(InputError, match="A report in / cannot be kept"):
        run_pod(IMAGE, Run("a.b.c", ("pytest",), reports=("/junit.xml",)), HERE)


@pytest.mark.parametrize(
    ("found", "state", "reason"),
    [
        (None, State.INCONCLUSIVE, "pod tests-1 was deleted before its tests ended"),
        (pod(phase="Pending"), State.PENDING, "pod tests-1 is being started"),
        (pod(RUNS, RUNS), State.PENDING, "pod tests-1 runs its tests"),
        (pod(ended(1), RUNS), State.PASSED, "ended with exit code 1"),
        (pod(ended(1)), State.PENDING, "what keeps their reports is not up"),
        (
            pod(ended(1), {"waiting": {"reason": "ContainerCreating"}}),
            State.PENDING,
            "what keeps their reports is not up",
        ),
        (pod(ended(128, reason="StartError", message="no pytest"), RUNS), State.FAILED, "cannot be started: no pytest"),
        (pod(RUNS, ended(128, reason="StartError", message="no sleep")), State.FAILED, "no sleep; pass reader_image"),
        (pod(ended(0), ended(0)), State.FAILED, "pass reader_image"),
        (pod(phase="Failed", reason="Evicted", message="disk"), State.INCONCLUSIVE, "pod tests-1 failed: Evicted disk"),
        (pod(ended(137), ended(137), phase="Failed", reason="Evicted"), State.INCONCLUSIVE, "Evicted"),
        (pod(None, {"waiting": {"reason": "InvalidImageName", "message": "x"}}), State.FAILED, "InvalidImageName"),
        (pod({"waiting": {"reason": "CreateContainerConfigError", "message": "no"}}, RUNS), State.FAILED, "no"),
        (
            pod(ended(0), {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}),
            State.FAILED,
            "manifest unknown",
        ),
    ],
)
def test_a_pod_is_waited_for_until_its_tests_ended_or_never_will(found, state, reason):
    verdict = assess_run("tests-1", found)
    assert (verdict.state, reason in verdict.reason) == (state, True), verdict


def test_a_pod_with_a_failed_test_is_no_crashed_pod():
    waiting = {"waiting": {"reason": "ContainerCreating"}}
    assert assess_run("tests-1", pod(ended(1), waiting, phase="Pending")).state is State.PENDING


def test_a_pod_on_its_way_out_has_no_result_even_where_its_tests_were_killed_on_the_way():
    going = pod(ended(137), RUNS)
    going["metadata"]["deletionTimestamp"] = "now"
    assert assess_run("tests-1", going).state is State.INCONCLUSIVE


def test_why_there_is_no_node_is_said():
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    verdict = assess_run("tests-1", pod(phase="Pending", conditions=[condition]))
    assert (verdict.state, verdict.reason) == (State.PENDING, "pod tests-1 has no node: 0/3 nodes are available")
