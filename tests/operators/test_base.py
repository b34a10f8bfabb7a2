from __future__ import annotations

import time
from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tke_provider.domain.releases import Record
from tke_provider.domain.verdicts import Verdict, passed, pending
from tke_provider.exceptions import BusyError, ConflictError, InputError, NotFoundError
from tke_provider.operators.base import TkeWaitingOperator, operation_of
from tke_provider.operators.canaries import TkeCanaryDeployOperator
from tke_provider.operators.rollouts import TkeDeployServiceOperator
from tke_provider.operators.scaling import TkeScaleNodePoolOperator, TkeScaleServiceOperator
from tke_provider.triggers.base import TkeBaseTrigger

CONTEXT = {"ti": SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=2)}


class Look(TkeBaseTrigger):
    arguments = ("verdicts",)

    def __init__(self, *, verdicts, **kwargs):
        super().__init__(**kwargs)
        self.verdicts = verdicts

    async def look(self) -> Verdict:
        return self.verdicts.pop(0)


class Change(TkeWaitingOperator):
    def __init__(self, *, verdicts=(), error=None, **kwargs):
        super().__init__(task_id="change", poll_interval=0.001, **kwargs)
        self.verdicts = list(verdicts)
        self.error = error
        self.changes = 0

    async def change(self, context):
        self.changes += 1
        if self.error:
            raise self.error

    def trigger(self, context, deadline):
        return Look(verdicts=self.verdicts, tke_conn_id=self.tke_conn_id, deadline=deadline, poll_interval=0.001)

    async def conclude(self, context, verdict):
        return verdict.as_event()


def test_an_error_on_which_no_retry_helps_ends_the_task_at_once():
    with pytest.raises(AirflowFailException, match="Cluster cls-1 was not found; set another"):
        Change(error=NotFoundError("Cluster cls-1 was not found", way_out="set another")).execute(CONTEXT)


def test_an_error_that_passes_is_left_to_airflows_retries():
    with pytest.raises(BusyError):
        Change(error=BusyError("Service web is being deployed", way_out="wait")).execute(CONTEXT)


@pytest.mark.parametrize("deferrable", [True, False])
def test_what_is_reached_at_once_is_not_deferred(deferrable):
    change = Change(verdicts=[passed("up")], deferrable=deferrable)
    assert change.execute(CONTEXT) == {"state": "passed", "reason": "up"}


def test_it_defers_when_it_has_to_wait_and_the_deadline_goes_with_it():
    change = Change(verdicts=[pending("coming")], deferrable=True, defer_after=0, timeout=300)
    with pytest.raises(TaskDeferred) as deferred:
        change.execute(CONTEXT)
    assert deferred.value.method_name == "execute_complete"
    assert deferred.value.trigger.deadline == pytest.approx(time.time() + 300, abs=10)


def test_the_execution_timeout_of_airflow_holds_while_the_task_is_deferred():
    change = Change(
        verdicts=[pending("coming")],
        deferrable=True,
        defer_after=0,
        timeout=300,
        execution_timeout=timedelta(seconds=30),
    )
    with pytest.raises(TaskDeferred) as deferred:
        change.execute(CONTEXT)
    assert deferred.value.trigger.deadline == pytest.approx(time.time() + 30, abs=10)


def test_what_is_reached_in_a_moment_is_not_deferred_either():
    change = Change(verdicts=[pending("coming"), pending("coming"), passed("up")], deferrable=True)
    assert change.execute(CONTEXT) == {"state": "passed", "reason": "up"}


def test_without_a_triggerer_the_same_loop_waits_in_the_task():
    change = Change(verdicts=[pending("coming"), pending("coming"), passed("up")], deferrable=False)
    assert change.execute(CONTEXT) == {"state": "passed", "reason": "up"}
    assert change.changes == 1


def test_it_concludes_with_what_the_trigger_handed_over():
    assert Change().execute_complete(CONTEXT, event=passed("up").as_event()) == passed("up").as_event()


def test_the_operation_is_that_of_the_task_instance():
    assert operation_of(CONTEXT).id.startswith("d.t.")
    mapped = {"ti": SimpleNamespace(**{**vars(CONTEXT["ti"]), "map_index": 3})}
    assert operation_of(mapped) != operation_of(CONTEXT)


@pytest.mark.parametrize(
    "misspelt",
    [
        lambda: TkeScaleNodePoolOperator(task_id="t", node_pool="web", desired=1, direction="Up"),
        lambda: TkeScaleNodePoolOperator(task_id="t", node_pool="web", desired=1, on_autoscaler="bound"),
        lambda: TkeScaleServiceOperator(task_id="t", namespace="n", name="web", replicas=1, on_owner="Refuse"),
        lambda: TkeScaleServiceOperator(task_id="t", namespace="n", name="w", replicas=1, dry_run="{{ params.dry }}"),
        lambda: TkeDeployServiceOperator(task_id="t", namespace="n", images={}, on_failure="rolback"),
        lambda: TkeCanaryDeployOperator(task_id="t", namespace="n", images={}, traffic="nginx"),
    ],
)
def test_a_misspelt_option_is_refused_when_the_dag_is_parsed(misspelt):
    with pytest.raises(InputError, match="write one of"):
        misspelt()


@pytest.mark.parametrize(
    ("operations", "try_number", "replaced"),
    [
        (["op-2", "op-1"], 2, True),
        (["op-1"], 2, False),
        (["op-2"], 2, False),
        ([], 2, False),
        (["op-2", "op-1"], 1, False),
    ],
)
async def test_a_late_retry_takes_nothing_back_that_somebody_else_released_since(
    monkeypatch, operations, try_number, replaced
):
    async def history(
        *_: object,
    ) -> list[Record]:  # a mock: what the cluster has, tests/operators/test_releases.py shows
        return [Record(service="web", namespace="shop", op=op) for op in operations]

    monkeypatch.setattr("tke_provider.clients.releases.history", history)
    deploy = TkeDeployServiceOperator(task_id="deploy", namespace="shop", service="web", manifests=[], images={})
    context = {"ti": SimpleNamespace(try_number=try_number)}
    refused = pytest.raises(ConflictError, match="released since the first try by op-2") if replaced else nullcontext()
    with refused:
        await deploy._refuse_replaced(None, "op-1", context)
