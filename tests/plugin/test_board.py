"""What the board reads from Airflow, and that it opens nothing to strangers."""

from __future__ import annotations

import pytest

from tke_provider.plugin import events, plans
from tke_provider.plugin.board import look

PLAN = """\
name: nights
time_zone: UTC
targets:
  shop:
    service: {namespace: production, name: shop}
    usual: 4
windows:
  - {name: night, cron: "0 20 * * *", duration: 12h, sizes: {shop: 1}}
"""


@pytest.fixture
def released(database):
    """Two releases of one service, and an event of somebody else's asset."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        ours = AssetModel(name="ours", uri="tke://cls-1/production/shop", group="asset")
        theirs = AssetModel(name="theirs", uri="s3://bucket/key", group="asset")
        session.add_all([ours, theirs])
        session.flush()
        for revision in (1, 2):
            extra = {"service": "shop", "revision": revision}
            session.add(AssetEvent(asset_id=ours.id, extra=extra, source_dag_id="ci_cd", source_run_id="r"))
            session.flush()
        session.add(AssetEvent(asset_id=theirs.id, extra={}))
    yield
    with create_session() as session:
        session.execute(delete(AssetEvent))
        session.execute(delete(AssetModel))


def test_releases_are_read_newest_first_and_nobody_elses_events(released):
    read = events.releases()
    assert [each["revision"] for each in read] == [2, 1]
    assert {each["uri"] for each in read} == {"tke://cls-1/production/shop"}
    assert read[0]["dag_id"] == "ci_cd"


@pytest.fixture
def planned(database):
    from airflow.dag_processing.collection import update_dag_parsing_results_in_db
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    from tke_provider.operators.plans import TkeApplyScheduleOperator

    def store(dag_id: str, plan: str) -> None:
        with DAG(dag_id, schedule=None, tags=["tke-plan"]) as dag:
            TkeApplyScheduleOperator(task_id="apply", plan=plan)
        with create_session() as session:
            found = [LazyDeserializedDAG.from_dag(dag)]
            update_dag_parsing_results_in_db("tests", None, found, {}, 0.1, set(), session)

    return store


def test_calendars_come_from_the_plans_of_the_dags_that_apply_them(planned):
    planned("nights_off", PLAN)
    planned("broken", "name: x")
    drawn = {each["dag_id"]: each for each in plans.calendars()}
    assert drawn["nights_off"]["zone"] == "UTC"
    sizes = {size for _, _, size, _ in drawn["nights_off"]["targets"]["shop"]}
    assert sizes == {"4", "1"}
    assert "error" in drawn["broken"]


@pytest.mark.parametrize("path", ["releases", "live?cluster=a&namespace=b&service=c", "calendars"])
def test_a_stranger_reads_nothing(client, path):
    assert client.get(f"/api/{path}").status_code == 401


def test_the_page_is_shipped(client):
    answer = client.get("/static/board.js")
    assert answer.status_code == 200
    assert "AirflowPlugin" in answer.text


async def test_a_cluster_that_cannot_be_asked_is_an_answer(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    said = await look("cls-nowhere0", "production", "shop")
    assert said["health"] == "unknown"
    assert "cls-nowhere0" in said["reason"]
