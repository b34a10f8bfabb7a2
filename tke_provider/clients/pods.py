"""A pod that runs to its end: its output line by line, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tke_provider.domain.rollouts import pod_troubles
from tke_provider.domain.run_pods import state
from tke_provider.exceptions import InputError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.domain.manifests import Manifest, ObjectRef

    Say = Callable[[str], None]

_LOOK_SECONDS = 10
_QUIET_SECONDS = 60.0  # until a silent log is asked for anew: one that the node has rotated may stay silent for ever
_BREAKS = 5
_PAUSE_SECONDS = 0.5


async def follow(cluster: Cluster, pod: ObjectRef, container: str, say: Say) -> None:
    """Say each line that a container writes, until it ends; a stream that breaks is taken up where it broke.

    So is one that stays silent, which is no fault of it.

    :raises UnavailableError: when the stream breaks again and again, or the pod is gone.
    """
    import httpx

    last, breaks = "", 0
    while True:
        try:
            async for stamp, line in _lines(cluster, pod, container, last):
                last, breaks = stamp, 0
                say(line)
            # The log's end is known a little earlier than the container's.
            if terminated(await _get(cluster, pod), container):
                return
        except NotFoundError as error:
            raise _gone(pod) from error
        except UnavailableError as error:
            breaks += not isinstance(error.__cause__, httpx.ReadTimeout)
            if breaks == _BREAKS:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


async def _lines(cluster: Cluster, pod: ObjectRef, container: str, since: str) -> AsyncIterator[tuple[str, str]]:
    """Yield each line later than a time, and its own. Kubelets write all digits, so that times compare as text."""
    import httpx

    query = {"container": container, "follow": "true", "timestamps": "true"}
    query |= {"sinceTime": since} if since else {}  # rounded down to a second: some lines come again
    log = await cluster.open(pod.name, pod.namespace, "log", urlencode(query), {}, _QUIET_SECONDS)
    async with contextlib.aclosing(log) as response:
        try:
            async for line in response.aiter_lines():
                stamp, _, text = line.partition(" ")
                if stamp > since:
                    yield stamp, text
        except (httpx.HTTPError, OSError) as error:
            raise cluster.unreachable(error) from error


async def started(cluster: Cluster, namespace: str, selector: str, container: str, say: Say) -> Manifest | None:
    """Wait until a container of the pod that a selector matches runs or has ended, and return the pod.

    Says what it waits for. None when there is no such pod for some seconds.

    :raises InputError: when it is certain that it will never run: the image is refused, say.
    """
    said: set[str] = set()
    seen = True
    while seen:
        seen = False
        async for kind, pod in cluster.watch("v1", "Pod", namespace, label_selector=selector, seconds=_LOOK_SECONDS):
            if kind == "DELETED":
                continue
            seen = True
            if "running" in state(pod, container) or terminated(pod, container):
                return pod
            _explain(pod, said, say)
    return None


def _explain(pod: Manifest, said: set[str], say: Say) -> None:
    for trouble in pod_troubles([pod]):
        if trouble.certain:
            raise InputError(trouble.reason, way_out="correct what it names; nothing has run")
        if trouble.reason not in said:
            said.add(trouble.reason)
            say(f"Waiting: {trouble.reason}")


async def ended(cluster: Cluster, pod: ObjectRef, container: str) -> dict[str, Any]:
    """Wait until a container has ended and return how, as the kubelet says it: ``exitCode``, ``message`` and more.

    :raises UnavailableError: when the pod is gone before.
    """
    while True:
        watched = cluster.watch(
            "v1", "Pod", pod.namespace, field_selector=f"metadata.name={pod.name}", seconds=_LOOK_SECONDS
        )
        async for kind, live in watched:
            if how := terminated(live, container):
                return how
            if kind == "DELETED":
                raise _gone(pod)
        await _get(cluster, pod)


def terminated(pod: Manifest, container: str) -> dict[str, Any]:
    """Return how a container ended; empty as long as it has not, or not begun."""
    how: dict[str, Any] = state(pod, container).get("terminated") or {}
    status = pod.get("status") or {}
    if not how and status.get("phase") == "Failed":  # evicted, or its node has gone: the container says nothing
        return {"exitCode": -1, "reason": status.get("reason", "Failed"), "message": status.get("message", "")}
    return how


async def _get(cluster: Cluster, pod: ObjectRef) -> Manifest:
    live = await cluster.get(pod)
    if live is None:
        raise _gone(pod)
    return live


def _gone(pod: ObjectRef) -> UnavailableError:
    return UnavailableError(f"{pod} is gone before it said how it ended", way_out="run the task again")
