"""What a scaling plan takes: to evaluate, to rehearse, and to carry out, against services scaled one after the other.

    KUBECONFIG=… python benchmarks/scaling_plan.py --services 1000 --nodes 5000

Needs a cluster with a kwok controller (``python -m local up``). Its node pool is that of an emulated cloud of its own,
whose machines are simulated nodes; its services are Deployments whose pods kwok calls ready. All of it is removed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tke_provider.clients.kubernetes import Cluster
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.plan_documents import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

PER_NAMESPACE = 100
SAMPLE = 20  # services that the peer scales: it is linear
RUN = f"bench-{secrets.token_hex(3)}"
DAY, NIGHT = "2026-11-23T10:00:00+08:00", "2026-11-23T22:00:00+08:00"
ID, KEY = "AKIDbenchmark", secrets.token_hex(16)


def plan(namespaces: Iterable[str], nodes: int, usual: int) -> str:
    """A plan that doubles every service by day, and has that many nodes then."""
    targets = "".join(f"  {name}: {{service: {{namespace: {name}, selector: bench}}}}\n" for name in namespaces)
    sizes = ", ".join(f"{name}: 200%" for name in namespaces)
    return (
        f"name: bench\ntime_zone: Asia/Shanghai\ntargets:\n{targets}"
        f"  nodes: {{node_pool: native, usual: {usual}, lead: 15m}}\n"
        f'windows:\n  - {{name: day, cron: "0 8 * * *", duration: 12h, sizes: {{{sizes}, nodes: {nodes}}}}}\n'
    )


def evaluation(services: int) -> float:
    """Seconds to say what should hold now for so many services, each a target of its own."""
    targets = "".join(f"  s{n}: {{service: {{namespace: shop, name: s{n}}}, usual: 2}}\n" for n in range(services))
    sizes = ", ".join(f"s{n}: 200%" for n in range(services))
    read = parse(
        f"name: bench\ntime_zone: Asia/Shanghai\ncalendar: {{holidays: CN}}\ntargets:\n{targets}windows:\n"
        f'  - {{name: day, cron: "0 8 * * *", duration: 12h, only_on: {{days: workdays}}, sizes: {{{sizes}}}}}\n'
    )
    started = time.perf_counter()
    read.sizes(datetime(2026, 11, 23, 2, tzinfo=timezone.utc), {})
    return time.perf_counter() - started


@contextlib.contextmanager
def emulator(kubeconfig: str) -> Iterator[str]:
    """An emulated cloud with nothing in it but ours; yields its address."""
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key"
        key.write_text(KEY)
        argv = [sys.executable, "-m", "tke_provider.emulator", "--port", "0", "--kubeconfig", kubeconfig]
        argv += ["--secret-id", ID, "--secret-key-file", str(key)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert process.stdout is not None  # noqa: S101
            found = re.search(r"http://[\d.:]+", process.stdout.readline())
            assert found, "the emulator does not start"  # noqa: S101
            yield found[0].rstrip(":,")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


async def each(things: Iterable[Any], work: Callable[[Any], Awaitable[Any]], at_once: int = 20) -> None:
    """Do something with each, so many at a time."""
    gate = asyncio.Semaphore(at_once)

    async def one(thing: Any) -> None:
        async with gate:
            await work(thing)

    await asyncio.gather(*map(one, things))


@contextlib.asynccontextmanager
async def services(cluster: Cluster, namespaces: dict[str, list[str]], owner: str) -> AsyncIterator[None]:
    """Deployments of one pod each, on the nodes of this benchmark's pool."""

    async def namespace(name: str) -> None:
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    async def deployment(where: tuple[str, str]) -> None:
        labels = {"bench": "yes", "app": where[1]}
        pod = {
            "nodeSelector": {"emulator.tke-provider/owner": owner},
            "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": [{"name": "web", "image": "web"}],
        }
        template = {"metadata": {"labels": labels}, "spec": pod}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        metadata = {"name": where[1], "namespace": where[0], "labels": labels}
        await cluster.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})

    try:
        await each(namespaces, namespace)
        await each([(name, service) for name, names in namespaces.items() for service in names], deployment)
        for name, names in namespaces.items():
            while sum(map(available, await cluster.list("apps/v1", "Deployment", name))) < len(names):  # noqa: ASYNC110
                await asyncio.sleep(1)
        yield
    finally:
        await each(namespaces, lambda name: cluster.delete(ObjectRef("v1", "Namespace", "", name)))


