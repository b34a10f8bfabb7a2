"""TCR 2019-09-24: registries, namespaces, repositories, images; answered from the real registry."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tke_provider.emulator.cloud import filters, limit_of, page
from tke_provider.emulator.errors import CloudError
from tke_provider.emulator.models import Json, Namespace, Registry, Repository

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Call, Handler
    from tke_provider.emulator.registry import Image

# [M] CreateRepository gives the rule for repositories; that for namespaces is taken to be the same.
_NAME = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
_TEMPORARY_SECONDS = 3600
_LONG_SECONDS = 10 * 365 * 86400


def iso(seconds: float) -> str:
    """A time as TCR writes it, in Beijing's zone in the published examples [M], here in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def numbered(items: list[Json], params: Json) -> list[Json]:
    """One page: here ``Offset`` is the *number of the page*, from 1; 0 is taken for 1 as in an example [M]."""
    limit = limit_of(params)
    first = (max(params.get("Offset", 1), 1) - 1) * limit
    return items[first : first + limit]


def describe_instances(call: Call) -> Json:
    """Registries. The parameter is spelled ``Registryids``, and ``Offset`` counts rows in this action [M]."""
    ids = call.params.get("Registryids")
    wanted = filters(call, ("RegistryName", "RegistryId"), "InvalidParameter")
    found = []
    for registry in call.cloud.state.registries.values():
        if registry.region != call.region and not call.params.get("AllRegion", False):
            continue
        described = _describe_registry(call, registry)
        if ids and registry.id not in ids:
            continue
        if all(described[name] in values for name, values in wanted.items()):
            found.append(described)
    return {"TotalCount": len(found), "Registries": page(found, call.params)}


def describe_instance_status(call: Call) -> Json:
    """The states of registries."""
    states = {each.id: each.state for each in call.cloud.state.registries.values() if each.region == call.region}
    found = [
        {
            "RegistryId": each,
            "Status": states[each],
            "Conditions": [{"Type": "", "Status": states[each], "Reason": ""}],
        }
        for each in call.params["RegistryIds"]
        if each in states
    ]
    return {"RegistryStatusSet": found}


def create_instance_token(call: Call) -> Json:
    """A login. It is the one that the real registry knows; ``ExpTime`` is in milliseconds [M]."""
    call.registry()
    kind = call.params.get("TokenType", "temp")
    if kind not in {"temp", "longterm"}:
        raise CloudError("InvalidParameter", "TokenType must be temp or longterm")
    settings = call.cloud.settings
    lifetime = _TEMPORARY_SECONDS if kind == "temp" else _LONG_SECONDS
    return {
        "Username": settings.registry_user or call.cloud.state.uin,
        "Token": settings.registry_password or secrets.token_urlsafe(24),
        "ExpTime": int((call.cloud.clock.now() + lifetime) * 1000),
        "TokenId": "" if kind == "temp" else secrets.token_hex(10),
    }


def create_namespace(call: Call) -> Json:
    """A namespace; pushing does not make one."""
    registry, name = call.registry(), call.params["NamespaceName"]
    _check_name(name)
    if name in registry.namespaces:
        raise CloudError("FailedOperation.ErrorTcrResourceConflict", f"namespace {name} already exists")
    call.cloud.state.serial += 1
    options: Json = {key: call.params[key] for key in ("IsAutoScan", "IsPreventVUL", "Severity") if key in call.params}
    registry.namespaces[name] = Namespace(
        name, call.cloud.state.serial, call.cloud.clock.now(), call.params["IsPublic"], options
    )
    return {}


def describe_namespaces(call: Call) -> Json:
    """Namespaces, those whose name contains ``NamespaceName``. ``Offset`` is a page number [M]."""
    registry = call.registry()
    fragment = call.params.get("NamespaceName", "")
    found = [_describe_namespace(each) for each in registry.namespaces.values() if fragment in each.name]
    shown = found if call.params.get("All", False) else numbered(found, call.params)
    return {"TotalCount": len(found), "NamespaceList": shown}


