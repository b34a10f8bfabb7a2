"""The product as its user sees it: a logged-in browser's API, a real git repository, a real cluster."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import functools
import json
from pathlib import Path
from typing import Any

import pytest

from local.airflow_api import AirflowApi
from local.endpoints import BASE_IMAGE
from local.shop import Repository
from tests import waiting

until = functools.partial(waiting.until, pause=0.2)  # each look is a request to Airflow
_SOON = dt.timedelta(seconds=15)


@dataclasses.dataclass
class Run:
    """One ended run of a DAG.

    :param states: task id to final state.
    """

    api: AirflowApi
    dag_id: str
    run_id: str
    state: str
    states: dict[str, str]

    def result(self, task_id: str) -> Any:
        return self.api.result(self.dag_id, self.run_id, task_id)

    def log(self, task_id: str) -> str:
        return self.api.log(self.dag_id, self.run_id, task_id)

    def reason(self, task_id: str) -> str:
        """The sentence that a failed task ended with."""
        said = [line for line in self.log(task_id).splitlines() if line.startswith("AirflowFailException: ")]
        return said[-1].removeprefix("AirflowFailException: ")


@pytest.fixture(scope="session")
def api(airflow):
    api = AirflowApi(airflow.airflow_url, airflow.airflow_user, airflow.airflow_password)
    yield api
    api.http.close()


@pytest.fixture(scope="session")
def repository(airflow, tmp_path_factory) -> Repository:
    return Repository(tmp_path_factory.mktemp("git") / "shop")


@pytest.fixture(scope="session")
def run_dag(api):
    """Run a DAG to its end, as a person with the form; approvals get the given answer.

    The DAG's own schedule is kept out of it: at each whole five minutes it would set what holds today.
    """

    def run(dag_id: str, conf: dict[str, Any], approval: str = "Approve") -> Run:
        end_what_is_left(api, dag_id)
        clocked = api.next_start(dag_id) is not None
        if clocked:
            _catch_up(api, dag_id)
        run_id = api.start(dag_id, conf)
        meanwhile = functools.partial(_keep_away, api, dag_id) if clocked else lambda: None
        followed = api.follow(dag_id, run_id, approve=lambda: approval, meanwhile=meanwhile)
        states = {task["task_id"]: task["state"] for task in followed}
        if clocked:
            api.pause(dag_id)
            _keep_away(api, dag_id)
        return Run(api, dag_id, run_id, api.state(dag_id, run_id), states)

    return run


def end_what_is_left(api: AirflowApi, dag_id: str) -> None:
    """Let a DAG run, and end what a test that failed has left: a run that waits for a person keeps others waiting."""
    api.unpause(dag_id)
    for run_id in api.active(dag_id):
        collections.deque(api.follow(dag_id, run_id, approve=lambda: "Reject"), maxlen=0)


def _catch_up(api: AirflowApi, dag_id: str) -> None:
    """Let the run that the DAG's schedule is behind with begin and end; nobody approves it.

    So with one that is due any moment: it might begin before that of the test, and wait for its own approval.
    """

    def caught_up() -> bool:
        due = api.next_start(dag_id)
        return due is not None and due > dt.datetime.now(dt.timezone.utc) + _SOON

    until(caught_up, 120, f"the scheduler has begun the run of {dag_id} that was due")
    for state in ("queued", "running"):
        for run_id in api.scheduled(dag_id, state):
            collections.deque(api.follow(dag_id, run_id, approve=lambda: "Reject"), maxlen=0)


def _keep_away(api: AirflowApi, dag_id: str) -> None:
    """Call off what waits behind the run of the test. None of it runs yet: such a DAG has one run at a time."""
    for run_id in api.scheduled(dag_id, "queued"):
        api.call_off(dag_id, run_id)


@pytest.fixture(scope="session")
def release(run_dag, repository):
    """Hand a commit to the pipeline."""

    def run(commit: str, approval: str = "Approve", **conf: Any) -> Run:
        return run_dag(
            "ci_cd", {"git_url": repository.url, "commit": commit, "base_image": BASE_IMAGE, **conf}, approval
        )

    return run


@pytest.fixture(scope="session")
def core(airflow):
    """The cluster, by the official client rather than ours."""
    from kubernetes import client, config

    with config.new_client_from_config(str(airflow.kubeconfig)) as api_client:
        yield client.CoreV1Api(api_client)


@pytest.fixture(scope="session")
def apps(core):
    from kubernetes import client

    return client.AppsV1Api(core.api_client)


@pytest.fixture(scope="session")
def answer(core):
    """Ask the shop of a namespace, which asks the other two by name."""

    def ask(namespace: str) -> dict[str, Any]:
        proxied = core.connect_get_namespaced_service_proxy_with_path("shop:80", namespace, "", _preload_content=False)
        return dict(json.loads(proxied.data))

    return ask


@pytest.fixture(scope="session")
def images(apps):
    """What runs in a namespace: service to image, by digest."""

    def read(namespace: str) -> dict[str, str]:
        listed = apps.list_namespaced_deployment(namespace).items
        return {item.metadata.name: item.spec.template.spec.containers[0].image for item in listed}

    return read


@pytest.fixture(scope="session")
def good(repository) -> str:
    """A good commit."""
    return repository.commit_sample()


@pytest.fixture(scope="session")
def live(release, good) -> Run:
    """The run that brought the good commit to production."""
    run = release(good)
    assert run.state == "success", {task: state for task, state in run.states.items() if state != "success"}
    return run


@pytest.fixture(scope="session")
def database(airflow):
    """Where Airflow keeps its state."""
    import psycopg2

    from local import STATE
    from local.postgres import Postgres

    url = Postgres(STATE / "airflow" / "postgres").url().replace("+psycopg2", "")
    with psycopg2.connect(url) as connection:
        yield connection
    connection.close()


@pytest.fixture(scope="session")
def secrets(airflow) -> list[str]:
    """Every secret that the stack knows and no record of Airflow may show."""
    password = Path(airflow.registry_password_file).read_text().strip()
    return [airflow.secret_key, password]
