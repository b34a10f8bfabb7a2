"""Starting runs from within the API server; the only file that knows Airflow's inside for it.

There is no user behind a delivery, so there is no login for Airflow's public API. This is what ``airflow dags trigger``
calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tke_provider.exceptions import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping


def start(dag_id: str, run_id: str, conf: Mapping[str, str], by: str) -> bool:
    """Start a run once; parameters are checked against the DAG's.

    :param by: shown in Airflow as who triggered the run.
    :return: whether the run is new.
    :raises NotFoundError: when there is no such DAG.
    :raises InputError: when the DAG refuses the parameters.
    """
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.exceptions import DagNotFound, DagRunAlreadyExists, ParamValidationError
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy.exc import IntegrityError

    try:
        trigger_dag(
            dag_id=dag_id,
            run_id=run_id,
            conf=dict(conf),
            triggered_by=DagRunTriggeredByType.REST_API,
            triggering_user_name=by,
        )
    except (DagRunAlreadyExists, IntegrityError):  # the second, where two arrive in the same moment
        return False
    except DagNotFound as error:
        raise NotFoundError(f"There is no DAG {dag_id}", way_out="correct dag_id in the connection") from error
    except (ParamValidationError, ValueError) as error:
        raise InputError(
            f"DAG {dag_id} refuses the parameters", cause=str(error), way_out="correct params in the connection"
        ) from error
    return True


def skip_waiting(dag_id: str, prefix: str, but: str) -> list[str]:
    """Skip every task of older runs that have not begun; they end as soon as their turn comes.

    :param prefix: of the ids of the runs that may be skipped.
    :param but: the run for which they make way.
    :return: the ids of the runs that were skipped.
    """
    from airflow.models import DagRun, TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState, TaskInstanceState
    from sqlalchemy import select, update

    with create_session() as session:
        begun = select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id == but).scalar_subquery()
        waiting = (
            select(DagRun)
            .where(DagRun.dag_id == dag_id, DagRun.run_id.startswith(prefix, autoescape=True), DagRun.id < begun)
            .where(DagRun.state == DagRunState.QUEUED)
            .with_for_update(skip_locked=True)
        )
        skipped = list(session.scalars(waiting))
        for run in skipped:
            run.note = f"Superseded by {but}"
            theirs = (TaskInstance.dag_id == dag_id, TaskInstance.run_id == run.run_id, TaskInstance.state.is_(None))
            session.execute(
                update(TaskInstance)
                .where(*theirs)
                .values(state=TaskInstanceState.SKIPPED)
                .execution_options(synchronize_session=False)
            )
        return [run.run_id for run in skipped]
