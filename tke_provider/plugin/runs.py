"""Starting runs from within the API server; with ``deliveries``, what knows Airflow's inside for it.

There is no user behind a delivery, so there is no login for Airflow's public API. This is what its own API does.
"""

from __future__ import annotations

import functools
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tke_provider.domain.pushes import Move, superseded
from tke_provider.exceptions import InputError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from uuid import UUID

    from airflow.serialization.definitions.dag import SerializedDAG
    from sqlalchemy.orm import Session
    from sqlalchemy.sql.dml import Update


def ready(session: Session, dag_id: str) -> tuple[SerializedDAG, bool]:
    """Return a DAG that takes runs now, and whether they will wait because it is paused.

    :raises NotFoundError: when there is no such DAG.
    :raises UnavailableError: when its file cannot be imported: a run would be of an older version of it.
    :raises InputError: when it is not to be started by hand.
    """
    from airflow.models.dag import DagModel
    from airflow.utils.types import DagRunType

    found = session.get(DagModel, dag_id)
    if found is None or found.is_stale:
        raise _missing(dag_id)
    if found.has_import_errors:
        raise UnavailableError(f"The file of DAG {dag_id} cannot be imported", way_out="mend it, and deliver again")
    allowed = getattr(found, "allowed_run_types", None)  # Airflow 3.2 has it
    if allowed is not None and DagRunType.MANUAL not in allowed:
        raise InputError(f"DAG {dag_id} allows no manual runs", way_out="allow them, or name another DAG")
    return _latest(session, dag_id), bool(found.is_paused)


def validate(dag: SerializedDAG, conf: Mapping[str, str]) -> None:
    """Check the parameters of a run.

    :raises InputError: when the DAG refuses them.
    """
    from airflow.exceptions import ParamValidationError

    try:
        dag.params.deep_merge(dict(conf)).validate()
    except (ParamValidationError, ValueError) as error:
        raise _refused(dag.dag_id, error) from error


def existing(session: Session, dag_id: str, run_ids: Collection[str]) -> set[str]:
    """Return which of these runs are there."""
    from airflow.models import DagRun
    from sqlalchemy import select

    there = select(DagRun.run_id).where(DagRun.dag_id == dag_id, DagRun.run_id.in_(run_ids))
    return {str(each) for each in session.scalars(there)}


def start(session: Session, dag_id: str, run_id: str, conf: Mapping[str, str], by: str) -> bool:
    """Start a run, as a part of the session's transaction; return whether it was not there yet.

    :param by: shown in Airflow as who triggered the run.

    Errors are those of :func:`ready` and :func:`validate`.
    """
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    if existing(session, dag_id, [run_id]):
        return False
    dag, _ = ready(session, dag_id)
    validate(dag, conf)
    try:
        dag.create_dagrun(
            run_id=run_id,
            run_after=datetime.now(timezone.utc),
            conf=dict(conf),
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.REST_API,
            triggering_user_name=by,
            state=DagRunState.QUEUED,
            session=session,
        )
    except ValueError as error:
        raise _refused(dag_id, error) from error
    return True


def _latest(session: Session, dag_id: str) -> SerializedDAG:
    from airflow.models.serialized_dag import SerializedDagModel as Model
    from sqlalchemy import select

    newest = select(Model.dag_version_id, Model.dag_hash).where(Model.dag_id == dag_id)
    found = session.execute(newest.order_by(Model.created_at.desc()).limit(1)).first()
    if found is None:
        raise _missing(dag_id)
    return _read(dag_id, *found)


@functools.lru_cache(maxsize=64)
def _read(dag_id: str, version: UUID, dag_hash: str) -> SerializedDAG:  # noqa: ARG001  # a version without runs changes in place
    """Read a DAG: a large one takes longer than an answer may."""
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    # Not the session of this thread: whoever asks is in the middle of a transaction of it, which this would end.
    with create_session(scoped=False) as session:
        found = session.scalar(select(SerializedDagModel).where(SerializedDagModel.dag_version_id == version))
        dag: SerializedDAG | None = found and found.dag
    if dag is None:
        raise _missing(dag_id)
    return dag


def _refused(dag_id: str, error: Exception) -> InputError:
    return InputError(
        f"DAG {dag_id} refuses the parameters", cause=str(error), way_out="correct params in the connection"
    )


def _missing(dag_id: str) -> NotFoundError:
    return NotFoundError(f"There is no DAG {dag_id}", way_out="correct dag_id in the connection")


def skip_superseded(session: Session, dag_id: str, line: str) -> list[str]:
    """Skip every task of the runs of a branch that need not begin; they end as soon as their turn comes.

    A run that Airflow is just looking at, or that has begun, is left alone.

    :param line: what the ids of the branch's runs begin with.
    :return: the ids of the runs that were skipped.
    """
    from airflow.models import DagRun
    from airflow.utils.state import DagRunState
    from sqlalchemy import select

    waiting = (
        select(DagRun)
        .where(DagRun.dag_id == dag_id, DagRun.run_id.startswith(line, autoescape=True))
        .where(DagRun.state == DagRunState.QUEUED)
        .order_by(DagRun.id)
        .with_for_update(skip_locked=True, of=DagRun)
    )
    runs = {run.run_id: run for run in session.scalars(waiting).unique()}
    moves = [move for each in runs if (move := Move.read(each))]
    skipped = [each for each in superseded(moves) if session.connection().execute(_skip(dag_id, each)).rowcount]
    for run_id in skipped:
        runs[run_id].note = "Superseded by a later push of its branch"
    return skipped


def _skip(dag_id: str, run_id: str) -> Update:
    """Return one statement, so that it holds where a database locks no rows: a run that has begun keeps its tasks."""
    from airflow.models import DagRun, TaskInstance
    from airflow.utils.state import DagRunState, TaskInstanceState
    from sqlalchemy import select, update

    theirs = (DagRun.dag_id == dag_id, DagRun.run_id == run_id, DagRun.state == DagRunState.QUEUED)
    return (
        update(TaskInstance)
        .where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id, TaskInstance.state.is_(None))
        .where(select(DagRun.id).where(*theirs).exists())
        .values(state=TaskInstanceState.SKIPPED)
    )
