"""A worker or a triggerer in a process of its own, to be killed as a machine kills: without a word."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import sys
from typing import TYPE_CHECKING, Any

from tests.live_cluster import run_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def process(what: str, path: str, arguments: dict[str, Any], run_id: str) -> AsyncIterator[None]:
    """Run an operator or a trigger in another process, and kill it in the end."""
    given = json.dumps({"what": what, "path": path, "arguments": arguments, "run_id": run_id})
    started = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, given)
    try:
        yield
    finally:
        started.kill()
        await started.wait()


async def _trigger(made: Any) -> None:
    async for _ in made.run():
        pass


def main(what: str, path: str, arguments: dict[str, Any], run_id: str) -> None:
    """Run it."""
    module, _, name = path.rpartition(".")
    made = getattr(importlib.import_module(module), name)(**arguments)
    if what == "trigger":
        asyncio.run(_trigger(made))
    else:
        made.execute(run_of(run_id, max_tries=1))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
