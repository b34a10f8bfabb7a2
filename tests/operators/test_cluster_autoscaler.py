"""Options of the cluster autoscaler, set on the emulated cloud; its own log says what was written."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.live_cluster import until
from tke_provider.clients.tke import Tke
from tke_provider.exceptions import InputError
from tke_provider.operators.cluster_autoscaler import TkeConfigureClusterAutoscalerOperator

WRITE = "ModifyClusterAsGroupOptionAttribute"
WANTED = {"expander": "least-waste", "scale_down_unneeded_time": "20"}


@pytest.fixture
def cloud(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    return cloud


def context(store: dict[str, Any] | None = None) -> dict[str, Any]:
    """The context of a try; what the store holds outlives it, as Airflow's does."""
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=3, xcom_push=lambda **_: None)
    kept = {} if store is None else store
    return {"ti": ti, "task_state_store": SimpleNamespace(get=kept.get, set=kept.__setitem__)}


def operator(options: Any = WANTED, **more: Any) -> TkeConfigureClusterAutoscalerOperator:
    return TkeConfigureClusterAutoscalerOperator(task_id="t", options=options, poll_interval=0.01, **more)


def configure(options: Any = WANTED, store: dict[str, Any] | None = None, **more: Any) -> Any:
    return operator(options, **more).execute(context(store))


def live(cloud) -> dict[str, Any]:
    return cloud._ask("GET", "state", {})["clusters"]["cls-local000"]["autoscaler"]


def test_what_differs_is_written_and_told_from_what_to_what(cloud):
    result = configure()
    assert result["cluster_id"] == "cls-local000"
    assert result["changed"] == {
        "expander": {"before": "random", "after": "least-waste"},
        "scale_down_unneeded_time": {"before": 10, "after": 20},
    }
    assert (result["options"]["scale_down_enabled"], result["options"]["expander"]) == (True, "least-waste")
    assert live(cloud) == {"Expander": "least-waste", "ScaleDownUnneededTime": 20}


def test_a_dry_run_shows_what_would_be_set_and_writes_nothing(cloud):
    shown = configure({**WANTED, "scale_down_enabled": True}, dry_run=True)
    assert [(row["ref"], row["before"], row["after"], row["state"]) for row in shown["rows"]] == [
        ("expander of the autoscaler of cluster cls-local000", "random", "least-waste", "to change"),
        ("scale_down_unneeded_time of the autoscaler of cluster cls-local000", "10", "20", "to change"),
        ("scale_down_enabled of the autoscaler of cluster cls-local000", "on", "on", "unchanged"),
    ]
    with pytest.raises(AirflowFailException, match="expander is 'cheapest'"):
        configure({"expander": "cheapest"}, dry_run=True)
    assert cloud.calls(WRITE) == []


def test_what_is_there_is_not_written_again(cloud):
    configure()
    assert configure()["changed"] == {}
    assert configure({"expander": "least-waste", "scale_down_delay": 10})["changed"] == {}, "10 is the cloud's default"
    assert len(cloud.calls(WRITE)) == 1


def test_only_what_differs_is_written_and_the_rest_stays(cloud):
    configure()
    configure({**WANTED, "scale_down_enabled": False})
    assert cloud.calls(WRITE)[-1]["request"]["ClusterAsGroupOption"] == {"IsScaleDownEnabled": False}
    assert live(cloud)["ScaleDownUnneededTime"] == 20


@pytest.mark.parametrize(("trouble", "writes"), [("lost_answer", 1), ("server_error", 2), ("throttle", 2)])
def test_a_write_without_an_answer_is_looked_up_before_it_is_repeated(cloud, trouble, writes):
    cloud.trouble(trouble, WRITE)
    assert set(configure()["changed"]) == set(WANTED)
    assert len(cloud.calls(WRITE)) == writes


def test_a_misspelt_option_is_refused_when_the_dag_is_parsed():
    with pytest.raises(InputError, match="has no option 'scale_down'"):
        operator({"scale_down": True})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"options": {"expander": "cheapest"}}, "expander is 'cheapest'"),
        ({"options": {"scale_down_delay": "{{ nothing }}"}}, "give a whole number"),
        ({"options": {}}, "No option of the cluster autoscaler is to be set"),
        ({"options": "{'expander': 'random'}"}, "give a dict of options to values"),
        ({"cluster_id": "cls-unknown"}, "cls-unknown"),
    ],
)
def test_nonsense_is_refused_and_nothing_is_changed(cloud, wrong, told):
    with pytest.raises(AirflowFailException) as refused:
        configure(**wrong)
    assert told in str(refused.value)
    assert cloud.calls(WRITE) == []


def test_a_cluster_of_which_the_cloud_tells_no_options_is_refused(cloud, monkeypatch):
    # The documentation lets the answer be null, and does not say when; the emulator has no such cluster.
    monkeypatch.setattr(Tke, "_tke", AsyncMock(return_value={"ClusterAsGroupOption": None}))
    with pytest.raises(AirflowFailException, match="tells no autoscaler options of cluster cls-local000; turn on"):
        configure()


def test_options_that_somebody_else_sets_back_are_named(cloud, monkeypatch):
    # Nobody else can be made to write between two calls of the task.
    monkeypatch.setattr(Tke, "set_autoscaler_options", AsyncMock())
    with pytest.raises(AirflowFailException, match="it still has expander random, scale_down_unneeded_time 10"):
        configure(timeout=0.05)


async def test_a_worker_killed_before_it_heard_the_answer_has_written_once_for_its_retry(cloud):
    cloud.trouble("slow", WRITE, seconds=5)
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
    script += "from tests.operators.test_cluster_autoscaler import configure\nconfigure()"
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    try:

        async def written() -> bool:
            assert worker.returncode is None, "it ended before it could be killed"
            return bool(cloud.calls(WRITE))

        await until(written)
        worker.kill()
    finally:
        await worker.wait()
    assert (await asyncio.to_thread(configure))["changed"] == {}
    assert len(cloud.calls(WRITE)) == 1
    assert live(cloud) == {"Expander": "least-waste", "ScaleDownUnneededTime": 20}


def test_a_retry_tells_what_its_first_try_changed(cloud):
    store: dict[str, Any] = {}
    cloud.trouble("error", WRITE, code="InternalError.Db", count=None)
    with pytest.raises(Exception, match="InternalError"):
        configure(store=store, timeout=0)
    cloud._ask("DELETE", "trouble", {})
    configure({"expander": "least-waste"})
    changed = configure(store=store)["changed"]
    assert {word: change["before"] for word, change in changed.items()} == {
        "expander": "random",
        "scale_down_unneeded_time": 10,
    }
