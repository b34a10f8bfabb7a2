"""Manifests: what an author wrote, read with care, and made to mean one image."""

from __future__ import annotations

import copy
import dataclasses
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from tke_provider.domain.operations import COMMIT, OPERATION
from tke_provider.exceptions import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import yaml

    from tke_provider.domain.images import Image

Manifest: TypeAlias = "dict[str, Any]"
"""One object as its author wrote it, or as the cluster has it."""

ROLLED_OUT = ("Deployment", "StatefulSet", "DaemonSet")
"""Kinds whose new version comes up step by step, so that waiting for it makes sense."""
JOB = "Job"
"""The kind that is waited for until it has done its work."""
_POD_TEMPLATES = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Pod": (),
}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """Which object of a cluster.

    :param namespace: empty for kinds that belong to no namespace.
    """

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, manifest: Manifest) -> ObjectRef:
        """Return what a manifest or a live object is about."""
        metadata = manifest["metadata"]
        return cls(manifest["apiVersion"], manifest["kind"], metadata.get("namespace") or "", metadata["name"])

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def parse(manifests: str | Sequence[Manifest]) -> list[Manifest]:
    """Read manifests, from YAML of any number of documents, or from objects; a ``List`` counts as its items.

    :raises ManifestError: naming document and line, when it is not YAML, says a key twice, has no apiVersion, kind or
        name, describes one object twice, or holds nothing.
    """
    if isinstance(manifests, str):
        found = list(_documents(manifests))
    else:
        found = [(f"Manifest {number}", document) for number, document in enumerate(manifests, 1)]
    objects = [(where, item) for where, document in found for item in _items(document)]
    seen: set[ObjectRef] = set()
    for where, item in objects:
        _check(where, item)
        ref = ObjectRef.of(item)
        if ref in seen:
            raise ManifestError(f"{where} describes {ref} a second time", way_out="keep one of the two")
        seen.add(ref)
    if not objects:
        raise ManifestError("The manifests are empty", way_out="write at least one object")
    return [copy.deepcopy(item) for _, item in objects]


def in_namespace(manifest: Manifest, namespace: str) -> None:
    """Put a manifest that names no namespace into this one.

    :raises ManifestError: when it names another one: a file meant for pre-release must not reach production.
    """
    named = manifest["metadata"].setdefault("namespace", namespace)
    if named != namespace:
        raise ManifestError(
            f"{ObjectRef.of(manifest)} names another namespace than {namespace}, to which the task deploys",
            way_out="leave the namespace out of the manifest, or deploy it by a task of its own",
        )


def pod_template(manifest: Manifest) -> Manifest | None:
    """Return the pod template of a workload, the manifest itself for a pod, and ``None`` for anything else."""
    path = _POD_TEMPLATES.get(manifest.get("kind", ""))
    if path is None:
        return None
    template: Any = manifest
    for step in path:
        template = template.get(step) if isinstance(template, dict) else None
    return template if isinstance(template, dict) and isinstance(template.get("spec"), dict) else None


def containers(manifest: Manifest) -> list[dict[str, Any]]:
    """Return a workload's containers, those that run before the others first."""
    template = pod_template(manifest)
    if template is None:
        return []
    return [*(template["spec"].get("initContainers") or ()), *(template["spec"].get("containers") or ())]


