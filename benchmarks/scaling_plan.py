"""What a scaling plan takes at size: to evaluate, to rehearse and to carry out, against kubectl in the same run.

    python -m benchmarks.scaling_plan --services 1000 --nodes 5000

Starts a Kubernetes control plane of its own (``benchmarks/control_plane.py``) over simulated nodes, and an emulated
cloud that has one pool of them; services are Deployments whose pods kwok calls ready. All of it is gone afterwards,
also after Ctrl-C. Every task of the plan is a process of its own, as a worker's is, and says what it took.
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
from typing import TYPE_CHECKING, Any

from benchmarks.control_plane import KUBECTL, control_plane
from benchmarks.task_process import Took
from tke_provider.clients import leases
from tke_provider.clients.kubernetes import Cluster
from tke_provider.domain.clusters import PoolKind
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.node_pools import NewPool
from tke_provider.domain.plan_documents import parse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

PER_NAMESPACE = 100
ONE_BY_ONE = 10  # services that the slow peer scales: it is linear
PEERS_AT_ONCE, SEVERAL = 20, 100
HELD = 3  # services that somebody else is changing meanwhile
CLUSTER = "cls-local000"
DAY, NIGHT = "2026-11-23T10:00:00+08:00", "2026-11-23T22:00:00+08:00"
ID, KEY = "AKIDbenchmark", secrets.token_hex(16)


def plan(namespaces: Iterable[str]) -> str:
    """A plan that doubles every service by day."""
    targets = "".join(f"  {name}: {{service: {{namespace: {name}, selector: bench}}}}\n" for name in namespaces)
    sizes = ", ".join(f"{name}: 200%" for name in namespaces)
    return (
        f"name: bench\ntime_zone: Asia/Shanghai\ntargets:\n{targets}"
        f'windows:\n  - {{name: day, cron: "0 8 * * *", duration: 12h, sizes: {{{sizes}}}}}\n'
    )


def with_nodes(text: str, pool: str, nodes: int, usual: int) -> str:
    """The plan, with so many nodes by day, too."""
    target = f"  nodes: {{node_pool: {pool}, usual: {usual}, lead: 15m}}\n"
    return text.replace("windows:\n", f"{target}windows:\n").replace("sizes: {", f"sizes: {{nodes: {nodes}, ")


def evaluation(services: int) -> tuple[float, float]:
    """Seconds to read a plan of so many targets, and to say what should hold now."""
    targets = "".join(f"  s{n}: {{service: {{namespace: shop, name: s{n}}}, usual: 2}}\n" for n in range(services))
    sizes = ", ".join(f"s{n}: 200%" for n in range(services))
    text = (
        f"name: bench\ntime_zone: Asia/Shanghai\ncalendar: {{holidays: CN}}\ntargets:\n{targets}windows:\n"
        f'  - {{name: day, cron: "0 8 * * *", duration: 12h, only_on: {{days: workdays}}, sizes: {{{sizes}}}}}\n'
    )
    started = time.perf_counter()
    read = parse(text)
    known = time.perf_counter()
    read.sizes(datetime(2026, 11, 23, 2, tzinfo=timezone.utc), {})
    return known - started, time.perf_counter() - known


@contextlib.contextmanager
def emulator(kubeconfig: Path) -> Iterator[str]:
    """An emulated cloud with nothing in it but ours; yields its address."""
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key"
        key.write_text(KEY)
        argv = [sys.executable, "-m", "tke_provider.emulator", "--port", "0", "--kubeconfig", str(kubeconfig)]
        argv += ["--secret-id", ID, "--secret-key-file", str(key)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            assert process.stdout is not None  # noqa: S101
            found = re.search(r"http://[\d.:]+", process.stdout.readline())
            assert found, "the emulator does not start"  # noqa: S101
            yield found[0].rstrip(":,")
        finally:
            process.kill()  # its cluster goes with it: there is nothing to put away
            process.wait()


async def each(things: Iterable[Any], work: Callable[[Any], Awaitable[Any]], at_once: int = 20) -> None:
    """Do something with each, so many at a time."""
    gate = asyncio.Semaphore(at_once)

    async def one(thing: Any) -> None:
        async with gate:
            await work(thing)

    await asyncio.gather(*map(one, things))


async def make_services(cluster: Cluster, namespaces: dict[str, list[str]], pool: str) -> None:
    """Deployments of one pod each, on the nodes of the pool."""

    async def namespace(name: str) -> None:
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    async def deployment(where: tuple[str, str]) -> None:
        labels = {"bench": "yes", "app": where[1]}
        pod = {
            "nodeSelector": {"tke.cloud.tencent.com/nodepool-id": pool},
            "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": [{"name": "web", "image": "web"}],
        }
        template = {"metadata": {"labels": labels}, "spec": pod}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        metadata = {"name": where[1], "namespace": where[0], "labels": labels}
        await cluster.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})

    await each(namespaces, namespace)
    await each([(name, service) for name, names in namespaces.items() for service in names], deployment)
    await available(cluster, sum(map(len, namespaces.values())))


async def available(cluster: Cluster, number: int) -> None:
    """Return when so many Deployments have every pod that they want."""
    while True:
        live = await cluster.list("apps/v1", "Deployment", label_selector="bench=yes")
        if sum(each.get("status", {}).get("availableReplicas") == each["spec"]["replicas"] for each in live) == number:
            return
        await asyncio.sleep(2)


async def ready_nodes(cluster: Cluster, pool: str, number: int) -> float:
    """Seconds until the pool has so many nodes in the cluster, each ready and open to pods."""
    started = time.perf_counter()
    while True:
        live = await cluster.list("v1", "Node", label_selector=f"tke.cloud.tencent.com/nodepool-id={pool}")
        if len(live) == number == sum(map(_is_open, live)):
            return time.perf_counter() - started
        await asyncio.sleep(3)


def _is_open(node: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in node.get("status", {}).get("conditions") or ()}
    closed = [each for each in node["spec"].get("taints") or () if each["key"].startswith("node.kubernetes.io/")]
    return conditions.get("Ready") == "True" and not closed


async def kubectl(script: str, at_once: int, services: Iterable[tuple[str, str]], config: Path) -> float:
    """Seconds that a shell script takes with services, so many at a time, a ``kubectl`` each."""
    lines = "".join(f"{namespace} {name}\n" for namespace, name in services)
    script = script.replace("kubectl", f"{KUBECTL} --kubeconfig={config}")
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *("xargs", "-P", str(at_once), "-L", "1", "sh", "-c", script, "sh"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    await process.communicate(lines.encode())
    return time.perf_counter() - started


SCALE = 'kubectl scale -n "$1" "deployment/$2" --replicas=2 && kubectl rollout status -n "$1" "deployment/$2"'


class Table:
    """What was measured, line by line."""

    def __init__(self) -> None:
        print(f"{'what':<47}{'seconds':>9}{'calls':>7}{'MB':>6}  of it")

    def add(
        self, what: str, seconds: float, note: str = "", calls: int | None = None, memory: int | None = None
    ) -> None:
        """Print one line."""
        shown = "".join(f"{'' if each is None else each:>{width}}" for each, width in ((calls, 7), (memory, 6)))
        print(f"{what:<47}{seconds:>9.2f}{shown}  {note}", flush=True)

    def task(self, what: str, took: Took) -> None:
        """Print what a task took, and what became of the objects."""
        states = ", ".join(f"{number} {state}" for state, number in took.states.items()) or "nothing to change"
        if took.error:
            states += f"; the task failed with {took.error}"
        self.add(what, took.seconds, states, took.calls, took.megabytes)


async def prepare(usual: int, nodes: int) -> str:
    """Make a pool of the usual size; return its id."""
    from tke_provider.hooks.tke import TkeHook

    settings = {"subnets": ["subnet-bench"], "instance_types": ["S5.MEDIUM4"], "maximum": nodes, "desired": usual}
    new = NewPool(name="bench", kind=PoolKind.NATIVE, **settings)
    async with await TkeHook().tke() as tke:
        return await tke.create_pool(CLUSTER, new, "bench", "")


async def measure(arguments: argparse.Namespace, config: Path, kubeconfig: str) -> None:
    """Measure everything, and print it."""
    count = max(1, -(-arguments.services // PER_NAMESPACE))
    share = -(-arguments.services // count)
    namespaces = {f"team-{n}": [f"s{m}" for m in range(share)] for n in range(count)}
    services = [(namespace, name) for namespace, names in namespaces.items() for name in names]
    usual = max(1, -(-2 * len(services) // 100))
    table = Table()
    for what, seconds in zip(("read a plan", "evaluate it"), evaluation(arguments.services), strict=True):
        table.add(what, seconds, f"{arguments.services} targets; no cluster asked")
    pool = await prepare(usual, arguments.nodes)
    small = plan(namespaces)
    whole = with_nodes(small, pool, arguments.nodes, usual)
    async with Cluster(kubeconfig) as cluster:
        await ready_nodes(cluster, pool, usual)
        await make_services(cluster, namespaces, pool)
        one, several = await peers(cluster, services, config)
        table.add("kubectl, one service after the other", one * len(services), f"computed from {ONE_BY_ONE}")
        note = f"computed from {min(SEVERAL, len(services))}; looks for no owner, lease, quota or freeze"
        table.add(f"kubectl, {PEERS_AT_ONCE} services at a time", several * len(services), note)
        table.task("rehearse, for the day", await Took.by("TkeScalePlanOperator", whole, DAY))
        async with leases.held(cluster, services[:HELD], "somebody else"):
            up = await Took.by("TkeApplyScheduleOperator", small, DAY)
            table.task(f"apply: pods come; {HELD} services are held", up)
        table.task("apply: nodes come, and what was held", await Took.by("TkeApplyScheduleOperator", whole, DAY))
        seconds = await ready_nodes(cluster, pool, arguments.nodes)
        table.add("until every node is ready in the cluster", seconds, f"{arguments.nodes} nodes, simulated")
        table.task("rehearse, for the night", await Took.by("TkeScalePlanOperator", whole, NIGHT))
        table.task("apply: pods go, then nodes, drained", await Took.by("TkeApplyScheduleOperator", whole, NIGHT))
        table.add("until they are gone from the cluster", await ready_nodes(cluster, pool, usual))
    ours = up.seconds / len(services)
    print(
        f"kubectl takes {one / ours:.1f} times as long one by one, {several / ours:.1f} times {PEERS_AT_ONCE} at a time"
    )


async def peers(cluster: Cluster, services: list[tuple[str, str]], config: Path) -> tuple[float, float]:
    """Seconds a service where each is scaled and waited for before the next, and where so many are at a time."""
    one = await kubectl(SCALE, 1, services[:ONE_BY_ONE], config)
    await each(services[:ONE_BY_ONE], lambda where: cluster.scale(_deployment(where), 1))
    await available(cluster, len(services))
    several = await kubectl(SCALE, PEERS_AT_ONCE, services[:SEVERAL], config)
    await each(services[:SEVERAL], lambda where: cluster.scale(_deployment(where), 1))
    await available(cluster, len(services))
    return one / ONE_BY_ONE, several / min(SEVERAL, len(services))


def _deployment(where: tuple[str, str]) -> ObjectRef:
    return ObjectRef("apps/v1", "Deployment", *where)


def main() -> None:
    """Bring up what is needed, measure, and take it down."""
    parser = argparse.ArgumentParser(description="How long a scaling plan takes.")
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--nodes", type=int, default=5000, help="by day; by night one for 50 services")
    arguments = parser.parse_args()
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with control_plane() as config, emulator(config) as address:
        kubeconfig = config.read_text(encoding="utf-8")
        extra = {"region": "ap-guangzhou", "cluster_id": CLUSTER, "api_endpoint": address}
        extra["kubeconfig_secret"] = kubeconfig
        connection = {"conn_type": "tke", "login": ID, "password": KEY, "extra": extra}
        os.environ["AIRFLOW_CONN_TKE_DEFAULT"] = json.dumps(connection)
        asyncio.run(measure(arguments, config, kubeconfig))


if __name__ == "__main__":
    main()
