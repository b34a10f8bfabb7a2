"""A release in the cluster: its record, and putting back what was there before."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from typing import TYPE_CHECKING

from tke_provider.clients import leases
from tke_provider.domain.manifests import ObjectRef, in_namespace, is_rolled_out
from tke_provider.domain.operations import SIZED_BY
from tke_provider.domain.releases import Record, Stage, decode, encode, lease_names, may_delete, record_of
from tke_provider.domain.rollouts import pods_of_newest
from tke_provider.domain.scaling import AUTOSCALER_KINDS, find_owner
from tke_provider.exceptions import NotFoundError

if TYPE_CHECKING:
    from tke_provider.clients.kubernetes import Cluster, Objects
    from tke_provider.domain.manifests import Manifest


async def read(cluster: Cluster, namespace: str, service: str) -> Record | None:
    """Return the record of the service's newest release, or ``None`` where there was none."""
    return decode(await cluster.get(record_of(namespace, service)))


async def write(cluster: Cluster, namespace: str, service: str, record: Record) -> None:
    """Write the record."""
    await cluster.apply(encode(record, namespace, service))


async def autoscalers(cluster: Cluster, namespace: str) -> Objects:
    """Return everything in the namespace that writes the size of some workload."""
    found: Objects = []
    for api_version, kind in AUTOSCALER_KINDS:
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


async def place(cluster: Cluster, manifests: list[Manifest], namespace: str) -> None:
    """Put every manifest into the namespace, but for kinds that belong to none.

    :raises ManifestError: when one names another namespace.
    :raises NotFoundError: when the cluster serves no such kind.
    """
    for manifest in manifests:
        if await cluster.namespaced(manifest["apiVersion"], manifest["kind"]):
            in_namespace(manifest, namespace)
        else:
            manifest["metadata"].pop("namespace", None)


async def prepare(
    cluster: Cluster, manifests: list[Manifest]
) -> tuple[list[Manifest], dict[ObjectRef, Manifest | None]]:
    """Let the cluster check every manifest, changing nothing, and return what to apply and what is live before.

    :raises InputError: when the cluster refuses one of them.
    """
    scalers: dict[str, Objects] = {}
    ready, live = [], {}
    for manifest in manifests:
        ref = ObjectRef.of(manifest)
        live[ref] = await cluster.get(ref)
        if is_rolled_out(manifest) and ref.namespace not in scalers:
            scalers[ref.namespace] = await autoscalers(cluster, ref.namespace)
        ready.append(keep_size(manifest, live[ref], scalers.get(ref.namespace, [])))
    for manifest in ready:
        await cluster.apply(manifest, dry_run=True)
    return ready, live


async def settle(cluster: Cluster, namespace: str, service: str, operation: str, state: str | None) -> None:
    """End an operation whose task a person ended: keep its work, put back what was before, or leave it to a new try.

    :param state: of the task: ``success`` keeps; ``failed``, ``skipped`` and ``removed`` undo; any other means that
        the task is to run again.
    """
    record = await read(cluster, namespace, service)
    if record is None or record.op != operation:
        return
    if record.stage is not Stage.LIVE:
        if state == "success":
            await write(cluster, namespace, service, dataclasses.replace(record, stage=Stage.LIVE))
        elif state in {"failed", "skipped", "removed"}:
            await undo(cluster, namespace, service, record, f"its task was marked as {state}")
    for name in lease_names(service, record.workloads()):
        await leases.release(cluster, namespace, name, operation)


async def undo(cluster: Cluster, namespace: str, service: str, record: Record, reason: str) -> list[str]:
    """Put back what was there before, wherever the live object still is as the release left it.

    Objects that the release created are deleted, but for namespaces, volumes and definitions of custom resources.
    May be repeated. Does not wait for pods.

    :param reason: why; kept in the record.
    :return: what was done, in words.
    """
    record = dataclasses.replace(record, stage=Stage.UNDOING, reason=reason)
    await write(cluster, namespace, service, record)
    scalers = await autoscalers(cluster, namespace)
    done = []
    for ref, before in record.before.items():
        live = await cluster.get(ref)
        if live is None or not record.undoes(live):
            continue
        if before is not None:
            stuck = await _stuck_pods(cluster, live)
            await cluster.apply(keep_size(before, live, scalers))
            for pod in stuck:
                await cluster.delete(ObjectRef.of(pod), uid=pod["metadata"]["uid"])
            done.append(f"{ref} is as before")
        elif may_delete(ref):
            await cluster.delete(ref, uid=live["metadata"]["uid"])
            done.append(f"{ref} is deleted")
        else:
            done.append(f"{ref} stays, it may hold data")
    await write(cluster, namespace, service, dataclasses.replace(record, stage=Stage.ROLLED_BACK))
    return done


async def _stuck_pods(cluster: Cluster, live: Manifest) -> Objects:
    """Return a StatefulSet's new pods that are not ready: it would wait for them rather than replace them.

    https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
    """
    if live["kind"] != "StatefulSet":
        return []
    pods = await cluster.list("v1", "Pod", live["metadata"]["namespace"])
    return [pod for pod in pods_of_newest(live, pods) if not _ready(pod)]


def _ready(pod: Manifest) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
