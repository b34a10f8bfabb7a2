"""From a scaling plan to the DAG that keeps everything in it at the size that should hold."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import DAG, Param, chain, task
from airflow.sdk import CronTriggerTimetable

from tke_provider.domain.plan_documents import parse
from tke_provider.exceptions import NotFoundError
from tke_provider.operators.plans import TkeApplyScheduleOperator, TkeScalePlanOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

    from tke_provider.domain.plan_results import PlanResult

PLAN_TAG = "tke-plan"
"""By this tag the board knows whose plan to draw."""
_RETRIES = {"retries": 3, "retry_delay": timedelta(minutes=1)}
_AT = Param(
    None,
    type=["null", "string"],
    format="date-time",
    title="Instant",
    description="Apply the sizes that should hold at this instant instead of now.",
)


def scaling_dag(plan: Path | str, *, every: str = "*/5 * * * *", approval: bool = False, **kwargs: Any) -> DAG:
    """Return the DAG of a scaling plan. Each run sets the sizes that should hold when it runs.

    ``docs/plans.md`` explains the plan.

    :param plan: the path of its YAML file, or its text.
    :param every: when to look, as a cron expression in the plan's time zone: a little more often than sizes change, for
        what one run missed, the next one heals.
    :param approval: ask a person before anything is changed, with a table of what would be. What is approved are the
        sizes of the instant that was shown.
    :param kwargs: of the DAG; they win over what the recipe would say, such as ``dag_id``, which is the plan's name.
        The tag ``tke-plan`` is added to theirs.
    :return: the DAG; assign it to a variable of the DAG file.
    :raises ManifestError: that tells every mistake in the plan with its line.
    :raises NotFoundError: when there is no such file.
    """
    text = _read(plan)
    read = parse(text)
    given = {
        "dag_id": read.name,
        "doc_md": f"Sets the sizes of this plan:\n\n```yaml\n{text.strip()}\n```",
        "start_date": datetime(2020, 1, 1, tzinfo=timezone.utc),
        "catchup": False,
        "max_active_runs": 1,
        "params": {"at": _AT},
        "default_args": _RETRIES,
        "tags": ["tke", "scaling"],
    }
    given["tags"] = [*kwargs.pop("tags", given["tags"]), PLAN_TAG]
    schedule = kwargs.pop("schedule", CronTriggerTimetable(every, timezone=read.zone))
    with DAG(schedule=schedule, **{**given, **kwargs}) as dag:
        if approval:
            _ask(text, read.name)
        else:
            _apply(text, "{{ params.at or '' }}")
    return dag


def _apply(text: str, at: str) -> BaseOperator:
    return TkeApplyScheduleOperator(task_id="apply", plan=text, at=at)


def _ask(text: str, name: str) -> None:
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    shown = TkeScalePlanOperator(task_id="rehearse", plan=text, at="{{ params.at or '' }}")

    @task.short_circuit
    def anything_to_change(shown: PlanResult) -> bool:
        return bool(shown["rows"])

    approve = ApprovalOperator(
        task_id="approve",
        subject=f"Apply the sizes of plan {name}?",
        body="{{ ti.xcom_pull(task_ids='rehearse')['markdown'] }}",
        defaults=ApprovalOperator.REJECT,
        response_timeout=timedelta(hours=4),
    )
    result: Any = shown.output
    chain(anything_to_change(result), approve, _apply(text, "{{ ti.xcom_pull(task_ids='rehearse')['at'] }}"))


def _read(plan: Path | str) -> str:
    if isinstance(plan, str) and "\n" in plan:
        return plan
    try:
        return Path(plan).read_text(encoding="utf-8")
    except OSError as error:
        raise NotFoundError(
            f"There is no scaling plan {plan}", cause=str(error), way_out="pass the path of a YAML file, or its text"
        ) from error
