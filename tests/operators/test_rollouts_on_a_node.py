"""What a real kubelet says of releases that do not come up, and what its logs add to the error."""

import asyncio

import pytest

from tests.live_cluster import deploy, refused, released, run_of, until

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]


def running(script: str, **more) -> dict:
    """A Deployment that runs a script on a node of its own choice."""
    labels = {"app": "web"}
    container = {"name": "web", "image": "web", "command": ["python3", "-c", script], **more}
    pod = {"containers": [container], "terminationGracePeriodSeconds": 0}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def release(place, image: dict, manifest: dict):
    return deploy(place, "a", manifest, images={"web": image})


async def test_a_crash_is_told_with_its_last_lines_and_what_served_before_serves_again(place, python):
    good = running("import time; time.sleep(3600)")
    await released(release(place, python, good))
    # It runs for a moment, in which the cluster has it for available: nothing probes it.
    crash = "import time; print('booting'); time.sleep(2); print('no database'); raise SystemExit(1)"
    said = await refused(release(place, python, running(crash)), run_of("2"))
    assert "crashed 2 times: Error, exit code 1" in said
    assert "its last lines: booting | no database" in said
    assert "serves again" in said
    live = await place.cluster.get(place.ref("Deployment"))
    assert live["spec"]["template"]["spec"]["containers"][0]["command"][-1] == "import time; time.sleep(3600)"


async def test_an_image_that_is_not_in_the_registry_is_told_at_once(place, python):
    absent = {**python, "digest": f"sha256:{'0' * 64}"}
    said = await refused(release(place, absent, running("")))
    assert "has no image" in said
    assert "not found" in said


async def test_a_missing_secret_is_told_at_once(place, python):
    reference = {"secretKeyRef": {"name": "database", "key": "password"}}
    manifest = running("", env=[{"name": "PASSWORD", "valueFrom": reference}])
    assert 'CreateContainerConfigError: secret "database" not found' in await refused(release(place, python, manifest))


async def test_a_program_that_is_not_in_the_image_is_told_at_once(place, python):
    assert "no-such-program" in await refused(release(place, python, running("", command=["no-such-program"])))


async def test_a_pod_that_never_gets_ready_is_explained_by_its_probe(place, python):
    probe = {"exec": {"command": ["python3", "-c", "raise SystemExit('not yet')"]}, "periodSeconds": 1}
    manifest = running("import time; time.sleep(3600)", readinessProbe=probe)
    operator = deploy(place, "a", manifest, images={"web": python}, timeout=3)
    # What the release then takes up, as a retry does: how long the pod takes to start says nothing of its probe.
    await asyncio.to_thread(lambda: asyncio.run(operator.change(run_of())))

    async def probed() -> list[dict]:
        return await place.cluster.list("v1", "Event", place.namespace, field_selector="reason=Unhealthy")

    await until(probed)
    said = await refused(operator)
    assert "not up within 3 seconds" in said
    assert "is not ready: Readiness probe failed: not yet" in said
