"""All parts together: what is up, and how to bring them up and down in the right order."""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from local import ROOT, RUN, STATE, StackError, owner
from local.adapter.server import Adapter
from local.airflow import Airflow
from local.base_image import BaseImage
from local.buildkit.daemon import BuildKit
from local.emulator import Emulator
from local.endpoints import KUBECONFIG_FILE
from local.engine import Engine
from local.gitea.server import Gitea
from local.helm.program import Helm
from local.ingress.controller import Ingress
from local.keda.operator import Keda
from local.kubernetes.cluster import Kubernetes
from local.kubernetes.dns import Dns
from local.kwok.controller import Kwok
from local.lock import locked
from local.part import Database, Part, Settings
from local.progress import say
from local.prometheus import Prometheus
from local.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

#: In the order they are shown; each stands after what it needs.
PARTS: tuple[type[Part], ...] = (
    Engine,
    Registry,
    BaseImage,
    Kubernetes,
    Dns,
    Kwok,
    Keda,
    Ingress,
    Prometheus,
    Adapter,
    BuildKit,
    Helm,
    Emulator,
    Gitea,
    Airflow,
)


def up(names: Collection[str], settings: Settings) -> None:
    """Start the parts that are asked for, side by side where they can be.

    :raises StackError: names every part that did not come up, and why.
    """
    wanted = asked_for(names)
    STATE.mkdir(exist_ok=True)
    with locked(RUN.parent, "change the stack"):
        owner.claim(settings)
        RUN.mkdir(exist_ok=True)
        _start([kind(settings) for kind in wanted])


def down(names: Collection[str]) -> None:
    """Stop the named parts; all, and with them every trace on the machine, when none is named.

    :raises StackError: names every part that could not be stopped, and why; the others are stopped.
    """
    chosen = select(names)
    with locked(RUN.parent, "change the stack"):
        settings = current_settings()
        failures = [failure for kind in reversed(chosen) if (failure := _stop(kind(settings)))]
        if failures:
            raise StackError("\n".join(failures))
        if not owner.in_use(ROOT):
            owner.release()
            # Every part has removed its own from it; whatever is left is not ours to delete.
            with suppress(OSError):
                RUN.rmdir()


def status() -> dict[str, bool]:
    """Every part's name, and whether it answers; those that come up on request only where they do."""
    parts = [kind(current_settings()) for kind in PARTS]
    with ThreadPoolExecutor(len(parts)) as pool:
        answers = zip(parts, pool.map(lambda part: part.answers(), parts), strict=True)
        return {part.name: up for part, up in answers if up or not part.on_request}


def current_settings() -> Settings:
    """What the stack that is up was told; the defaults when none is.

    :raises StackError: when it belongs to another checkout.
    """
    recorded = owner.checked()
    return recorded.settings if recorded else Settings()


def wanted_settings(kubeconfig: Path | None = None, database: Database | None = None) -> Settings:
    """What was asked for, else what ``KUBECONFIG`` says, else what the stack that is up was told.

    :raises StackError: when there is no such kubeconfig, or the stack that is up belongs to another checkout.
    """
    current = current_settings()
    if kubeconfig is None and os.environ.get("KUBECONFIG"):
        kubeconfig = Path(os.environ["KUBECONFIG"])
        # The shell may carry our own, from `env`.
        if kubeconfig == KUBECONFIG_FILE:
            kubeconfig = None
    if kubeconfig is not None and not kubeconfig.is_file():
        raise StackError(f"There is no kubeconfig {kubeconfig}: correct --kubeconfig or KUBECONFIG, or leave it out")
    return Settings(kubeconfig.resolve() if kubeconfig else current.kubeconfig, database or current.database)


def select(names: Collection[str], kinds: Sequence[type[Part]] = PARTS) -> list[type[Part]]:
    """The named parts in their order; all when none is named.

    :raises StackError: when there is no part of that name.
    """
    known = [kind.name for kind in kinds]
    for name in names:
        if name not in known:
            raise StackError(f"There is no part {name!r}; there are: {', '.join(known)}")
    return [kind for kind in kinds if not names or kind.name in names]


def asked_for(names: Collection[str], kinds: Sequence[type[Part]] = PARTS) -> list[type[Part]]:
    """The named parts and what they need; when none is named, all but those that come up on request."""
    chosen = select(names, kinds) if names else [kind for kind in kinds if not kind.on_request]
    return with_needs(chosen, kinds)


def with_needs(chosen: Iterable[type[Part]], kinds: Sequence[type[Part]] = PARTS) -> list[type[Part]]:
    """The chosen parts and, before each, whatever it needs."""
    wanted = {kind.name for kind in chosen}
    for kind in reversed(kinds):
        if kind.name in wanted:
            wanted.update(kind.needs)
    return [kind for kind in kinds if kind.name in wanted]


def _start(parts: Sequence[Part]) -> None:
    futures: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(len(parts)) as pool:
        for part in parts:
            futures[part.name] = pool.submit(_start_one, part, futures)
    failures = [f"{name}: {e}" for name, future in futures.items() if (e := future.exception()) is not None]
    if failures:
        raise StackError("\n".join(failures))


def _start_one(part: Part, futures: Mapping[str, Future[None]]) -> None:
    for need in part.needs:
        if futures[need].exception() is not None:
            raise StackError(f"not started, because it needs {need}")
    started = time.monotonic()
    if part.answers():
        say(f"{part.name:<12} is up")
        return
    part.folder.mkdir(parents=True, exist_ok=True)
    part.start()
    say(f"{part.name:<12} came up in {time.monotonic() - started:.1f} s")


def _stop(part: Part) -> str | None:
    """Stop one part; why it did not stop, or None."""
    started = time.monotonic()
    try:
        part.stop()
    except StackError as e:
        return f"{part.name}: {e}"
    say(f"{part.name:<12} is down ({time.monotonic() - started:.1f} s)")
    return None
