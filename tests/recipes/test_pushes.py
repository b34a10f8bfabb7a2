"""Pushes that come close together: Airflow makes one run of them, and each head is started once all the same.

Airflow's own asset manager stores the events, its own scheduler makes the runs, and the task runs as workers run it.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone

import pytest
from airflow.configuration import conf
from airflow.sdk import Asset

from tke_provider.domain.pushes import short
from tke_provider.recipes.pushes import image_dag, push_dag

URL = "https://git.example/team/shop.git"
COMMITS = [f"{number:040x}" for number in range(1, 8)]


@pytest.fixture
def started(_database):
    """Tell of pushes, let the scheduler look, and return what each run that it made starts."""
    return lambda dag, told: (_tell(dag, told), [_news(dag, run) for run in _schedule(dag)])[1]


@pytest.fixture(scope="module")
def _database():
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    initdb()
    with create_session() as session:
        session.merge(DagBundleModel(name="recipes"))


def _store(dag) -> None:
    from airflow.dag_processing.collection import update_dag_parsing_results_in_db
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    with create_session() as session:
        found = [LazyDeserializedDAG.from_dag(dag)]
        update_dag_parsing_results_in_db("recipes", None, found, {}, 0.1, set(), session)


def _tell(dag, told: list[dict[str, str]]) -> None:
    from airflow.assets.manager import asset_manager
    from airflow.serialization.definitions.assets import SerializedAsset
    from airflow.utils.session import create_session

    (asset,) = dag.timetable.asset_condition.objects
    for payload in told:
        with create_session() as session:
            serialized = SerializedAsset(name=asset.name, uri=asset.uri, group="asset", extra={}, watchers=[])
            extra = {"from_trigger": True, "payload": payload}
            asset_manager.register_asset_change(asset=serialized, extra=extra, session=session)


def _schedule(dag) -> list[str]:
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models import DagRun
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select, update

    with create_session() as session:
        before = set(session.scalars(select(DagRun.run_id).where(DagRun.dag_id == dag.dag_id)))
        runner = SchedulerJobRunner(Job())
        runner._create_dag_runs_asset_triggered(dag_models=[session.get(DagModel, dag.dag_id)], session=session)
        session.flush()
        # Begun as the scheduler would in its next turn; here SQLite's clock of whole seconds would keep it waiting.
        session.execute(update(DagRun).values(_state="running", start_date=datetime.now(timezone.utc)))
        made = select(DagRun.run_id).where(DagRun.dag_id == dag.dag_id).order_by(DagRun.id)
        return [run_id for run_id in session.scalars(made) if run_id not in before]


def _news(dag, run_id: str) -> list[dict[str, object]]:
    from airflow.models import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.sdk.definitions.dag import _run_task
    from airflow.utils.session import create_session
    from sqlalchemy import select

    where = (TaskInstance.dag_id == dag.dag_id, TaskInstance.run_id == run_id, TaskInstance.task_id == "news")
    with create_session() as session:
        ti = session.scalars(select(TaskInstance).where(*where)).one()
        session.expunge_all()
    _run_task(ti=ti, task=dag.get_task("news"))
    with create_session() as session:
        kept = session.scalars(XComModel.get_many(dag_ids=dag.dag_id, run_id=run_id, task_ids="news")).one()
        return XComModel.deserialize_value(kept)


def push(number: int) -> dict[str, str]:
    return {"git_url": URL, "branch": "main", "commit": COMMITS[number], "before": "", "number": str(number)}


def test_six_quick_pushes_are_one_run_that_starts_each_head(started):
    dag = push_dag(
        "six", git_url=URL, branch="six", starts="ci_cd", conf={"base_image": "x"}, is_paused_upon_creation=False
    )
    _store(dag)
    ((*found,),) = started(dag, [push(number) for number in range(6)])
    assert [each["conf"]["commit"] for each in found] == COMMITS[:6]
    assert found[0]["conf"] == {"base_image": "x", "git_url": URL, "commit": COMMITS[0]}
    # The next run sees some of them again, under the ids of the runs that are there already.
    ((*later,),) = started(dag, [push(6)])
    assert later[-1]["conf"]["commit"] == COMMITS[6]
    assert {each["trigger_run_id"] for each in later[:-1]} <= {each["trigger_run_id"] for each in found}


def test_an_event_that_is_told_twice_is_one_run(started):
    dag = push_dag("twice", git_url=URL, branch="twice", starts="ci_cd", is_paused_upon_creation=False)
    _store(dag)
    ((*found,),) = started(dag, [push(1), push(1)])
    assert [each["trigger_run_id"] for each in found] == [f"push__{short(URL, 'main')}__1-{COMMITS[1]}"]


def test_the_latest_of_several_is_started_alone_by_choice(started):
    dag = push_dag(
        "newest", git_url=URL, branch="newest", starts="ci_cd", build="latest", is_paused_upon_creation=False
    )
    _store(dag)
    ((*found,),) = started(dag, [push(number) for number in range(6)])
    assert [each["conf"]["commit"] for each in found] == [COMMITS[5]]


def test_each_image_is_handed_on_by_digest(started):
    where = {"repository": "test/web", "starts": "promotion", "conf": {"to_repository": "production/web"}}
    dag = image_dag("pushed_images", **where, is_paused_upon_creation=False)
    _store(dag)
    digest = f"sha256:{'a' * 64}"
    told = {"image": f"r/test/web@{digest}", "repository": "r/test/web", "tag": "v1", "digest": digest}
    told["pushed"] = "2026-01-01T12:00:00+08:00"
    ((found,),) = started(dag, [told])
    assert found["conf"] == {"image": told["image"], "to_repository": "production/web"}
    assert found["trigger_run_id"] == f"image__web-{short('r/test/web')}__v1__aaaaaaaaaaaa__2026-01-01T12:00:00+08:00"


def test_two_repositories_with_the_same_news_in_the_same_moment_are_two_runs(started):
    image = {"image": "i", "tag": "t" * 128, "digest": f"sha256:{'a' * 64}", "pushed": "2026-01-01T12:00:00+08:00"}
    ids = set()
    for number, name in enumerate(["r/one/web", "r/two/web", f"r/{'x' * 100}"]):
        dag = image_dag(f"same_{number}", repository=name, starts="promotion", is_paused_upon_creation=False)
        _store(dag)
        ((found,),) = started(dag, [image | {"repository": name}])
        ids.add(found["trigger_run_id"])
    assert len(ids) == 3
    assert all(len(each) <= 250 and re.fullmatch(conf.get("scheduler", "allowed_run_id_pattern"), each) for each in ids)


@pytest.mark.parametrize("other", [{"git_url": "https://git.example/mirror/shop.git"}, {"branch": "release"}])
def test_a_mirror_or_another_branch_with_the_same_commit_is_a_run_of_its_own(started, other):
    ids = []
    for number, told in enumerate([push(1), push(1) | other]):
        where = {"git_url": told["git_url"], "branch": told["branch"]}
        dag = push_dag(f"mirror_{number}_{len(other)}_{next(iter(other))}", **where, starts="ci_cd")
        dag.is_paused_upon_creation = False
        _store(dag)
        ((found,),) = started(dag, [told])
        ids.append(found["trigger_run_id"])
    assert len(set(ids)) == 2


def test_what_is_watched_is_an_asset():
    (asset,) = push_dag("assets", git_url=URL, starts="ci_cd").timetable.asset_condition.objects
    assert isinstance(asset, Asset)
    assert asset.name == "git:git.example/team/shop@main"
