"""Is a request what the published API metadata says: known action, known parameters, their types, the required ones.

The metadata is that of the installed ``tccli`` (``tccli/services/<service>/<version>/api.json``): found without
importing the package, read once per service. No copy of it is kept in this project.
"""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tke_provider.emulator.errors import CloudError, missing, unknown

if TYPE_CHECKING:
    from tke_provider.emulator.models import Json

# A service that goes by another name in the signature than in tccli.
_FOLDERS = {"as": "autoscaling"}
_SCALARS: dict[str, tuple[type, ...]] = {"string": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


class MetadataMissingError(RuntimeError):
    """``tccli`` is not installed."""


@cache
def services_folder() -> Path:
    """Where the installed ``tccli`` keeps the API metadata.

    :raises MetadataMissingError: It is not installed.
    """
    spec = importlib.util.find_spec("tccli")
    if spec is None or spec.origin is None:
        raise MetadataMissingError("tccli is not installed; run: pip install 'airflow-provider-tke[emulator]'")
    return Path(spec.origin).parent / "services"


@cache
def metadata(service: str, version: str) -> Json:
    """The published description of one version of one service.

    :raises CloudError: There is no such service or version.
    """
    folder = services_folder() / _FOLDERS.get(service, service)
    if not service.isalnum() or not folder.is_dir():
        raise CloudError("NoSuchProduct", f"The product `{service}` does not exist.")
    file = folder / f"v{version.replace('-', '')}" / "api.json"
    if not version.replace("-", "").isdecimal() or not file.is_file():
        raise CloudError("NoSuchVersion", f"The version `{version}` of `{service}` does not exist.")
    return cast("Json", json.loads(file.read_text(encoding="utf-8")))


def check_action(service: str, version: str, action: str) -> None:
    """Is there such an action.

    :raises CloudError: There is none, or it is retired.
    """
    found = metadata(service, version)["actions"].get(action)
    if found is None:
        raise CloudError("InvalidAction", f"The action `{action}` of {service} {version} does not exist.")
    if found["status"] == "deprecated":
        # [M] marks such actions so; the code is in [G].
        raise CloudError("FailedOperation.DeprecatedAPI", f"{action} has been retired and is no longer available.")


def check_parameters(service: str, version: str, action: str, params: Json) -> Json:
    """The parameters as they may be relied upon: what is null is absent.

    :raises CloudError: One is unknown, missing or of the wrong type.
    """
    described = metadata(service, version)
    name = described["actions"][action]["input"]
    return _object(described["objects"], name, params, path="")


def _object(objects: Json, name: str, value: object, path: str) -> Json:
    if not isinstance(value, dict):
        raise _wrong_type(path or "the request body")
    members = {member["name"]: member for member in objects[name]["members"]}
    prefix = f"{path}." if path else ""
    given = {key: item for key, item in value.items() if item is not None}
    for key in value:
        if key not in members:
            raise unknown(prefix + key)
    for key, member in members.items():
        # A member that may be null in answers is described by the same object and is not demanded in requests.
        if member["required"] and key not in given and not member.get("value_allowed_null"):
            raise missing(prefix + key)
    return {key: _value(objects, members[key], item, prefix + key) for key, item in given.items()}


def _value(objects: Json, member: Json, value: Any, path: str) -> Any:
    kind, of = member["type"], member["member"]
    if kind == "list":
        if not isinstance(value, list):
            raise _wrong_type(path)
        element = {"type": _element_type(objects, of), "member": of}
        return [_value(objects, element, item, f"{path}.{index}") for index, item in enumerate(value)]
    if kind == "object":
        return _object(objects, of, value, path)
    if not _fits(kind, of, value):
        raise _wrong_type(path)
    return value


def _fits(kind: str, of: str, value: object) -> bool:
    if isinstance(value, bool):
        # bool is an int to Python, not to JSON.
        return kind == "bool"
    if of == "uint64" and isinstance(value, int):
        return value >= 0
    return isinstance(value, _SCALARS[kind])


def _element_type(objects: Json, of: str) -> str:
    if of in objects:
        return "object"
    return {"int64": "int", "uint64": "int", "bool": "bool", "float": "float"}.get(of, "string")


def _wrong_type(path: str) -> CloudError:
    return CloudError("InvalidParameter", f"The value type of parameter `{path}` is not valid.")
