"""What the sender of a webhook waits for: the answer of a real API server to deliveries, so many of them at a time.

    python benchmarks/webhooks.py --tasks 30
    python benchmarks/webhooks.py --database postgresql+psycopg2://user:password@127.0.0.1/empty

The peer is the same start of the same DAG through Airflow's own API, in the same server. The database is a new SQLite
file, or the one that is named, whose tables are made and left. Each delivery is a push of its own. "processor" is what
the server spends on each, the starts of runs meanwhile included; unlike the times it hardly depends on who else works.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET, DAG_ID, CONNECTION = secrets.token_hex(16), "bench_webhooks", "bench_source"
REPOSITORY = "https://git.example/team/shop.git"
AT_ONCE = (1, 10, 100)
RUN = secrets.token_hex(4)
Call = tuple[str, dict[str, str], bytes]


def prepare(home: str, database: str) -> None:
    """Set what Airflow reads when it is first imported."""
    extra = {"sender": "github", "dag_id": DAG_ID, "repositories": REPOSITORY, "per_minute": 10**6}
    os.environ |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database or f"sqlite:///{home}/airflow.db",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps(
            {"conn_type": "tke_webhook", "password": SECRET, "extra": extra}
        ),
    }


def store(tasks: int) -> None:
    """Make Airflow's tables, and put a DAG of so many tasks into them."""
    from airflow.dag_processing.collection import update_dag_parsing_results_in_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, Param
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    initdb()
    params = {"git_url": Param(type="string"), "commit": Param(type="string", pattern="^[0-9a-f]{40}$")}
    with DAG(DAG_ID, schedule=None, params=params, is_paused_upon_creation=True) as dag:
        for number in range(tasks):
            EmptyOperator(task_id=f"task_{number}")
    with create_session() as session:
        session.merge(DagBundleModel(name="benchmark"))
        session.flush()
        found = [LazyDeserializedDAG.from_dag(dag)]
        update_dag_parsing_results_in_db("benchmark", None, found, {}, 0.1, set(), session)


@contextlib.contextmanager
def server() -> Iterator[tuple[int, int]]:
    """One API server, as ``airflow api-server`` runs it; yields its port and the id of its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    argv = [sys.executable, "-m", "uvicorn", "airflow.api_fastapi.main:app", "--port", str(port)]
    process = subprocess.Popen([*argv, "--log-level", "warning"], stdout=sys.stderr)  # nothing but warnings
    try:
        while not answers(port):
            if process.poll() is not None:
                sys.exit("the API server does not start")
            time.sleep(0.2)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def answers(port: int) -> bool:
    """Whether the server does."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/version", timeout=5)
    except OSError:
        return False
    return True


def delivery(number: int) -> Call:
    """Return a push that no other delivery tells of."""
    commit = hashlib.sha1(f"{RUN}-{number}".encode(), usedforsecurity=False).hexdigest()
    push = {"ref": "refs/heads/main", "after": commit, "repository": {"clone_url": REPOSITORY}}
    body = json.dumps(push).encode()
    signature = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
    headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={signature}"}
    return f"/tke/webhooks/{CONNECTION}", headers, body


def peer(token: str) -> Callable[[int], Call]:
    """Return the same wish, for Airflow's own API."""

    def start(number: int) -> Call:
        conf = {"git_url": REPOSITORY, "commit": f"{number:040x}"}
        body = {"dag_run_id": f"peer-{RUN}-{number}", "logical_date": None, "conf": conf}
        return f"/api/v2/dags/{DAG_ID}/dagRuns", {"Authorization": f"Bearer {token}"}, json.dumps(body).encode()

    return start


async def ask(port: int, calls: list[Call], at_once: int) -> tuple[list[float], int]:
    """Make all calls, so many at a time; return the seconds of each, and how many failed."""
    left, took, failed = iter(calls), [], 0

    async def one() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for path, headers, body in left:
            head = {"Host": "bench", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
            lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
            began = time.perf_counter()
            writer.write(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
            told = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(told.partition("content-length: ")[2].partition("\r")[0]))
            took.append(time.perf_counter() - began)
            failed += told.split()[1] not in {"200", "202"}
        writer.close()

    await asyncio.gather(*(one() for _ in range(at_once)))
    return took, failed


def settle() -> float:
    """Wait until every delivery has become a run; return the seconds."""
    from airflow.models import Log
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    began = time.perf_counter()
    while True:
        with create_session() as session:
            if not session.scalar(select(func.count()).where(Log.event == "tke_delivery_accepted")):
                return time.perf_counter() - began
        time.sleep(0.05)


def busy(process: int) -> float:
    """Return the seconds that a process kept a processor so far."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def measure(port: int, process: int, count: int, *, alone: bool) -> None:
    """Measure both, side by side, and print it."""
    token = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/auth/token"))["access_token"]
    kinds = {"webhook": delivery} | ({} if alone else {"Airflow's API": peer(token)})
    numbers = iter(range(10**9))
    print(f"load of the machine: {os.getloadavg()[0]:.1f}, processors: {os.cpu_count()}")
    head = f"{'milliseconds':<16}{'at once':>8}{'p50':>8}{'p99':>8}{'processor':>11}"
    print(f"{head}{'a second':>10}{'failed':>8}{'runs after':>12}")
    for at_once in AT_ONCE:
        for name, call in kinds.items():
            asyncio.run(ask(port, [call(next(numbers)) for _ in range(10)], 1))  # the first ones load what they need
            settle()
            calls = [call(next(numbers)) for _ in range(count)]
            began, used = time.perf_counter(), busy(process)
            took, failed = asyncio.run(ask(port, calls, at_once))
            rate, each = count / (time.perf_counter() - began), 1000 * (busy(process) - used) / count
            p50, p99 = (1000 * sorted(took)[int(count * part)] for part in (0.5, 0.99))
            after = f"{settle():.1f} s"
            times = f"{name:<16}{at_once:>8}{p50:>8.0f}{p99:>8.0f}{each:>11.1f}"
            print(f"{times}{rate:>10.0f}{failed:>8}{after:>12}", flush=True)


def main() -> None:
    """Prepare a database, start a server, and measure."""
    parser = argparse.ArgumentParser(description="How long the sender of a webhook waits.")
    parser.add_argument("--tasks", type=int, default=30, help="of the DAG that is started")
    parser.add_argument("--deliveries", type=int, default=300, help="for each number at a time")
    parser.add_argument("--no-peer", action="store_true", help="measure the webhook alone")
    parser.add_argument("--database", default="", help="an empty one, in SQLAlchemy's form")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        prepare(str(Path(home)), arguments.database)
        store(arguments.tasks)
        with server() as (port, process):
            measure(port, process, arguments.deliveries, alone=arguments.no_peer)


if __name__ == "__main__":
    main()
