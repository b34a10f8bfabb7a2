"""``python -m local.demo``: one ``git push`` to production, then a scheduled resize, told as a timeline."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import datetime
from typing import Any

import httpx

from local import STATE, StackError, stack
from local.airflow_api import AirflowApi
from local.endpoints import PUSH_CONN_ID, PUSH_SECRET_FILE, SHOP_GIT_URL, Endpoints, read
from local.gitea.api import GitHost
from local.shop import CRASHING_PRICES, WRONG_STOCK, Repository

#: What the demo needs, and no more: every other part is compiled or installed when it is asked for.
PARTS = ("engine", "registry", "base-image", "kubernetes", "dns", "kwok", "emulator", "gitea", "airflow")


class Demo:
    """The demo on a stack that is up."""

    def __init__(self, where: Endpoints) -> None:
        self.where = where
        self.api = AirflowApi(where.airflow_url, where.airflow_user, where.airflow_password)
        self.repository = Repository(STATE / "demo" / "shop")

    def listen(self) -> None:
        """Make the repository at the Git host, and let the host tell Airflow of pushes to it."""
        host = GitHost(self.where.gitea_url, self.where.gitea_user, self.where.gitea_password)
        host.repository("shop")
        host.webhook("shop", f"{self.where.airflow_url}/tke/webhooks/{PUSH_CONN_ID}", PUSH_SECRET_FILE.read_text())

    def release(self, commit: str) -> str:
        """Push the commit, approve the run that the push starts, tell its timeline, and return how the run ended."""
        self.api.unpause("ci_cd")
        self._let_others_end("ci_cd")
        before = set(self.api.runs("ci_cd"))
        started = time.monotonic()
        if not self.repository.push(SHOP_GIT_URL, self.where.gitea_user, self.where.gitea_password):
            print(f"{SHOP_GIT_URL} has this commit already, so the form starts the pipeline")
            return self.run("ci_cd", {"git_url": SHOP_GIT_URL, "commit": commit})
        run_id = self.api.first_running("ci_cd", before)
        print(f"\n{time.monotonic() - started:.1f} seconds from git push to the first running task")
        return self._tell("ci_cd", run_id, started)

    def run(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Run a DAG as its form does, and return how the run ended."""
        self.api.unpause(dag_id)
        self._let_others_end(dag_id)
        started = time.monotonic()
        return self._tell(dag_id, self.api.start(dag_id, conf), started)

    def _tell(self, dag_id: str, run_id: str, started: float) -> str:
        """Tell each step of a run when it has ended; a failed one with the sentence it failed with."""
        print(f"\n{dag_id}  {self.where.airflow_url}/dags/{dag_id}/runs/{run_id}\n")
        print(f"  {'step':<28} {'seconds':>8}  result")
        for task in self.api.follow(dag_id, run_id, approve=lambda: "Approve"):
            print(f"  {task['task_id']:<28} {_seconds(task):>8}  {self._outcome(dag_id, run_id, task)}", flush=True)
        state = self.api.state(dag_id, run_id)
        print(f"  {'in all':<28} {time.monotonic() - started:>8.1f}  {state}")
        return state

    def _let_others_end(self, dag_id: str) -> None:
        """Wait for runs that the schedule started; one that waits for a person would keep ours waiting, too."""
        deadline = time.monotonic() + 60
        while active := self.api.active(dag_id):
            if time.monotonic() > deadline:
                where = f"{self.where.airflow_url}/dags/{dag_id}/runs/{active[0]}"
                raise StackError(f"A run of {dag_id} has not ended, and the next would wait behind it: see to {where}")
            time.sleep(0.5)

    def _outcome(self, dag_id: str, run_id: str, task: dict[str, Any]) -> str:
        if task["state"] == "failed":
            log = self.api.log(dag_id, run_id, task["task_id"])
            said = [line for line in log.splitlines() if line.startswith("AirflowFailException: ")]
            return "failed: " + (said[-1].removeprefix("AirflowFailException: ") if said else "see its log")
        result = self.api.result(dag_id, run_id, task["task_id"]) if task["state"] == "success" else None
        if not isinstance(result, dict):
            return str(task["state"])
        if "chosen_options" in result:
            return f"answered by this demo: {', '.join(result['chosen_options'])}"
        if "images" in result:
            return f"live: {', '.join(result['images'].values())}"
        return str(result.get("reason") or result.get("digest") or json.dumps(result))

    def answer(self, namespace: str) -> dict[str, Any]:
        """Ask the shop in a namespace, through the cluster's API server."""
        from kubernetes import client, config

        api = client.CoreV1Api(config.new_client_from_config(str(self.where.kubeconfig)))
        text = api.connect_get_namespaced_service_proxy_with_path("shop:80", namespace, "", _preload_content=False).data
        return dict(json.loads(text))


