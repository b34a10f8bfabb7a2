"""Whoever dies in the middle of a pool's resize, the worker or the cloud: the retry ends at the planned size.

Nothing is made twice, and no number leaves its bounds at any time. That is read from the emulator's own log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import EmulatedCloud, own_pools
from tests.live_cluster import until
from tests.operators.test_plan_pools import joined
from tests.operators.test_plans import NIGHT, apply
from tests.process_of_a_release import at_length
from tke_provider.clients.kubernetes import Cluster
from tke_provider.clients.nodes import node_ref
from tke_provider.emulator.nodes import OWNER
from tke_provider.emulator.state import StateFile, first_state
from tke_provider.exceptions import TkeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

# The emulator's first state.
FIRST = {"minimum": 0, "desired": 1, "maximum": 10}
WRITES = {
    "ModifyClusterNodePool",
    "ModifyNodePoolDesiredCapacityAboutAsg",
    "DeleteClusterInstances",
    "ModifyNodePool",
    "ScaleNodePool",
    "DeleteClusterMachines",
}
REMOVES = {"Regular": "DeleteClusterInstances", "Native": "DeleteClusterMachines"}
BOTH = "{nodes: 4, machines: {min: 3, max: 6}}"


def plan(sizes: str = BOTH) -> str:
    return f"""\
name: nodes
time_zone: Asia/Shanghai
targets:
  nodes: {{node_pool: web, usual: 1}}
  machines: {{node_pool: native, usual: {{min: 0, max: 10}}}}
windows:
  - {{name: day, cron: "0 8 * * *", duration: 12h, sizes: {sizes}}}