def delete_namespace(call: Call) -> Json:
    """An empty namespace."""
    registry, name = call.registry(), call.params["NamespaceName"]
    _namespace(registry, name)
    inside = [each for each in _repositories(call, registry) if each.split("/", 1)[0] == name]
    if inside:
        raise CloudError(
            "FailedOperation.PreconditionFailed", f"namespace {name} is not empty: {', '.join(inside[:3])}"
        )
    del registry.namespaces[name]
    return {}


def create_repository(call: Call) -> Json:
    """A repository; pushing makes one too."""
    registry = call.registry()
    space, name = call.params["NamespaceName"], call.params["RepositoryName"]
    _namespace(registry, space, "ResourceNotFound")
    _check_name(name)
    if f"{space}/{name}" in _repositories(call, registry):
        raise CloudError("InternalError.ErrorTcrResourceConflict", f"repository {space}/{name} already exists")
    registry.repositories[f"{space}/{name}"] = Repository(
        space,
        name,
        call.cloud.clock.now(),
        call.params.get("BriefDescription", ""),
        call.params.get("Description", ""),
    )
    return {}


def describe_repositories(call: Call) -> Json:
    """Repositories, pushed or created. ``Name`` is ``namespace/name``, ``Offset`` a page number [M]."""
    registry = call.registry()
    space, fragment = call.params.get("NamespaceName"), call.params.get("RepositoryName", "")
    found = [
        _describe_repository(registry, each)
        for each in _repositories(call, registry)
        if (not space or each.split("/", 1)[0] == space) and fragment in each.split("/", 1)[1]
    ]
    return {"TotalCount": len(found), "RepositoryList": numbered(found, call.params)}


def describe_images(call: Call) -> Json:
    """Tags of a repository. ``ImageVersion`` matches in part unless ``ExactMatch``; ``Offset`` is a page number [M]."""
    params = call.params
    repository, tags = _tags(call)
    version, exact = params.get("ImageVersion", ""), params.get("ExactMatch", False)
    tags = [tag for tag in tags if (tag == version if exact and version else version in tag)]
    wanted, reader = params.get("Digest"), call.cloud.registry
    tags = [tag for tag in tags if reader and (not wanted or reader.digest(repository, tag) == wanted)]
    found = [_describe_image(image) for tag in tags if (image := _image(call, repository, tag))]
    return {"TotalCount": len(found), "ImageInfoList": numbered(found, params)}


def duplicate_image(call: Call) -> Json:
    """Another tag for what a tag stands for; it may be in another namespace and repository, which are then made.

    Without ``Override`` a tag that exists is left alone. That it is refused, whatever it stands for, is inferred: the
    code is documented for the action [G].
    """
    registry, params = call.registry(), call.params
    space, name = params["SourceNamespace"], params["SourceRepo"]
    to_space = params.get("DestinationNamespace") or space
    source, to = f"{space}/{name}", f"{to_space}/{params.get('DestinationRepo') or name}"
    for each in (space, to_space):
        _namespace(registry, each)
    # At present only a tag is taken, says the parameter's description [M].
    image = None if ":" in params["SourceReference"] else _image(call, source, params["SourceReference"])
    if image is None or call.cloud.registry is None:
        raise CloudError(
            "ResourceNotFound.TcrResourceNotFound", f"image {source}:{params['SourceReference']} not found"
        )
    if not params.get("Override", False) and _image(call, to, params["DestinationTag"]):
        raise CloudError("InternalError.ErrorTcrResourceConflict", f"image {to}:{params['DestinationTag']} exists")
    call.cloud.registry.copy(source, image.digest, to, params["DestinationTag"])
    return {}


def delete_image(call: Call) -> Json:
    """An image by its tag; other tags of the same digest go with it, as in the registry behind [K]."""
    repository, _ = _tags(call)
    image = _image(call, repository, call.params["ImageVersion"])
    if image is None or call.cloud.registry is None:
        version = call.params["ImageVersion"]
        raise CloudError("ResourceNotFound.TcrResourceNotFound", f"image {repository}:{version} not found")
    call.cloud.registry.delete(repository, image.digest)
    return {}


