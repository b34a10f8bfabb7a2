"""Environments in clusters of their own: each with its account, its cluster and its kubeconfig."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from tests.conftest import EmulatedCloud, emulating
from tests.live_cluster import Place, account, image, named, refused, released, run_of, somewhere
from tke_provider.domain.manifests import images_of
from tke_provider.emulator.cloud import Settings
from tke_provider.recipes import cicd_dag

pytestmark = pytest.mark.stack

SPEC = """\
application: shop
git: {{url: https://example.com/shop.git}}
undo: together
environments:
  - {{name: test, namespace: {near}, repositories: test, connection: near, cluster: {near_id}, region: ap-guangzhou}}
  - {{name: live, namespace: {far}, repositories: test, connection: far, cluster: {far_id}, region: ap-beijing}}
services:
  web: {{path: web, workload: {{}}}}
"""
REGIONS = {"near": "ap-guangzhou", "far": "ap-beijing"}


def cluster_of(place: Place) -> str:
    """The id of the cluster that the place is in: another one for each test, as kubeconfigs are kept for a while."""
    return f"cls-{place.namespace.removeprefix('test-')}"


@pytest_asyncio.fixture
async def places(kubeconfig):
    """Two namespaces, by the connection that alone may change anything there."""
    async with somewhere(kubeconfig) as near, somewhere(kubeconfig) as far:
        yield {"near": near, "far": far}


@pytest_asyncio.fixture
async def accounts(places, kubeconfig, tmp_path, monkeypatch):
    """Two accounts in the cloud, each with one cluster, and a kubeconfig for it that reaches one namespace alone."""
    page = (Path(__file__).parents[2] / "docs" / "rollouts.md").read_text(encoding="utf-8")
    role = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    with contextlib.ExitStack() as stack:
        clouds = {}
        for name, place in places.items():
            file = tmp_path / f"{name}.kubeconfig"
            file.write_text(await account(place, kubeconfig, role))
            clouds[name] = stack.enter_context(_account(name, cluster_of(place), file))
            clouds[name].connect(monkeypatch, name, cluster_id="cls-nowhere0")
        yield clouds


@contextlib.contextmanager
def _account(name: str, cluster_id: str, kubeconfig: Path):
    key_id, key, region = f"AKID{name}", f"secret-key-of-{name}", REGIONS[name]
    with emulating(Settings(kubeconfig.with_suffix(".json"), key_id, key)) as (cloud, url):
        with cloud.lock:
            # From now on: whoever starts with a cluster keeps its nodes, for which these rights are too few.
            cloud.settings = dataclasses.replace(cloud.settings, kubeconfig=kubeconfig)
            cluster = cloud.state.clusters.pop("cls-local000")
            cloud.state.clusters[cluster_id] = dataclasses.replace(cluster, id=cluster_id, region=region)
        yield EmulatedCloud(url, key_id, key, region)


def task(dag, task_id: str, place: Place, digit: str):
    """The task of the DAG, with what Airflow would fill in, and pods that a simulated node runs."""
    operator = dag.get_task(task_id)
    operator.images = {"web": image(digit)}
    operator.manifests = [place.workload()]
    operator.checks = []
    return operator


def dag_of(near: Place, far: Place, places: dict[str, Place]):
    ids = {f"{name}_id": cluster_of(place) for name, place in places.items()}
    return cicd_dag(SPEC.format(near=near.namespace, far=far.namespace, **ids))


async def test_each_environment_is_released_to_its_own_cluster_by_its_own_connection(places, accounts):
    dag = dag_of(places["near"], places["far"], places)
    for name, environment, digit in (("near", "test", "a"), ("far", "live", "b")):
        release = await released(task(dag, f"{environment}.deploy.web", places[name], digit), run_of(environment))
        assert release["cluster"] == cluster_of(places[name])
    served = {name: images_of([await place.cluster.get(place.ref("Deployment"))]) for name, place in places.items()}
    assert served == {"near": {"web/web": named("a")}, "far": {"web/web": named("b")}}
    for name, cloud in accounts.items():
        asked = {(each["request"]["ClusterId"], each["region"]) for each in cloud.calls("DescribeClusterKubeconfig")}
        assert asked == {(cluster_of(places[name]), REGIONS[name])}


async def test_a_kubeconfig_of_the_one_cluster_is_no_way_into_the_other(places, accounts):
    dag = dag_of(places["far"], places["near"], places)
    for environment, place in (("test", places["far"]), ("live", places["near"])):
        said = await refused(task(dag, f"{environment}.deploy.web", place, "a"), run_of(environment))
        assert "forbidden" in said
        assert await place.cluster.get(place.ref("Deployment")) is None