def available(live: dict[str, Any]) -> bool:
    """Whether every pod of a Deployment is."""
    return live.get("status", {}).get("availableReplicas", 0) == live["spec"]["replicas"]


async def one_by_one(cluster: Cluster, namespace: str, names: list[str]) -> float:
    """Seconds a service where each is scaled, and waited for, before the next: a task each, without Airflow's part."""
    started = time.perf_counter()
    for name in names:
        ref = ObjectRef("apps/v1", "Deployment", namespace, name)
        await cluster.scale(ref, 2)
        while not available(await cluster.get(ref) or {"spec": {"replicas": 1}}):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    seconds = (time.perf_counter() - started) / len(names)
    await each(names, lambda name: cluster.scale(ObjectRef("apps/v1", "Deployment", namespace, name), 1))
    return seconds


def task(kind: str, text: str, at: str) -> tuple[dict[str, Any], float]:
    """Run a task of the plan; return its result and its seconds."""
    from tke_provider.operators import plans

    operator = getattr(plans, kind)(task_id="bench", plan=text, at=at)
    if kind == "TkeApplyScheduleOperator":
        operator.poll_interval = 1.0
    ti = SimpleNamespace(dag_id=RUN, run_id=at, task_id="bench", map_index=-1, max_tries=0, xcom_push=lambda **_: None)
    started = time.perf_counter()
    result = operator.execute({"ti": ti})
    return result, time.perf_counter() - started


async def prepare(address: str, usual: int, nodes: int) -> str:
    """Give the emulated pool room and its usual size; return whose nodes they are in the cluster."""
    import httpx

    from tke_provider.hooks.tke import TkeHook

    async with await TkeHook().tke() as tke:
        pool = await tke.node_pool("cls-local000", "native")
        await tke.set_pool_bounds("cls-local000", pool, 0, nodes)
        await tke.set_pool_desired("cls-local000", pool, usual)
    async with httpx.AsyncClient() as client:
        return str((await client.get(f"{address}/_emulator/state")).raise_for_status().json()["owner"])


async def measure(arguments: argparse.Namespace, address: str, kubeconfig: str) -> None:
    """Measure everything, and print it."""
    count = max(1, -(-arguments.services // PER_NAMESPACE))
    share = -(-arguments.services // count)
    namespaces = {f"{RUN}-{n}": [f"s{m}" for m in range(share)] for n in range(count)}
    total, usual = count * share, max(1, -(-2 * arguments.services // 100))
    text = plan(namespaces, arguments.nodes, usual)
    seconds = evaluation(arguments.services)
    print(f"{'what':<44}{'seconds':>9}  of it")
    print(f"{'evaluate a plan':<44}{seconds:>9.2f}  {arguments.services} targets, no cluster asked")
    owner = await prepare(address, usual, arguments.nodes)
    async with Cluster(kubeconfig) as cluster, services(cluster, namespaces, owner):
        first = next(iter(namespaces))
        peer = await one_by_one(cluster, first, namespaces[first][:SAMPLE])
        for what, kind, at in (
            ("rehearse", "TkeScalePlanOperator", DAY),
            ("apply: nodes, then pods, up", "TkeApplyScheduleOperator", DAY),
            ("rehearse, nothing to do", "TkeScalePlanOperator", DAY),
            ("apply: pods, then drained nodes, down", "TkeApplyScheduleOperator", NIGHT),
        ):
            result, seconds = await asyncio.to_thread(task, kind, text, at)
            print(f"{what:<44}{seconds:>9.2f}  {len(result['rows'])} of {total + 1} objects", flush=True)
    print(f"{'one service after the other':<44}{peer * total:>9.2f}  {SAMPLE} measured, {total} computed")


def main() -> None:
    """Bring up what is needed, measure, and take it down."""
    parser = argparse.ArgumentParser(description="How long a scaling plan takes.")
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--nodes", type=int, default=5000, help="by day; by night one for 50 services")
    arguments = parser.parse_args()
    file = os.environ["KUBECONFIG"]
    kubeconfig = Path(file).read_text(encoding="utf-8")
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
    with emulator(file) as address:
        extra = {"region": "ap-guangzhou", "cluster_id": "cls-local000", "api_endpoint": address}
        connection = {"conn_type": "tke", "login": ID, "password": KEY}
        os.environ["AIRFLOW_CONN_TKE_DEFAULT"] = json.dumps(
            {**connection, "extra": {**extra, "kubeconfig_secret": kubeconfig}}
        )
        asyncio.run(measure(arguments, address, kubeconfig))


if __name__ == "__main__":
    main()
