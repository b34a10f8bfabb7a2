"""An Airflow database with one DAG in it, and the plugin's application as the API server mounts it."""

from __future__ import annotations

import httpx
import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param

from tests.servers import serving
from tests.waiting import until

REPOSITORY = "https://git.example/team/shop.git"
CONNECTION = {
    "conn_type": "tke_webhook",
    "password": "It's a Secret to Everybody",
    "extra": {"sender": "github", "dag_id": "from_push", "repositories": REPOSITORY},
}


@pytest.fixture(scope="session")
def database():
    """Airflow's own tables, with a DAG that takes a repository and a commit."""
    from airflow.dag_processing.collection import update_dag_parsing_results_in_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    initdb()
    params = {"git_url": Param(type="string"), "commit": Param(type="string", pattern="^[0-9a-f]{40}$")}
    with DAG("from_push", schedule=None, params=params, is_paused_upon_creation=False) as dag:
        EmptyOperator(task_id="build")
    with create_session() as session:
        session.add(DagBundleModel(name="tests"))
        session.flush()
        found = [LazyDeserializedDAG.from_dag(dag)]
        update_dag_parsing_results_in_db("tests", None, found, {}, 0.1, set(), session)


@pytest.fixture
def runs(database):
    """The runs of the DAG in this test, once everything that was accepted has been started."""
    from airflow.models import DagRun, Log
    from airflow.utils.session import create_session
    from sqlalchemy import delete, select

    from tke_provider.plugin.deliveries import accepted

    def read() -> list[DagRun]:
        until(lambda: not accepted(), 180, "what was accepted is started")
        with create_session() as session:
            return list(
                session.scalars(select(DagRun).where(DagRun.dag_id == "from_push").order_by(DagRun.id)).unique()
            )

    yield read
    read()  # the server is still up: nothing starts once this is cleaned up
    with create_session() as session:
        session.execute(delete(DagRun).where(DagRun.dag_id == "from_push"))
        session.execute(delete(Log).where(Log.dag_id == "from_push"))


@pytest.fixture
def dag_is():
    """Change a flag of the DAG as the DAG processor or a person would."""

    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    def change(flag: str, value: int = 1) -> None:
        changed.append(flag)
        with create_session() as session:
            session.execute(update(DagModel).values({flag: value}).where(DagModel.dag_id == "from_push"))

    changed: list[str] = []
    yield change
    for flag in set(changed):
        change(flag, 0)


@pytest.fixture
def _server():
    from tke_provider.plugin.app import app

    with serving(app(), lifespan="on") as url:
        yield url


@pytest.fixture
def client(_server):
    """A stranger with a network."""
    with httpx.Client(base_url=_server, timeout=30) as client:
        yield client
