"""An Airflow database with one DAG in it, and the plugin's application as the API server mounts it."""

from __future__ import annotations

import threading

import httpx
import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param

CONNECTION = {
    "conn_type": "tke_webhook",
    "password": "It's a Secret to Everybody",
    "extra": {"sender": "github", "dag_id": "from_push", "repositories": "https://git.example/team/shop.git"},
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
    """The runs of the DAG in this test."""
    from airflow.models import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete, select

    def read() -> list[DagRun]:
        with create_session() as session:
            return list(
                session.scalars(select(DagRun).where(DagRun.dag_id == "from_push").order_by(DagRun.id)).unique()
            )

    yield read
    with create_session() as session:
        session.execute(delete(DagRun).where(DagRun.dag_id == "from_push"))


@pytest.fixture
def _server():
    import uvicorn

    from tke_provider.plugin.app import app

    server = uvicorn.Server(uvicorn.Config(app(), port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(_server):
    """A stranger with a network."""
    with httpx.Client(base_url=_server, timeout=30) as client:
        yield client
