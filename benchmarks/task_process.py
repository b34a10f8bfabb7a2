"""One task of a plan, run in a process of its own as a worker runs it: what it took, in seconds, calls and memory.

python -m benchmarks.task_process TkeScalePlanOperator 2026-11-23T10:00:00+08:00 < plan.yaml
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any


@dataclasses.dataclass(frozen=True)
class Took:
    """What a task took.

    :param calls: to the cluster's API and to the cloud.
    :param megabytes: of memory at most, all imports included.
    :param states: how many objects ended how.
    :param error: the kind of error that it failed with; empty where it did not.
    """

    seconds: float
    calls: int
    megabytes: int
    states: dict[str, int]
    error: str

    @classmethod
    async def by(cls, operator: str, plan: str, at: str) -> Took:
        """Run a task."""
        argv = (sys.executable, "-m", "benchmarks.task_process", operator, at)
        process = await asyncio.create_subprocess_exec(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            output, _ = await process.communicate(plan.encode())
        except asyncio.CancelledError:
            process.kill()
            raise
        return cls(**json.loads(output.splitlines()[-1]))


def main() -> None:
    """Run the task that the arguments name, on the plan that comes in."""
    from tke_provider.clients.kubernetes_connection import ClusterConnection
    from tke_provider.clients.tencent_cloud import TencentCloudClient
    from tke_provider.exceptions import TkeError
    from tke_provider.operators import plans

    name, at = sys.argv[1:]
    calls: Counter[str] = Counter()
    counted(ClusterConnection, "_exchange", calls)
    counted(TencentCloudClient, "_once", calls)
    operator = getattr(plans, name)(task_id="bench", plan=sys.stdin.read(), at=at)
    kept: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="bench",
        run_id=f"{time.time()}",
        task_id="bench",
        map_index=-1,
        max_tries=0,
        xcom_push=lambda key, value: kept.update({key: value}),
    )
    started, error = time.perf_counter(), ""
    try:
        kept["result"] = asyncio.run(operator.perform({"ti": ti}))
    except TkeError as failure:
        error = type(failure).__name__
    seconds = time.perf_counter() - started
    states = Counter(row["state"] for row in kept.get("result", {"rows": ()})["rows"])
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(dataclasses.asdict(Took(seconds, calls.total(), megabytes, dict(states), error))))


def counted(client: type, method: str, calls: Counter[str]) -> None:
    """Count the calls of a client's method."""
    real = getattr(client, method)

    async def counting(*arguments: Any, **more: Any) -> Any:
        calls[method] += 1
        return await real(*arguments, **more)

    setattr(client, method, counting)


if __name__ == "__main__":
    main()
