"""What the board reads from Airflow, and that it opens nothing to strangers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.plugin import routes
from tests.servers import kubeconfig_of
from tke_provider import plugin
from tke_provider.plugin import events, plans
from tke_provider.plugin.board import changed, look
from tke_provider.plugin.looks import Place

STATIC = Path(plugin.__file__).parent / "static"
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
            told_by = {"source_dag_id": "ci_cd", "source_run_id": "r", "source_task_id": "deploy"}
            session.add(AssetEvent(asset_id=ours.id, extra=extra, **told_by))
            session.flush()
        session.add(AssetEvent(asset_id=theirs.id, extra={}))
    yield
    with create_session() as session:
        session.execute(delete(AssetEvent))
        session.execute(delete(AssetModel))


def test_the_newest_release_of_a_service_is_read_and_nobody_elses_events(released):
    (read,) = events.releases()
    assert (read["revision"], read["dag_id"]) == (2, "ci_cd")
    assert (read["uri"], read["cluster"], read["namespace"]) == ("tke://cls-1/production/shop", "cls-1", "production")


def test_a_tab_shows_what_its_dag_run_or_task_released(released):
    assert [each["run_id"] for each in events.releases("ci_cd", "r")] == ["r"]
    assert events.releases("other") == []
    assert events.releases("ci_cd", "another") == []
    assert [each["task_id"] for each in events.releases("ci_cd", task_id="deploy")] == ["deploy"]
    assert events.releases("ci_cd", task_id="test") == []


def test_what_was_posted_by_hand_says_nothing_about_where_it_is(released):
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        extra = {"service": "elsewhere", "namespace": 7, "cluster": "cls-2"}
        session.execute(update(AssetEvent).values(extra=extra))
    (read,) = events.releases()
    assert (read["service"], read["namespace"], read["cluster"]) == ("shop", "production", "cls-1")


def test_a_cluster_is_named_as_its_release_wrote_it(told):
    told(cluster="CLS-1")
    assert events.releases()[0]["cluster"] == "CLS-1"


def test_what_was_posted_by_hand_cannot_keep_the_board_from_being_drawn(told):
    told(
        task_id=None,
        commit=7,
        who={"a": 1},
        approver=[],
        revision="2",
        images={"web": 7, "db": "db@sha256:1"},
        more="x",
    )
    (read,) = events.releases()
    assert (read["commit"], read["who"], read["approver"]) == ("", "", "")
    assert read["images"] == {"db": "db@sha256:1"}
    assert not {"more", "revision"} & read.keys()
    told(task_id=None, images="web")
    assert events.releases()[0]["images"] == {}


def test_a_busy_service_hides_no_quiet_one(released):
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session

    with create_session() as session:
        busy = AssetModel(name="busy", uri="tke://cls-1/production/busy", group="asset")
        session.add(busy)
        session.flush()
        session.add_all([AssetEvent(asset_id=busy.id, extra={"revision": number}) for number in range(300)])
    assert [each["service"] for each in events.releases()] == ["busy", "shop"]


def test_only_what_was_released_is_looked_at(released):
    assert events.way_to("tke://cls-1/production/shop") == ("tke_default", "")
    assert events.way_to("tke://cls-1/kube-system/secrets") is None


@pytest.fixture
def told(released):
    """Have a task, or by hand a person, tell of another release of the service."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    def tell(task_id: str | None = "deploy", **extra: object) -> None:
        with create_session() as session:
            asset_id = session.scalar(select(AssetModel.id).where(AssetModel.uri == "tke://cls-1/production/shop"))
            session.add(AssetEvent(asset_id=asset_id, extra=extra, source_dag_id="ci_cd", source_task_id=task_id))

    return tell


def test_a_service_is_looked_at_as_its_last_release_reached_it(told):
    told(connection="tke_shanghai", region="ap-shanghai")
    assert events.way_to("tke://cls-1/production/shop") == ("tke_shanghai", "ap-shanghai")
    (drawn,) = events.releases()
    assert (drawn["connection"], drawn["region"]) == ("tke_shanghai", "ap-shanghai")


def test_whoever_posts_an_event_chooses_no_connection_to_look_through(told):
    told(connection="tke_shanghai")
    told(task_id=None, connection="tke_of_another_team")
    assert events.way_to("tke://cls-1/production/shop").connection == "tke_shanghai"
    assert events.releases()[0]["connection"] == "tke_default"


async def test_a_connection_that_leads_nowhere_is_told_where_it_is_needed_and_nowhere_else(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    by_default = Place("cls-nowhere0", "production", "shop")
    gone = by_default._replace(way=events.Way("tke_gone"))
    said = [(await look(each))["reason"] for each in (by_default, gone)]
    assert ["tke_gone" in each for each in said] == [False, True]


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
    place = {"cluster": "", "namespace": "production", "service": "shop"}
    assert drawn["nights_off"]["services"] == {"shop": place}
    assert "error" in drawn["broken"]


def test_nothing_is_open_but_what_is_known_to_be():
    read = {("GET", path) for path in routes.READ}
    assert routes.opened() == read | {("POST", routes.DELIVERED), ("*", routes.OPEN)}


@pytest.mark.parametrize(("path", "query"), routes.READ.items(), ids=list(routes.READ))
def test_a_stranger_reads_nothing(client, path, query):
    assert client.get(f"{path}?{query}").status_code == 401


def test_the_page_is_shipped_whole(client):
    answer = client.get("/static/board.js")
    assert "AirflowPlugin" in answer.text
    files = [answer.text]
    while files:
        for name in re.findall(r'from "\./(\w+\.js)"', files.pop()):
            answer = client.get(f"/static/{name}")
            assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/javascript")
            files.append(answer.text)


@pytest.mark.parametrize("path", list(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_nothing_of_the_page_comes_from_elsewhere(path):
    assert "//" not in re.sub(r"^\s*//.*$|\s// .*$", "", path.read_text(), flags=re.MULTILINE)


async def test_a_cluster_that_cannot_be_asked_is_an_answer(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    said = await look(Place("cls-nowhere0", "production", "shop"))
    assert said["health"] == "unknown"
    assert "cls-nowhere0" in said["reason"]
    assert "cls-nowhere0" in (await changed(Place("cls-nowhere0", "production", "shop"), 1))["reason"]


async def test_what_a_kubeconfigs_cluster_says_is_told_of_no_other_one(monkeypatch):
    extra = {"kubeconfig_secret": kubeconfig_of("http://127.0.0.1:1"), "cluster_id": "cls-here"}
    monkeypatch.setenv("AIRFLOW_CONN_TKE_DEFAULT", json.dumps({"conn_type": "tke", "extra": extra}))
    said = await look(Place("cls-there", "production", "shop"))
    assert said["health"] == "unknown"
    assert "leads to cls-here and not to cls-there" in said["reason"]
    assert "leads to" not in (await look(Place("cls-here", "production", "shop")))["reason"]