def _seconds(task: dict[str, Any]) -> str:
    if not task["start_date"] or not task["end_date"]:
        return "-"
    start, end = (datetime.fromisoformat(task[key].replace("Z", "+00:00")) for key in ("start_date", "end_date"))
    return f"{(end - start).total_seconds():.1f}"


def success(demo: Demo) -> None:
    """The good commit: it goes live, and then the shop follows working hours."""
    commit = demo.repository.commit_sample()
    print(f"commit {commit} of {SHOP_GIT_URL}")
    expect(demo.release(commit) == "success", "the pipeline ended well")
    answer = demo.answer("production")
    print(f"\nproduction answers {json.dumps(answer)}")
    expect(set(answer["commits"].values()) == {commit}, "every service answers with the new commit")
    # A Monday in working hours, and the night after it.
    for at in ("2026-03-02T10:00:00+08:00", "2026-03-02T22:00:00+08:00"):
        expect(demo.run("scheduled_scaling", {"at": at}) == "success", f"the size for {at} was reached")


def failures(demo: Demo) -> None:
    """Two bad commits: one that its unit tests stop, and one that pre-release stops; production stays as it is."""
    good = demo.repository.commit_sample()
    expect(demo.release(good) == "success", "a good commit is live first")
    before = demo.answer("production")

    print("\nA commit whose unit tests fail:")
    wrong = demo.repository.commit("Count the stock differently", WRONG_STOCK)
    expect(demo.release(wrong) == "failed", "the pipeline refused it")
    expect(demo.answer("pre-release")["commits"]["stock"] == good, "it never reached the cluster")

    print("\nA commit whose pod crashes:")
    crashing = demo.repository.commit("Read the prices from a list", CRASHING_PRICES)
    expect(demo.release(crashing) == "failed", "the pipeline refused it")
    expect(demo.answer("pre-release")["commits"]["prices"] == good, "pre-release is back at the good commit")
    expect(demo.answer("production") == before, "production is untouched")
    demo.repository.commit_sample()


def expect(holds: bool, claim: str) -> None:
    """Say that a claim holds, or end the demo."""
    if not holds:
        raise StackError(f"This does not hold: {claim}")
    print(f"  ✓ {claim}")


def main() -> int:
    """Bring the stack up and show it."""
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument("story", nargs="?", choices=("success", "failures"), default="success")
    arguments = parser.parse_args()
    try:
        stack.up(PARTS, stack.wanted_settings())
        where = read()
        demo = Demo(where)
        demo.listen()
        (success if arguments.story == "success" else failures)(demo)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except httpx.TransportError as error:
        print(f"Airflow went away in the middle ({error}): see `python -m local status`", file=sys.stderr)
        return 1
    print(f"\nAirflow     {where.airflow_url}  user {where.airflow_user}, password {where.airflow_password}")
    print(f"Board       {where.airflow_url}/plugin/tke")
    print(f"kubectl     export KUBECONFIG={where.kubeconfig}")
    print("It stays up until `make demo-down`; until then scheduled_scaling follows its schedule, too.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
