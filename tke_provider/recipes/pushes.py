"""From the head of a branch to a run of a pipeline, where no webhook can call in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Asset, AssetWatcher, task

from tke_provider.triggers.pushes import GitHeadTrigger, asset_name

if TYPE_CHECKING:
    from collections.abc import Mapping


def pushes(git_url: str, branch: str = "main", *, git_conn_id: str | None = None, every: float = 10.0) -> Asset:
    """Return the asset that has an event whenever the branch has a new head. Needs Airflow 3.3.

    It is watched while an unpaused DAG is scheduled on it. Parameters and payload are those of
    :class:`~tke_provider.triggers.pushes.GitHeadTrigger`.
    """
    trigger = GitHeadTrigger(git_url=git_url, branch=branch, git_conn_id=git_conn_id, every=every)
    return Asset(name=asset_name(git_url, branch), watchers=[AssetWatcher(name="head", trigger=trigger)])


def push_dag(
    dag_id: str,
    *,
    git_url: str,
    starts: str,
    branch: str = "main",
    git_conn_id: str | None = None,
    every: float = 10.0,
    conf: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> DAG:
    """Return a DAG that starts another one for each new head of a branch, once.

    :param starts: the pipeline's ``dag_id``; its parameters ``git_url`` and ``commit`` are filled.
    :param conf: its other parameters.
    :param kwargs: to the DAG.
    """
    head = pushes(git_url, branch, git_conn_id=git_conn_id, every=every)
    with DAG(dag_id, schedule=[head], catchup=False, **kwargs) as dag:

        @task(inlets=[head])
        def commits(triggering_asset_events: Any = None, inlet_events: Any = None) -> list[dict[str, Any]]:
            """Return what is new since the first event of this run.

            Airflow starts one run for events that come close together, and hands it the first alone: the others are
            read from the asset.
            """
            since = min(event.timestamp for event in triggering_asset_events[head])
            told = [event.extra["payload"] for event in inlet_events[head].after(since.isoformat()).ascending()]
            return [
                {
                    "trigger_run_id": f"push__{each['commit']}",
                    "conf": {**(conf or {}), "git_url": each["git_url"], "commit": each["commit"]},
                }
                for each in told
            ]

        TriggerDagRunOperator.partial(
            task_id="start", trigger_dag_id=starts, skip_when_already_exists=True
        ).expand_kwargs(commits())
    return dag
