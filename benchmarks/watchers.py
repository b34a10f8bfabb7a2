"""What watching many repositories costs a triggerer: processor, memory, and git programs at a time.

    python benchmarks/watchers.py --repositories 500

One process runs the watchers as Airflow's triggerer does, with Airflow's own manager of shared streams; each asks for
the head of its own repository, every ten seconds. The peer is a stream for each repository, as Airflow makes them
where watchers share no key. Repositories are folders: what a network adds is not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

EVERY = 10.0
STORED: dict[str, str] = {}


def make(folder: Path, count: int) -> None:
    """Make repositories with one commit each: copies of the first."""
    first = folder / "0"
    identity = ("-c", "user.name=b", "-c", "user.email=b@example.com")
    for arguments in (("init", "--quiet", "--initial-branch=main"), ("commit", "--quiet", "--allow-empty", "-m", "x")):
        first.mkdir(exist_ok=True)
        subprocess.run(["git", *identity, *arguments], cwd=first, check=True)
    for number in range(1, count):
        subprocess.run(["cp", "-r", first, folder / str(number)], check=True)


class State:
    """Airflow's asset state, which only a triggerer has."""

    def __init__(self, asset: str) -> None:
        self.asset = asset

    async def aget(self, _: str) -> str | None:
        """Return the position."""
        return STORED.get(self.asset)

    async def aset(self, _: str, value: str) -> None:
        """Store the position."""
        STORED[self.asset] = value


async def watch(folder: Path, count: int, *, apart: bool, seconds: float) -> None:
    """Watch for a while, and print what it took."""
    from airflow.triggers.shared_stream import SharedStreamManager

    from tke_provider.triggers.push_streams import PushStream
    from tke_provider.triggers.pushes import GitHeadTrigger

    class Apart(GitHeadTrigger):
        def shared_stream_key(self) -> Hashable:
            return self.asset

    manager, kind = SharedStreamManager(), Apart if apart else GitHeadTrigger
    PushStream._state = lambda _, asset: State(asset)  # type: ignore[method-assign]  # noqa: SLF001

    async def listen(number: int) -> None:
        watcher = kind(git_url=f"file://{folder}/{number}", every=EVERY)
        stream = manager.subscribe(trigger_id=number, trigger=watcher, key=watcher.shared_stream_key())
        async for _ in watcher.filter_shared_stream(stream):
            pass

    before = memory()
    tasks = [asyncio.create_task(listen(number)) for number in range(count)]
    began = time.monotonic()
    while len(STORED) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    first, busy, most = time.monotonic() - began, spent(), 0
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        most = max(most, children())
        await asyncio.sleep(0.05)
    ours, theirs = ((after - then) / seconds for after, then in zip(spent(), busy, strict=True))
    name = "a stream each" if apart else "one stream"
    print(
        f"{name:<16}{first:>12.1f}{100 * ours:>12.0f}{100 * theirs:>12.0f}{memory() - before:>8.0f}"
        f"{len(asyncio.all_tasks()):>8}{most:>8}",
        flush=True,
    )
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def spent() -> tuple[float, float]:
    """Seconds of processor that this process and the programs that it ran have taken."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    ours, theirs = (each.ru_utime + each.ru_stime for each in used)
    return ours, theirs


def memory() -> float:
    """MiB that this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def children() -> int:
    """How many programs it runs."""
    listed: Any = Path("/proc/self/task").glob("*/children")
    return sum(len(each.read_text(encoding="ascii").split()) for each in listed)


def main() -> None:
    """Measure each way in a process of its own."""
    parser = argparse.ArgumentParser(description="What watching many repositories costs.")
    parser.add_argument("--repositories", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--way", choices=("one", "each"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        apart = arguments.way == "each"
        asyncio.run(watch(Path(arguments.folder), arguments.repositories, apart=apart, seconds=arguments.seconds))
        return
    print(f"{'':<16}{'first look s':>12}{'own CPU %':>12}{'git CPU %':>12}{'MiB':>8}{'tasks':>8}{'gits':>8}")
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), arguments.repositories)
        for way in ("one", "each"):
            subprocess.run([sys.executable, *sys.argv, "--way", way, "--folder", folder], check=True)


if __name__ == "__main__":
    main()
