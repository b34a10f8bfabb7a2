"""Objects that a release applies, as a cluster lets them be changed.

A size may have a writer of its own, a Job never changes, a StatefulSet waits for its broken pods.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from typing import TYPE_CHECKING, NamedTuple

from tke_provider.domain.manifests import JOB, ObjectRef, in_namespace, is_rolled_out
from tke_provider.domain.operations import OPERATION, SIZED_BY
from tke_provider.domain.owners import AUTOSCALER_KINDS, find_owner
from tke_provider.domain.rollouts import is_ready, pods_of_newest
from tke_provider.exceptions import BusyError, ConflictError, InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tke_provider.clients.kubernetes import Cluster, Objects
    from tke_provider.domain.manifests import Manifest

_GONE_SECONDS = 60


async def served_autoscalers(cluster: Cluster) -> list[tuple[str, str]]:
    """Return API version and kind of the autoscalers that are installed in a cluster."""
    served = []
    for api_version, kind in AUTOSCALER_KINDS:
        with contextlib.suppress(NotFoundError):
            await cluster.namespaced(api_version, kind)
            served.append((api_version, kind))
    return served


async def autoscalers(cluster: Cluster, namespace: str, kinds: Iterable[tuple[str, str]] = AUTOSCALER_KINDS) -> Objects:
    """Return everything in the namespace that writes the size of some workload.

    :param kinds: to look for; those of :func:`served_autoscalers` save a question each where many are looked at.
    """
    found: Objects = []
    for api_version, kind in kinds:
        with contextlib.suppress(NotFoundError):  # no such autoscaler is installed
            found += await cluster.list(api_version, kind, namespace)
    return found


def keep_size(manifest: Manifest, live: Manifest | None, scalers: Objects) -> Manifest:
    """Return the manifest with the live number of replicas, where something else than manifests writes that.

    Leaving the field out would not do: a field that was applied once and then no longer is falls back to one.
    """
    if live is None or "replicas" not in (live.get("spec") or {}) or not is_rolled_out(manifest):
        return manifest
    sized = SIZED_BY in (live["metadata"].get("annotations") or {})
    if not sized and find_owner(manifest["kind"], manifest["metadata"]["name"], scalers) is None:
        return manifest
    kept = copy.deepcopy(manifest)
    kept["spec"]["replicas"] = live["spec"]["replicas"]
    return kept


async def place(cluster: Cluster, manifests: Sequence[Manifest], namespace: str) -> None:
    """Put every manifest into the namespace, but for kinds that belong to none.

    :raises ManifestError: when one names another namespace.
    :raises NotFoundError: when the cluster serves no such kind.
    """
    for manifest in manifests:
        if await cluster.namespaced(manifest["apiVersion"], manifest["kind"]):
            in_namespace(manifest, namespace)
        else:
            manifest["metadata"].pop("namespace", None)


class Prepared(NamedTuple):
    """What was checked.

    :param ready: what to apply, with the live size where something else writes that.
    :param live: each object as it is; ``None`` where it does not exist.
    :param answers: each object as it would be, by a server-side dry run.
    """

    ready: list[Manifest]
    live: dict[ObjectRef, Manifest | None]
    answers: dict[ObjectRef, Manifest]


async def prepare(cluster: Cluster, manifests: Sequence[Manifest]) -> Prepared:
    """Let the cluster check every manifest, changing nothing.

    :raises InputError: when the cluster refuses one of them.
    """
    scalers: dict[str, Objects] = {}
    ready: list[Manifest] = []
    live: dict[ObjectRef, Manifest | None] = {}
    for manifest in manifests:
        ref = ObjectRef.of(manifest)
        live[ref] = await cluster.get(ref)
        if is_rolled_out(manifest) and ref.namespace not in scalers:
            scalers[ref.namespace] = await autoscalers(cluster, ref.namespace)
        ready.append(keep_size(manifest, live[ref], scalers.get(ref.namespace, [])))
    answers = {ObjectRef.of(manifest): await _check(cluster, manifest) for manifest in ready}
    return Prepared(ready, live, answers)


async def _check(cluster: Cluster, manifest: Manifest) -> Manifest:
    """Return what the object would be."""
    try:
        return await apply(cluster, manifest, dry_run=True)
    except ImmutableError:  # it will be made anew: have it checked as a new one
        name = manifest["metadata"]["name"]
        new = {**manifest, "metadata": {**manifest["metadata"], "name": f"{name[:50]}-to-be"}}
        answer = await cluster.apply(new, dry_run=True)
        return {**answer, "metadata": {**answer["metadata"], "name": name}}


async def put(cluster: Cluster, manifest: Manifest) -> None:
    """Apply a manifest; a Job that is another one by now is deleted first, for a Job runs once and never changes."""
    try:
        await apply(cluster, manifest)
    except ImmutableError:
        await _remove(cluster, ObjectRef.of(manifest))
        await cluster.apply(manifest)


class ImmutableError(InputError):
    """A Job cannot be changed into what is applied."""


async def apply(cluster: Cluster, manifest: Manifest, dry_run: bool = False) -> Manifest:
    """Apply a manifest, and return the object.

    :raises ImmutableError: when it is a Job that is another one by now.
    """
    try:
        return await cluster.apply(manifest, dry_run=dry_run)
    except InputError as error:
        if manifest["kind"] == JOB and "field is immutable" in error.cause:
            raise ImmutableError(error.problem, cause=error.cause, way_out=error.way_out) from error
        raise


async def _remove(cluster: Cluster, ref: ObjectRef) -> None:
    """Delete an object and wait until it is gone.

    :raises BusyError: when something keeps it.
    """
    await cluster.delete(ref)
    for _ in range(_GONE_SECONDS * 2):
        if await cluster.get(ref) is None:
            return
        await asyncio.sleep(0.5)
    raise BusyError(f"{ref} does not go away", way_out="see which finalizer keeps it, or try again later")


async def stuck_pods(cluster: Cluster, live: Manifest) -> Objects:
    """Return a StatefulSet's new pods that are not ready: it would wait for them rather than replace them.

    https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
    """
    if live["kind"] != "StatefulSet":
        return []
    pods = await cluster.list("v1", "Pod", live["metadata"]["namespace"])
    return [pod for pod in pods_of_newest(live, pods) if not is_ready(pod)]


def size_of(manifest: Manifest) -> int:
    """Return how many replicas a manifest wants; 0 where it says nothing of them."""
    return int((manifest.get("spec") or {}).get("replicas") or 0)


async def make_namespace(cluster: Cluster, name: str, op: str) -> None:
    """Create the namespace where there is none, marked as the operation's."""
    metadata = {"name": name, "annotations": {OPERATION: op}}
    with contextlib.suppress(ConflictError):  # somebody else was quicker
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


async def drop_namespace(cluster: Cluster, name: str, op: str) -> bool:
    """Delete the namespace again where this very operation made it and nothing is in it. Return whether it did."""
    ref = ObjectRef("v1", "Namespace", "", name)
    live = await cluster.get(ref)
    if live is None or (live["metadata"].get("annotations") or {}).get(OPERATION) != op:
        return False
    for kind in ("Pod", "Service", "ConfigMap", "Secret", "PersistentVolumeClaim"):
        if any(each["metadata"]["name"] != "kube-root-ca.crt" for each in await cluster.list("v1", kind, name)):
            return False
    return await cluster.delete(ref, uid=live["metadata"]["uid"])
