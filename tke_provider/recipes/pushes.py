"""From a push to a run of a pipeline, where no webhook can call in."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Asset, AssetWatcher, task

from tke_provider.domain.pushes import short
from tke_provider.triggers.pushes import GitHeadTrigger, TcrImageTrigger, asset_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OVERLAP = timedelta(minutes=1)
"""Events that are stored in the same moment need not become visible in the order of their times."""

_LONGEST_NAME = 40
"""Characters of a repository's name in a run's id, which may have 250; a tag takes up to 128 of them."""


def pushes(git_url: str, branch: str = "main", *, git_conn_id: str | None = None, every: float = 10.0) -> Asset:
    """Return the asset that has an event whenever the branch has a new head. Needs Airflow 3.3.

    It is watched while an unpaused DAG is scheduled on it. Parameters and payload are those of
    :class:`~tke_provider.triggers.pushes.GitHeadTrigger`.
    """
    trigger = GitHeadTrigger(git_url=git_url, branch=branch, git_conn_id=git_conn_id, every=every)
    return Asset(name=asset_name(git_url, branch), watchers=[AssetWatcher(name="head", trigger=trigger)])


def images(repository: str, tag: str = "*", **kwargs: Any) -> Asset:
    """Return the asset that has an event whenever an image was pushed to TCR. Needs Airflow 3.3.

    It is watched while an unpaused DAG is scheduled on it. Parameters and payload are those of
    :class:`~tke_provider.triggers.pushes.TcrImageTrigger`.
    """
    trigger = TcrImageTrigger(repository=repository, tag=tag, **kwargs)
    return Asset(name=trigger.asset, watchers=[AssetWatcher(name="tags", trigger=trigger)])


def push_dag(
    dag_id: str,
    *,
    git_url: str,
    starts: str,
    branch: str = "main",
    git_conn_id: str | None = None,
    every: float = 10.0,
    conf: Mapping[str, Any] | None = None,
    build: Literal["every", "latest"] = "every",
    **kwargs: Any,
) -> DAG:
    """Return a DAG that starts another one for each new head of a branch, once.

    :param starts: the pipeline's ``dag_id``; its parameters ``git_url`` and ``commit`` are filled.
    :param conf: its other parameters.
    :param build: ``latest`` starts, of heads that were seen together, the last alone.
    :param kwargs: to the DAG.
    """

    def run(told: Mapping[str, str]) -> dict[str, Any]:
        filled = {name: told[name] for name in ("git_url", "commit")}
        # A mirror has the same commits, and another branch may.
        name = f"push__{short(told['git_url'], told['branch'])}__{told['number']}-{told['commit']}"
        return {"trigger_run_id": name, "conf": {**(conf or {}), **filled}}

    head = pushes(git_url, branch, git_conn_id=git_conn_id, every=every)
    return _dag(dag_id, head, starts, run, latest=build == "latest", **kwargs)


def image_dag(
    dag_id: str,
    *,
    repository: str,
    starts: str,
    tag: str = "*",
    watch: Mapping[str, Any] | None = None,
    conf: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> DAG:
    """Return a DAG that starts another one for each image that is pushed to TCR, once.

    :param starts: the ``dag_id`` of the other one; its parameter ``image`` is filled with the reference by digest.
    :param watch: other parameters of :class:`~tke_provider.triggers.pushes.TcrImageTrigger`.
    :param conf: the other parameters of the DAG that is started.
    :param kwargs: to the DAG.
    """

    def run(told: Mapping[str, str]) -> dict[str, Any]:
        place = told["repository"]
        of = f"{place.rpartition('/')[2][:_LONGEST_NAME]}-{short(place)}"
        name = f"image__{of}__{told['tag']}__{told['digest'].partition(':')[2][:12]}__{told['pushed']}"
        return {"trigger_run_id": name, "conf": {**(conf or {}), "image": told["image"]}}

    return _dag(dag_id, images(repository, tag, **(watch or {})), starts, run, **kwargs)


def _dag(
    dag_id: str,
    asset: Asset,
    starts: str,
    run: Callable[[Mapping[str, str]], dict[str, Any]],
    *,
    latest: bool = False,
    **kwargs: Any,
) -> DAG:
    with DAG(dag_id, schedule=[asset], catchup=False, **kwargs) as dag:
        # Airflow does not tell of events while a run that one of them made has not begun.
        @task(inlets=[asset], retries=10, retry_delay=timedelta(seconds=3))
        def news(
            triggering_asset_events: Any = None, inlet_events: Any = None, dag_run: Any = None
        ) -> list[dict[str, Any]]:
            """Return what is new since the first event of this run; the run's id keeps what was new before out.

            Airflow starts one run for events that come close together, and hands it the first alone: the others are
            read from the asset. Whatever is stored before that run is made, this sees; whatever is stored later makes
            a run of its own.
            """
            first = triggering_asset_events.get(asset) or ()  # a person who starts this by hand has none
            since = min((event.timestamp for event in first), default=dag_run.run_after)
            told = inlet_events[asset].after((since - _OVERLAP).isoformat()).ascending()
            wanted = {each["trigger_run_id"]: each for each in (run(event.extra["payload"]) for event in told)}
            return [*wanted.values()][-1:] if latest else [*wanted.values()]

        TriggerDagRunOperator.partial(
            task_id="start", trigger_dag_id=starts, skip_when_already_exists=True
        ).expand_kwargs(news())
    return dag
