"""Manifests on their way into a cluster: read from a folder, compared with what is live, applied, pruned."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, NamedTuple

from tke_provider.clients.objects import autoscalers, keep_size
from tke_provider.domain.diffs import difference
from tke_provider.domain.manifests import ObjectRef, is_rolled_out, parse
from tke_provider.domain.operations import FIELD_MANAGER, OPERATION
from tke_provider.domain.releases import TYPE, may_delete
from tke_provider.exceptions import InputError, ManifestError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tke_provider.clients.kubernetes import Cluster, Objects
    from tke_provider.domain.diffs import Difference
    from tke_provider.domain.manifests import Manifest

_FIRST = ("Namespace", "CustomResourceDefinition")
"""Kinds without which others cannot be made."""
_LOOKS = 60
"""How often a cluster is asked, twice a second, whether it serves a kind that was just defined."""
_PRUNED = (
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
)
"""Kinds that are looked at for what no manifest names any more, beside the kinds of the manifests themselves."""


class Comparison(NamedTuple):
    """What applying would do, and what to apply.

    :param ready: in the order in which they can be applied, with the live size where something else writes that.
    :param differences: one an object, in the same order.
    """

    ready: list[Manifest]
    differences: list[Difference]


def read_folder(root: Path, path: str) -> list[Manifest]:
    """Read one file, or every YAML file of a folder, in the order of their names.

    :param root: a checked out commit; a link in it must not lead out of it, to the worker's own files.
    :param path: within the root.
    :raises InputError: when there are none.
    :raises ManifestError: when they cannot be understood.
    """
    within, root = (root / path).resolve(), root.resolve()
    files = [within]
    if within.is_dir() and within.is_relative_to(root):
        files = sorted(each.resolve() for each in within.rglob("*") if each.suffix in {".yaml", ".yml"})
    if not files or not all(each.is_file() and each.is_relative_to(root) for each in files):
        raise InputError(f"The commit has no manifests at {path!r}", way_out="correct manifests_path")
    try:
        return parse("\n---\n".join(each.read_text(encoding="utf-8") for each in files))
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"The manifests at {path!r} are not UTF-8", cause=str(error), way_out="save them as UTF-8"
        ) from error


async def compare(
    cluster: Cluster, manifests: Iterable[Manifest], *, force: bool, new_namespaces: Iterable[str] = ()
) -> Comparison:
    """Let the cluster check every manifest and say what would become of each object, changing nothing.

    Where the namespace, or the kind, is itself still to be made by these manifests, the cluster cannot be asked: such
    an object is shown as it is written.

    :param force: take over fields that another manager wrote.
    :param new_namespaces: more namespaces that may be yet to be made.
    :raises InputError: when the cluster refuses one of them.
    :raises OwnedError: when another manager owns a field that they set; names manager and field. Not with ``force``.
    """
    ordered = sorted(manifests, key=lambda each: (each["kind"] not in _FIRST, is_rolled_out(each)))
    made = _made(ordered) | {("Namespace", each) for each in new_namespaces}
    scalers: dict[str, Objects] = {}
    ready, differences = [], []
    for manifest in ordered:
        ref = ObjectRef.of(manifest)
        if await _waits_for(cluster, ref, made):
            ready.append(manifest)
            differences.append(difference(None, manifest))
            continue
        live = await cluster.get(ref)
        if live and is_rolled_out(manifest) and ref.namespace not in scalers:
            scalers[ref.namespace] = await autoscalers(cluster, ref.namespace)
        ready.append(keep_size(manifest, live, scalers.get(ref.namespace, [])))
        differences.append(difference(live, await cluster.apply(ready[-1], dry_run=True, force=force)))
    return Comparison(ready, differences)


async def apply(cluster: Cluster, manifest: Manifest, *, force: bool) -> None:
    """Apply, and wait until the cluster serves the kind where it is the definition of one.

    :raises UnavailableError: when the cluster does not serve the kind soon; a retry helps.
    """
    await cluster.apply(manifest, force=force)
    if manifest["kind"] != "CustomResourceDefinition":
        return
    spec = manifest["spec"]
    version = next(each["name"] for each in spec["versions"] if each.get("served"))
    for _ in range(_LOOKS):
        with contextlib.suppress(NotFoundError):
            await cluster.namespaced(f"{spec['group']}/{version}", spec["names"]["kind"])
            return
        await asyncio.sleep(0.5)
    raise UnavailableError(f"The cluster does not serve {spec['names']['kind']} yet", way_out="try again")


async def to_prune(
    cluster: Cluster, manifests: Sequence[Manifest], namespaces: Iterable[str], labels: Mapping[str, str]
) -> Objects:
    """Return what carries these labels, was applied by this provider, and is named by no manifest any more.

    Never what may hold data (namespaces, volumes and their claims, definitions of custom resources), never what a
    controller made, and never the record of a release.
    """
    kept = {(ref.kind, ref.namespace, ref.name) for ref in map(ObjectRef.of, manifests)}
    kinds = dict.fromkeys((*_PRUNED, *((each["apiVersion"], each["kind"]) for each in manifests)))
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    found: Objects = []
    for api_version, kind in kinds:
        with contextlib.suppress(NotFoundError):  # the cluster serves no such kind
            if not await cluster.namespaced(api_version, kind):
                continue
            for namespace in namespaces:
                found += await cluster.list(api_version, kind, namespace, label_selector=selector)
    refs = ((ObjectRef.of(each), each) for each in found)
    return [each for ref, each in refs if (ref.kind, ref.namespace, ref.name) not in kept and _ours(each)]


async def prune(cluster: Cluster, surplus: Iterable[Manifest]) -> list[ObjectRef]:
    """Delete these very objects, not namesakes made since, and return which there still were."""
    refs = ((ObjectRef.of(live), live["metadata"]["uid"]) for live in surplus)
    return [ref for ref, uid in refs if await cluster.delete(ref, uid=uid)]


def _ours(live: Manifest) -> bool:
    metadata = live["metadata"]
    applied = any(
        entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply"
        for entry in metadata.get("managedFields") or ()
    )
    stamped = OPERATION in (metadata.get("annotations") or {})
    going = "deletionTimestamp" in metadata or metadata.get("ownerReferences")
    return applied and stamped and not going and may_delete(ObjectRef.of(live)) and live.get("type") != TYPE


def _made(manifests: Iterable[Manifest]) -> set[tuple[str, str]]:
    """Return the namespaces, and the kinds, that these manifests make."""
    made = set()
    for manifest in manifests:
        if manifest["kind"] == "Namespace":
            made.add(("Namespace", manifest["metadata"]["name"]))
        if manifest["kind"] == "CustomResourceDefinition":
            made.add(("Kind", ((manifest.get("spec") or {}).get("names") or {}).get("kind", "")))
    return made


async def _waits_for(cluster: Cluster, ref: ObjectRef, made: set[tuple[str, str]]) -> bool:
    """Whether the object cannot be checked before these manifests were applied in part."""
    if ("Kind", ref.kind) in made:
        try:
            await cluster.namespaced(ref.api_version, ref.kind)
        except NotFoundError:
            return True
    if ("Namespace", ref.namespace) in made:
        return await cluster.get(ObjectRef("v1", "Namespace", "", ref.namespace)) is None
    return False