def workloads(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Return those whose new version comes up step by step."""
    return [manifest for manifest in manifests if is_rolled_out(manifest)]


def is_rolled_out(manifest: Manifest) -> bool:
    """Whether it is a Deployment, StatefulSet or DaemonSet of Kubernetes itself."""
    return manifest["kind"] in ROLLED_OUT and manifest["apiVersion"] == "apps/v1"


def is_awaited(manifest: Manifest) -> bool:
    """Whether there is something to wait for: a workload to come up, or a Job of Kubernetes itself to end."""
    return is_rolled_out(manifest) or (manifest["kind"], manifest["apiVersion"]) == (JOB, "batch/v1")


def images_of(manifests: Iterable[Manifest]) -> dict[str, str]:
    """Return the image of every container, by ``workload/container``."""
    return {
        f"{manifest['metadata']['name']}/{container['name']}": container.get("image", "")
        for manifest in manifests
        for container in containers(manifest)
    }


def pin(manifests: Iterable[Manifest], images: Mapping[str, Image], *, allow_tags: bool = False) -> list[Manifest]:
    """Return the manifests with the given images in their containers, by digest.

    :param images: by container name, or by ``workload/container`` where two workloads use one name.
    :param allow_tags: let a container keep a tag of a repository whose image is given for another container. Off by
        default: it would run something else than what was tested.
    :raises ManifestError: when an image is for a container that does not exist, or a tag would be left.
    """
    pinned = copy.deepcopy(list(manifests))
    unused = set(images)
    for manifest in pinned:
        for container in containers(manifest):
            names = (f"{manifest['metadata']['name']}/{container['name']}", container["name"])
            given = next((name for name in names if name in images), None)
            if given is not None:
                container["image"] = str(images[given])
                unused.discard(given)
            elif not allow_tags:
                _refuse_tag(manifest, container, images)
    if unused:
        existing = ", ".join(sorted(images_of(pinned))) or "none"
        raise ManifestError(
            f"There is no container {', '.join(sorted(unused))} to put an image into (containers: {existing})",
            way_out="name the container as the manifest does",
        )
    return pinned


def stamp(manifests: Iterable[Manifest], operation: str, commit: str) -> None:
    """Write on every object which operation applied it and from which commit.

    Not on pod templates: there it would restart every pod although nothing changed.
    """
    for manifest in manifests:
        # "annotations:" with nothing behind it is none, as it is for Kubernetes.
        annotations = dict(manifest["metadata"].get("annotations") or {})
        manifest["metadata"]["annotations"] = annotations
        annotations[OPERATION] = operation
        if commit:
            annotations[COMMIT] = commit


def annotation(manifest: Manifest | None, name: str) -> str:
    """Return the annotation's value; empty where the object, or the annotation, does not exist."""
    annotations = (manifest or {}).get("metadata", {}).get("annotations") or {}
    return str(annotations.get(name, ""))


def _refuse_tag(manifest: Manifest, container: Mapping[str, Any], images: Mapping[str, Image]) -> None:
    image = str(container.get("image", ""))
    repository = _repository(image)
    if "@" not in image and any(given.repository == repository for given in images.values()):
        name = container["name"]
        raise ManifestError(
            f"Container {name} of {ObjectRef.of(manifest)} would stay on {image}, which is no digest",
            way_out=f"pass the built image for container {name} too",
        )


def _repository(image: str) -> str:
    head, slash, tail = image.partition("@")[0].rpartition("/")
    return f"{head}{slash}{tail.partition(':')[0]}"


def _documents(text: str) -> Iterator[tuple[str, Any]]:
    """Yield every document that holds something, and where it stands."""
    import yaml

    number = 1
    try:
        loader = yaml.SafeLoader(text)
        # Kubernetes reads JSON's types only; YAML would make dates of unquoted words.
        loader.yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                break
            _check_node(node, number, ())
            document = loader.construct_document(node)
            if document is not None:
                yield f"Document {number} of the manifests (line {node.start_mark.line + 1})", document
            number += 1
    except yaml.MarkedYAMLError as error:
        cause = " ".join(filter(None, (error.context, error.problem)))
        raise _in_line(number, error.problem_mark, "is not YAML", cause, "correct it") from error
    except yaml.YAMLError as error:
        raise _in_line(number, None, "is not YAML", str(error), "correct it") from error


def _in_line(number: int, mark: yaml.Mark | None, problem: str, cause: str, way_out: str) -> ManifestError:
    line = f", line {mark.line + 1}," if mark else ""
    return ManifestError(f"Document {number} of the manifests{line} {problem}", cause=cause, way_out=way_out)


def _check_node(node: yaml.Node, number: int, above: tuple[yaml.Node, ...]) -> None:
    """Refuse what YAML takes and JSON does not: a key said twice, of which it keeps the last, and endless nesting."""
    import yaml

    if node in above:
        raise _in_line(number, node.start_mark, "contains itself", "", "write out what the alias stands for")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise _in_line(number, key.start_mark, f"says {key.value!r} a second time", "", "keep one of the two")
            seen.add(str(key.value))
            _check_node(value, number, (*above, node))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check_node(value, number, (*above, node))


def _items(document: Any) -> Iterator[Any]:
    if isinstance(document, dict) and document.get("kind") == "List" and isinstance(document.get("items"), list):
        yield from document["items"]
    else:
        yield document


def _check(where: str, manifest: Any) -> None:
    if not isinstance(manifest, dict):
        raise ManifestError(f"{where} is no object", way_out="write a mapping with apiVersion, kind and metadata")
    metadata = manifest.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise ManifestError(f"{where} has metadata that is no mapping", way_out="write metadata as name: value")
    name = metadata.get("name")
    for field, value in (("apiVersion", manifest.get("apiVersion")), ("kind", manifest.get("kind")), ("name", name)):
        if not isinstance(value, str) or not value:
            raise ManifestError(f"{where} has no {field}", way_out=f"add its {field}")
    if not _NAME.fullmatch(str(name)):
        raise ManifestError(f"{where} is named {name!r}, which no cluster takes", way_out="use a-z, 0-9 and dashes")
    for field in ("annotations", "labels"):
        if not isinstance(metadata.get(field) or {}, dict):
            raise ManifestError(f"{where} has {field} that are no mapping", way_out=f"write {field} as name: value")
    _check_containers(where, manifest)


def _check_containers(where: str, manifest: Manifest) -> None:
    spec = (pod_template(manifest) or {}).get("spec", {})
    for field in ("initContainers", "containers"):
        listed: Any = spec.get(field) or []
        if not isinstance(listed, list) or not all(isinstance(entry, dict) and entry.get("name") for entry in listed):
            raise ManifestError(
                f"{where} has {field} without names", way_out=f"write {field} as a list, each with a name"
            )
