"""Airflow as its user reaches it: the public REST API, with a login."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Any

import httpx

from local import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

#: An answer given in the very moment in which a task starts to wait for it may be lost, so people's slowness is kept.
_HUMAN_SECONDS = 2.0
_FINAL = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class AirflowApi:
    """A logged-in user.

    :param url: where the API server answers, without a trailing slash.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=30, trust_env=False)
        token = self._json(self.http.post("/auth/token", json={"username": user, "password": password}))
        self.http.headers["Authorization"] = f"Bearer {token['access_token']}"

    def _json(self, answer: httpx.Response) -> Any:
        if answer.is_error:
            raise StackError(
                f"{answer.request.method} {answer.request.url} answered {answer.status_code}: {answer.text}"
            )
        return answer.json()

    def unpause(self, dag_id: str, timeout: float = 120) -> None:
        """Wait until the DAG is known, and let its runs start.

        :raises StackError: when it does not appear, with Airflow's own import errors.
        """
        deadline = time.monotonic() + timeout
        while self.http.get(f"/api/v2/dags/{dag_id}").status_code == httpx.codes.NOT_FOUND:
            if time.monotonic() > deadline:
                errors = self._json(self.http.get("/api/v2/importErrors"))["import_errors"]
                raise StackError(f"DAG {dag_id} did not appear in {timeout:.0f} s; import errors: {errors}")
            time.sleep(0.5)
        self._json(self.http.patch(f"/api/v2/dags/{dag_id}", json={"is_paused": False}))

    def pause(self, dag_id: str) -> None:
        """Keep the DAG's schedule from starting runs."""
        self._json(self.http.patch(f"/api/v2/dags/{dag_id}", json={"is_paused": True}))

    def watch(self, dag_id: str) -> None:
        """Let the DAG's watchers begin: Airflow starts them when it reads the file, so now rather than at its turn."""
        self.unpause(dag_id)
        token = self._json(self.http.get(f"/api/v2/dags/{dag_id}"))["file_token"]
        self.http.put(f"/api/v2/parseDagFile/{token}").raise_for_status()

    def start(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run as the form does, and return its id."""
        body = {"conf": conf, "logical_date": None}
        return str(self._json(self.http.post(f"/api/v2/dags/{dag_id}/dagRuns", json=body))["dag_run_id"])

    def active(self, dag_id: str) -> list[str]:
        """Return the ids of runs that have not ended: behind them, a new one waits."""
        answer = self._json(self.http.get(f"/api/v2/dags/{dag_id}/dagRuns?state=running&state=queued"))
        return [str(run["dag_run_id"]) for run in answer["dag_runs"]]

    def runs(self, dag_id: str) -> list[str]:
        """Return the ids of the newest runs."""
        answer = self._json(self.http.get(f"/api/v2/dags/{dag_id}/dagRuns?order_by=-id&limit=20"))
        return [str(run["dag_run_id"]) for run in answer["dag_runs"]]

    def next_start(self, dag_id: str) -> dt.datetime | None:
        """Return when the DAG's schedule starts its next run; None for a DAG that no clock starts."""
        due = self._json(self.http.get(f"/api/v2/dags/{dag_id}"))["next_dagrun_run_after"]
        return dt.datetime.fromisoformat(due.replace("Z", "+00:00")) if due else None

    def scheduled(self, dag_id: str, state: str) -> list[str]:
        """Return the ids of the runs in a state that the DAG's schedule began."""
        answer = self._json(self.http.get(f"/api/v2/dags/{dag_id}/dagRuns?state={state}&run_type=scheduled"))
        return [str(run["dag_run_id"]) for run in answer["dag_runs"]]

    def call_off(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed, as the UI does."""
        self._json(self.http.patch(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"}))

    def first_running(self, dag_id: str, before: Collection[str], timeout: float = 60) -> str:
        """Wait until a task of a run runs that was not there before, and return the run's id.

        :raises StackError: when none does.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for run_id in self.runs(dag_id):
                if run_id not in before and any(task["start_date"] for task in self.tasks(dag_id, run_id)):
                    return run_id
            time.sleep(0.1)
        raise StackError(f"No new run of {dag_id} began within {timeout:.0f} s: see the API server's log")

    def state(self, dag_id: str, run_id: str) -> str:
        """Return the run's state."""
        return str(self._json(self.http.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"))["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the run's task instances."""
        answer = self._json(self.http.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=100"))
        return list(answer["task_instances"])

    def follow(
        self,
        dag_id: str,
        run_id: str,
        approve: Callable[[], str] | None = None,
        meanwhile: Callable[[], None] = lambda: None,
        timeout: float = 600,
    ) -> Iterator[dict[str, Any]]:
        """Yield every task instance when it has ended, until the run has.

        :param approve: asked for "Approve" or "Reject" when a task waits for a person; None leaves it waiting.
        :param meanwhile: called at each look.
        :param timeout: after how many seconds a run that has not ended is an error.
        """
        deadline, told = time.monotonic() + timeout, set()
        while True:
            ended = self.state(dag_id, run_id) in {"success", "failed"}
            for task in sorted(self.tasks(dag_id, run_id), key=lambda task: task["end_date"] or "9"):
                if task["state"] in _FINAL and task["task_id"] not in told:
                    told.add(task["task_id"])
                    yield task
                elif task["state"] == "awaiting_input" and approve:
                    self.answer(dag_id, run_id, task["task_id"], approve())
            if ended:
                return
            meanwhile()
            if time.monotonic() > deadline:
                waiting = {task["task_id"]: task["state"] for task in self.tasks(dag_id, run_id)}
                raise StackError(f"Run {run_id} of {dag_id} did not end in {timeout:.0f} s: {waiting}")
            time.sleep(0.3)

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str, **filled_in: str) -> None:
        """Answer a task that waits for a person, as the UI does."""
        time.sleep(_HUMAN_SECONDS)
        where = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
        self._json(self.http.patch(where, json={"chosen_options": [option], "params_input": filled_in}))

    def set_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task as the UI does."""
        where = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self._json(self.http.patch(where, json={"new_state": state}))

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return what a task left in XCom, or None."""
        where = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        answer = self.http.get(where, params={"deserialize": "true"})
        return None if answer.status_code == httpx.codes.NOT_FOUND else self._json(answer)["value"]

    def log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return what a person reads in the log of the task's last try."""
        task = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        where = f"{task}/logs/{self._json(self.http.get(task))['try_number']}"
        content = self._json(self.http.get(where, params={"full_content": "true"}))["content"]
        return "\n".join(_line(entry) for entry in content)


def _line(entry: dict[str, Any]) -> str:
    errors = "".join(f"\n{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or ())
    return f"{entry['event']}{errors}"
