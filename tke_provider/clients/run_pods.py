"""Runs a command in a pod of a cluster, and brings back what it left."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING

from tke_provider.clients.kubernetes_streams import execute
from tke_provider.domain.manifests import ObjectRef, annotation
from tke_provider.domain.operations import OPERATION
from tke_provider.domain.run_pods import READER, SPEC, TESTS, no_reader, pod_name, state
from tke_provider.domain.runs import REPORT_LIMIT, Ended, too_large
from tke_provider.exceptions import BusyError, ConflictError, ForbiddenError, InconclusiveError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.domain.manifests import Manifest

_READ_SECONDS = 60.0
_GONE_SECONDS = 60
_TELLING = 8  # characters of a line that nothing else is likely to be


def ref_of(namespace: str, operation: str) -> ObjectRef:
    """Return the pod that an operation runs in."""
    return ObjectRef("v1", "Pod", namespace, pod_name(operation))


async def start(cluster: Cluster, manifest: Manifest) -> bool:
    """See to it that this pod runs, once; return whether it was there already, as an earlier try has left it.

    One that was to run something else, such as another image, is replaced.

    :raises ConflictError: when a pod of this name belongs to somebody else.
    :raises BusyError: when an earlier one does not go.
    """
    ref = ObjectRef.of(manifest)
    for _ in range(_GONE_SECONDS):
        live = await cluster.get(ref)
        if live is None:
            try:
                await cluster.create(manifest)
            except ConflictError:
                continue  # another try was quicker, or the old one is not quite gone
            return False
        if annotation(live, OPERATION) != annotation(manifest, OPERATION):
            raise ConflictError(f"{ref} is there already, and is not of this task", way_out="look whose it is")
        if "deletionTimestamp" not in live["metadata"]:
            if annotation(live, SPEC) == annotation(manifest, SPEC):
                return True
            await cluster.delete(ref, uid=live["metadata"]["uid"])
        await asyncio.sleep(1)
    raise BusyError(f"{ref} of an earlier try is still being deleted", way_out="look at its node")


async def collect(cluster: Cluster, ref: ObjectRef, reports: Iterable[str]) -> Ended:
    """Return how the tests of a pod ended, and the reports that they left.

    :raises InputError: when a report is too large, or the reader has no ``head``.
    :raises InconclusiveError: when the pod is gone.
    """
    pod = await cluster.get(ref)
    ended = state(pod, TESTS).get("terminated") if pod else None
    if not ended:
        raise InconclusiveError(f"{ref} is gone, and with it what its tests said", way_out="run the task again")
    found = {}
    for path in reports:
        content = await _read(cluster, ref, path)
        if content is not None:
            found[path] = content
    return Ended(int(ended.get("exitCode", 0)), ended.get("reason") == "OOMKilled", found)


async def remove(cluster: Cluster, ref: ObjectRef, operation: str) -> None:
    """Delete the pod, if it is there and of this operation."""
    live = await cluster.get(ref)
    if live and annotation(live, OPERATION) == operation:
        await cluster.delete(ref, uid=live["metadata"]["uid"])


async def secret_values(cluster: Cluster, namespace: str, name: str) -> list[str] | None:
    """Return what a Secret holds, each value whole and line by line; None where it cannot be read."""
    try:
        secret = await cluster.get(ObjectRef("v1", "Secret", namespace, name))
    except ForbiddenError:
        return None
    if secret is None:
        return None
    found = []
    for encoded in (secret.get("data") or {}).values():
        value = base64.b64decode(encoded).decode(errors="replace")
        found += [value, *(line for line in value.splitlines() if len(line) >= _TELLING)]
    return found


async def _read(cluster: Cluster, ref: ObjectRef, path: str) -> bytes | None:
    """Return a file of the pod; None when there is none, or something else of that name."""
    command = ["head", "-c", str(REPORT_LIMIT + 1), path]
    try:
        done = await execute(
            cluster, ref.namespace, ref.name, READER, command, limit=REPORT_LIMIT + 1, timeout=_READ_SECONDS
        )
    except InputError as error:
        raise no_reader(error.cause) from error
    if len(done.out) > REPORT_LIMIT:
        raise too_large(path, REPORT_LIMIT)
    return done.out if done.exit_code == 0 else None
