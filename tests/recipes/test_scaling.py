"""A plan becomes a DAG."""

from __future__ import annotations

import textwrap

import pytest

from tke_provider.exceptions import ManifestError, NotFoundError
from tke_provider.recipes import scaling_dag

PLAN = textwrap.dedent("""\
    name: hours
    time_zone: Asia/Shanghai
    targets:
      web: {service: {namespace: production, name: web}}
    windows:
      - {name: day, cron: "0 8 * * *", duration: 12h, sizes: {web: 3}}
    """)


def test_a_plan_becomes_a_dag_that_looks_every_few_minutes_in_the_plan_s_zone():
    dag = scaling_dag(PLAN)
    assert (dag.dag_id, dag.catchup, dag.max_active_runs) == ("hours", False, 1)
    assert (dag.timetable.expression, str(dag.timetable.timezone)) == ("*/5 * * * *", "Asia/Shanghai")
    assert list(dag.task_ids) == ["apply"]
    assert dag.get_task("apply").retries == 3


def test_a_person_can_be_asked_first_and_approves_the_sizes_that_were_shown():
    dag = scaling_dag(PLAN, approval=True)
    order = [task.task_id for task in dag.topological_sort()]
    assert order == ["rehearse", "anything_to_change", "approve", "apply"]
    assert "rehearse" in dag.get_task("apply").at


def test_the_dag_s_own_arguments_win(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN)
    dag = scaling_dag(file, dag_id="mine", schedule=None, tags=["mine"])
    assert (dag.dag_id, dag.schedule, dag.tags) == ("mine", None, {"mine", "tke-plan"})


def test_mistakes_in_the_plan_are_shown_when_the_dag_is_parsed():
    with pytest.raises(ManifestError, match="line 2: 'Asia/Peking' is no time zone"):
        scaling_dag(PLAN.replace("Shanghai", "Peking"))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(NotFoundError, match=r"no scaling plan nowhere\.yaml"):
        scaling_dag("nowhere.yaml")