def _tags(call: Call) -> tuple[str, list[str]]:
    registry = call.registry()
    space, name = call.params["NamespaceName"], call.params["RepositoryName"]
    _namespace(registry, space)
    repository = f"{space}/{name}"
    tags = call.cloud.registry.tags(repository) if call.cloud.registry else None
    if tags is None and repository not in registry.repositories:
        raise CloudError("ResourceNotFound.TcrResourceNotFound", f"repository {repository} not found")
    return repository, tags or []


def _image(call: Call, repository: str, tag: str) -> Image | None:
    return call.cloud.registry.image(repository, tag) if call.cloud.registry else None


def _repositories(call: Call, registry: Registry) -> list[str]:
    pushed = call.cloud.registry.repositories() if call.cloud.registry else []
    # The real registry lets anybody push anywhere; TCR only into namespaces that exist [D].
    known = [each for each in pushed if "/" in each and each.split("/", 1)[0] in registry.namespaces]
    return sorted({*known, *registry.repositories})


def _namespace(registry: Registry, name: str, code: str = "ResourceNotFound.TcrResourceNotFound") -> Namespace:
    found = registry.namespaces.get(name)
    if found is None:
        raise CloudError(code, f"namespace {name} not found")
    return found


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise CloudError("InvalidParameter.ErrorTcrInvalidParameter", f"{name!r} is not a valid name")


def _describe_registry(call: Call, registry: Registry) -> Json:
    reader = call.cloud.registry
    return {
        "RegistryId": registry.id,
        "RegistryName": registry.name,
        "RegistryType": "premium",
        "Status": registry.state,
        "PublicDomain": reader.domain if reader else f"{registry.name}.tencentcloudcr.com",
        "CreatedAt": iso(registry.created),
        "RegionName": registry.region,
        "RegionId": 1,
        "EnableAnonymous": False,
        "TokenValidTime": 87600,
        "InternalEndpoint": "",
        "TagSpecification": {"ResourceType": "instance", "Tags": []},
        "ExpiredAt": "",
        "PayMod": 0,
        "RenewFlag": 0,
        "DeletionProtection": False,
    }


def _describe_namespace(space: Namespace) -> Json:
    return {
        "Name": space.name,
        "CreationTime": iso(space.created),
        "Public": space.public,
        "NamespaceId": space.number,
        "TagSpecification": {"ResourceType": "namespace", "Tags": []},
        "Metadata": [],
        "CVEWhitelistItems": [],
        "AutoScan": space.options.get("IsAutoScan", False),
        "PreventVUL": space.options.get("IsPreventVUL", False),
        "Severity": space.options.get("Severity", ""),
    }


def _describe_repository(registry: Registry, full_name: str) -> Json:
    space = full_name.split("/", 1)[0]
    made = registry.repositories.get(full_name)
    # "2024-12-10 14:30:36.806284 +0000 UTC" [M]; the registry does not know when a push made one.
    created = datetime.fromtimestamp(made.created if made else registry.created, timezone.utc)
    at = created.strftime("%Y-%m-%d %H:%M:%S.%f +0000 UTC")
    return {
        "Name": full_name,
        "Namespace": space,
        "CreationTime": at,
        "UpdateTime": at,
        "Public": registry.namespaces[space].public,
        "Description": made.description if made else "",
        "BriefDescription": made.brief if made else "",
    }


def _describe_image(image: Image) -> Json:
    return {
        "Digest": image.digest,
        "Size": image.size,
        "ImageVersion": image.tag,
        "UpdateTime": image.updated,
        "Kind": f"Artifact::{image.kind}",
        "KmsSignature": "",
    }


ACTIONS: dict[str, Handler] = {
    "CreateInstanceToken": create_instance_token,
    "CreateNamespace": create_namespace,
    "CreateRepository": create_repository,
    "DeleteImage": delete_image,
    "DeleteNamespace": delete_namespace,
    "DescribeImages": describe_images,
    "DescribeInstanceStatus": describe_instance_status,
    "DescribeInstances": describe_instances,
    "DescribeNamespaces": describe_namespaces,
    "DescribeRepositories": describe_repositories,
    "DuplicateImage": duplicate_image,
}
