"""The scaling plans of this Airflow, and their calendars. The only file that reads Airflow's tables for it."""

from __future__ import annotations

import functools
from datetime import datetime, timedelta, timezone
from typing import Any

from tke_provider.exceptions import TkeError

OPERATOR = "TkeApplyScheduleOperator"
DAYS = 14


def calendars() -> list[dict[str, Any]]:
    """Return the calendar of every plan: its DAG, and the stretches of every target, or why there are none."""
    start = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
    return [{"dag_id": dag_id, **_calendar(text, start)} for dag_id, text in _plans()]


@functools.lru_cache(maxsize=64)
def _calendar(text: str, start: datetime) -> dict[str, Any]:
    from tke_provider.domain.plan_calendars import calendar
    from tke_provider.domain.plan_documents import parse
    from tke_provider.domain.plans import Kind

    end = start + timedelta(days=DAYS)
    try:
        plan = parse(text)
        targets = calendar(plan, start, end)
    except TkeError as error:
        return {"error": str(error)}
    drawn = {
        name: [[each.start.isoformat(), each.end.isoformat(), each.size, each.window] for each in stretches]
        for name, stretches in targets.items()
    }
    services = {
        name: {"cluster": each.cluster, "namespace": each.namespace, "service": each.object_name}
        for name, each in plan.targets.items()
        if each.kind is Kind.SERVICE and each.object_name
    }
    span = {"start": start.isoformat(), "end": end.isoformat()}
    return {"name": plan.name, "zone": plan.zone, **span, "targets": drawn, "services": services}


def _plans() -> list[tuple[str, str]]:
    """Return DAG and plan of every task that applies one, as the DAG processor stored them."""
    from airflow.models.dag import DagModel, DagTag
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from tke_provider.recipes.scaling import PLAN_TAG

    tagged = select(DagTag.dag_id).where(DagTag.name == PLAN_TAG)
    dag_ids = select(DagModel.dag_id).where(DagModel.dag_id.in_(tagged), ~DagModel.is_stale).order_by(DagModel.dag_id)
    with create_session() as session:
        stored = [SerializedDagModel.get(dag_id, session=session) for dag_id in session.scalars(dag_ids)]
        dags = [(each.dag_id, each.dag) for each in stored if each]
    tasks = [(dag_id, task) for dag_id, dag in dags for task in dag.tasks]
    return [(dag_id, str(task.plan)) for dag_id, task in tasks if task.task_type == OPERATOR and hasattr(task, "plan")]
