"""What a release spec says of BuildKit, pods, the scanner and metrics, done by the real ones."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from tests.live_cluster import run_of
from tke_provider.recipes import cicd_dag

pytestmark = pytest.mark.stack

SPEC = """\
application: shop
git: {{url: {url}}}
base_image: {base}
buildkit: {{image: {buildkit}, namespace: {namespace}}}
environments:
  - name: test
    namespace: {namespace}
    repositories: test
    scan: {{limits: {{critical: 0, high: 0}}}}
    watch: {{looks: 2, interval: 1, gates: [{{name: queue, query: queue_length, at_most: 200}}]}}
services:
  {service}:
    path: web
    test:
      command: [sh, -c, "cat /made > /tmp/junit.xml"]
      runner: pod
      namespace: {namespace}
      memory: 128m
      cpus: 0.1
    workload: {{}}
"""
DOCKERFILE = "ARG BASE\nFROM $BASE\nCOPY report /made\n"
REPORT = "<testsuite><testcase classname='web' name='answers'/></testsuite>"


async def test_a_commit_is_built_by_buildkit_tested_in_a_pod_scanned_and_watched(
    build_pods, prometheus, tcr_cloud, git_repository
):
    from local.endpoints import BASE_IMAGE, BUILDKIT_IMAGE

    service, namespace = f"web-{uuid.uuid4().hex[:8]}", build_pods[1]
    where = {"url": git_repository.url, "base": BASE_IMAGE, "buildkit": BUILDKIT_IMAGE}
    dag = cicd_dag(SPEC.format(**where, namespace=namespace, service=service))
    commit = git_repository.commit({"web/Dockerfile": DOCKERFILE, "web/report": REPORT})
    params = {"git_url": git_repository.url, "commit": commit, "base_image": BASE_IMAGE}

    async def done(task_id: str, image: dict[str, Any] | None = None) -> Any:
        """Do what Airflow would do with the task."""
        task = dag.get_task(task_id)
        if image:
            task.image = image
        task.deferrable, task.poll_interval = False, 0.3
        task.render_template_fields({"params": params})
        return await asyncio.to_thread(task.execute, run_of(task_id))

    image = await done(f"{service}.build")
    assert (image["commit"], image["repository"].partition("/")[2]) == (commit, f"test/{service}")
    check = await done(f"{service}.unit_tests", image)
    assert (check["verdict"], check["counts"]["tests"]) == ("passed", 1)
    tcr_cloud.tell("scan", digest=image["digest"], found={"Medium": 1})
    assert (await done(f"test.scan.{service}", image))["verdict"] == "passed"
    assert "queue is 120" in (await done("test.watch"))["reason"]
