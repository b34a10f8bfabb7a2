"""Starting runs from within the API server; the only file that knows Airflow's inside for it.

There is no user behind a delivery, so there is no login for Airflow's public API. This is what ``airflow dags trigger``
calls.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from tke_provider.domain.pushes import Move, superseded
from tke_provider.exceptions import InputError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.sql.dml import Update


class Started(enum.Enum):
    """What became of the wish for a run."""

    NEW = "started"
    WAITS = "started; it waits, for the DAG is paused"
    KNOWN = "it was delivered before"


def start(dag_id: str, run_id: str, conf: Mapping[str, str], by: str) -> Started:
    """Start a run once; parameters are checked against the DAG's.

    :param by: shown in Airflow as who triggered the run.
    :raises NotFoundError: when there is no such DAG.
    :raises UnavailableError: when its file cannot be imported: a run would be of an older version of it.
    :raises InputError: when the DAG refuses the parameters.
    """
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.exceptions import DagNotFound, DagRunAlreadyExists, ParamValidationError
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy.exc import IntegrityError

    paused = _paused(dag_id)
    try:
        trigger_dag(
            dag_id=dag_id,
            run_id=run_id,
            conf=dict(conf),
            triggered_by=DagRunTriggeredByType.REST_API,
            triggering_user_name=by,
        )
    except (DagRunAlreadyExists, IntegrityError):  # the second, where two arrive in the same moment
        return Started.KNOWN
    except DagNotFound as error:
        raise _missing(dag_id) from error
    except (ParamValidationError, ValueError) as error:
        raise InputError(
            f"DAG {dag_id} refuses the parameters", cause=str(error), way_out="correct params in the connection"
        ) from error
    return Started.WAITS if paused else Started.NEW


def _paused(dag_id: str) -> bool:
    """Return whether runs of a DAG wait; refuse one that is gone or broken, which triggering does not look at."""
    from airflow.models.dag import DagModel

    dag = DagModel.get_current(dag_id)
    if dag is None or dag.is_stale:
        raise _missing(dag_id)
    if dag.has_import_errors:
        raise UnavailableError(f"The file of DAG {dag_id} cannot be imported", way_out="mend it, and deliver again")
    return bool(dag.is_paused)


def _missing(dag_id: str) -> NotFoundError:
    return NotFoundError(f"There is no DAG {dag_id}", way_out="correct dag_id in the connection")


def skip_superseded(dag_id: str, line: str) -> list[str]:
    """Skip every task of the runs of a branch that need not begin; they end as soon as their turn comes.

    A run that Airflow is just looking at, or that has begun, is left alone.

    :param line: what the ids of the branch's runs begin with.
    :return: the ids of the runs that were skipped.
    """
    from airflow.models import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from sqlalchemy import select

    waiting = (
        select(DagRun)
        .where(DagRun.dag_id == dag_id, DagRun.run_id.startswith(line, autoescape=True))
        .where(DagRun.state == DagRunState.QUEUED)
        .order_by(DagRun.id)
        .with_for_update(skip_locked=True, of=DagRun)
    )
    with create_session() as session:
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