"""


def numbers(calls: Iterable[dict[str, Any]], pool: dict[str, Any]) -> list[tuple[int, int, int]]:
    """Minimum, size and maximum of a pool after every write that the cloud accepted."""
    now, history = dict(FIRST), []
    for call in calls:
        request = call["request"]
        of_this = request.get("NodePoolId") == pool["id"] or call["action"] == REMOVES[pool["type"]]
        if call["action"] not in WRITES or call["code"] or not of_this:
            continue
        native = request.get("Native", {})
        scaling = native.get("Scaling", {})
        removed = len(request.get("InstanceIds") or request.get("MachineNames") or ())
        given = {
            "minimum": request.get("MinNodesNum", scaling.get("MinReplicas")),
            "maximum": request.get("MaxNodesNum", scaling.get("MaxReplicas")),
            "desired": request.get("DesiredCapacity", request.get("Replicas", native.get("Replicas"))),
        }
        now |= {name: value for name, value in given.items() if value is not None}
        now["desired"] -= removed
        history.append((now["minimum"], now["desired"], now["maximum"]))
    return history


def check_log(cloud: EmulatedCloud, calls: list[dict[str, Any]]) -> None:
    """No number outside of its bounds, and no pool beside those that there were."""
    for name in ("web", "native"):
        history = numbers(calls, cloud.pool(name))
        assert all(low <= size <= high for low, size, high in history), history
    assert not [call for call in calls if call["action"].startswith("Create") and "NodePool" in call["action"]]


def of(cloud: EmulatedCloud, name: str) -> tuple[int, int, int]:
    found = cloud.pool(name)
    return found["minimum"], found["desired"], found["maximum"]


def calls_of(cloud: EmulatedCloud) -> list[dict[str, Any]]:
    return cloud._ask("GET", "audit", {})["calls"]


@contextlib.asynccontextmanager
async def worker(sizes: str = BOTH, **more: Any) -> AsyncIterator[None]:
    """Another process that carries out the plan, killed in the end as a machine kills: without a word."""
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
    script += "import asyncio\nfrom tests.operators.test_plan_deaths import apply, plan\n"
    script += f"asyncio.run(apply(plan({sizes!r}), **{more!r}))"
    started = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    try:
        yield
        assert started.returncode is None, "it ended before it could be killed"
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        await started.wait()


async def seen(cloud: EmulatedCloud, *actions: str) -> None:
    async def there() -> bool:
        calls = {call["action"] for call in calls_of(cloud)}
        return calls.issuperset(actions)

    await until(there)


SET_SIZE, SET_BOUNDS = "ModifyNodePoolDesiredCapacityAboutAsg", "ModifyNodePool"
MOMENTS = {
    "the answer to a size is on its way": ("trouble", {"kind": "slow", "seconds": 20, "action": SET_SIZE}, [SET_SIZE]),
    "the answer to bounds is on its way": (
        "trouble",
        {"kind": "slow", "seconds": 20, "action": SET_BOUNDS},
        [SET_BOUNDS],
    ),
    "the pools are changing": ("clock", {"pool": {"mode": "told"}}, [SET_SIZE, SET_BOUNDS]),
    "the nodes are joining": ("clock", {"node": {"mode": "told"}}, [SET_SIZE, SET_BOUNDS]),
}


@pytest.mark.parametrize(
    "moment",
    [
        "the answer to a size is on its way",
        "the nodes are joining",
        *at_length("the answer to bounds is on its way", "the pools are changing"),
    ],
)
async def test_a_worker_killed_in_a_pool_s_write_leaves_what_the_retry_completes(clouds, moment):
    what, given, actions = MOMENTS[moment]
    clouds._ask("POST", what, given)
    async with worker():
        await seen(clouds, *actions)
    clouds._ask("POST", "clock", {"pool": {"mode": "at once"}, "node": {"mode": "at once"}})
    await apply(plan())
    assert (of(clouds, "web"), of(clouds, "native")) == ((0, 4, 10), (3, 3, 6))
    assert len(joined(clouds)) == 4
    check_log(clouds, calls_of(clouds))


async def test_a_worker_killed_while_nodes_leave_takes_no_more_of_them_in_its_retry(clouds):
    await apply(plan())
    clouds._ask("POST", "clock", {"node": {"mode": "told"}, "pool": {"mode": "told"}})
    async with worker(at=NIGHT, run="night"):
        await seen(clouds, "DeleteClusterInstances")
    clouds._ask("POST", "clock", {"pool": {"mode": "at once"}, "node": {"mode": "at once"}})
    await apply(plan(), NIGHT, "night")
    assert of(clouds, "web") == (0, 1, 10)
    assert len(joined(clouds)) == 1
    check_log(clouds, calls_of(clouds))


# --- the cloud --------------------------------------------------------------------------------------------------------


class Process:
    """An emulator as a process of its own, which may be killed and started again where it was."""

    def __init__(self, folder: Path, kubeconfig: str) -> None:
        self.state, self.key, self.kubeconfig = folder / "state.json", folder / "key", folder / "kubeconfig"
        self.kubeconfig.write_text(kubeconfig)
        self.key.write_text("the-key-of-these-tests")
        StateFile(self.state).save(first_state("AKIDdeaths", self.key.read_text(), own_pools()))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.cloud = EmulatedCloud(f"http://127.0.0.1:{self.port}", "AKIDdeaths", self.key.read_text())

    async def start(self) -> None:
        argv = ["-m", "tke_provider.emulator", "--port", str(self.port), "--state", str(self.state)]
        argv += ["--secret-id", "AKIDdeaths", "--secret-key-file", str(self.key), "--clock", "pool:seconds=0.3"]
        argv += ["--kubeconfig", str(self.kubeconfig)]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *argv, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert self.process.stdout
        assert await asyncio.wait_for(self.process.stdout.readline(), 60), "it says where it is"

        async def answers() -> bool:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return True
            return False

        await until(answers)

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def clear(self) -> None:
        """Take its nodes out of the live cluster, which a death leaves there."""
        ours = f"{OWNER}={json.loads(self.state.read_text())['owner']}"
        async with Cluster(self.kubeconfig.read_text(), name="live") as cluster:
            for node in await cluster.list("v1", "Node", label_selector=ours):
                await cluster.delete(node_ref(node["metadata"]["name"]))

    def log(self) -> list[dict[str, Any]]:
        """Every call of its life, whichever process answered it."""
        file = self.state.with_suffix(".audit.jsonl")
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
async def emulator(tmp_path, kubeconfig, monkeypatch):
    process = Process(tmp_path, kubeconfig)
    await process.start()
    process.cloud.connect(monkeypatch, kubeconfig_secret=kubeconfig)
    yield process
    await process.kill()
    await process.clear()


@pytest.mark.parametrize("after", [SET_SIZE, SET_BOUNDS])
async def test_a_cloud_that_dies_in_the_middle_of_a_resize_changes_nothing_about_its_end(emulator, after):
    running = asyncio.create_task(apply(plan()))

    async def begun() -> bool:
        return after in {call["action"] for call in emulator.log()}

    await until(begun)
    await emulator.kill()
    await emulator.start()
    for _ in range(3):  # Airflow's retries
        with contextlib.suppress(TkeError):
            await running
            break
        running = asyncio.create_task(apply(plan()))
    assert (of(emulator.cloud, "web"), of(emulator.cloud, "native")) == ((0, 4, 10), (3, 3, 6))
    assert len(joined(emulator.cloud)) == 4
    check_log(emulator.cloud, emulator.log())


def test_the_log_would_tell_a_number_outside_of_its_bounds(cloud):
    request = {"NodePoolId": cloud.pool()["id"], "MinNodesNum": 2}
    with pytest.raises(AssertionError):
        check_log(cloud, [{"action": "ModifyClusterNodePool", "code": "", "request": request}])
