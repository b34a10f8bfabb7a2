"""The kubeconfig that TKE gives out: the real cluster's own, whole in itself."""

from __future__ import annotations

import base64
import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from tke_provider.emulator.models import Json

_INLINED = {
    "certificate-authority": "certificate-authority-data",
    "client-certificate": "client-certificate-data",
    "client-key": "client-key-data",
}


@dataclass(frozen=True)
class Access:
    """Where the real API server answers, and who vouches for it (PEM)."""

    server: str = ""
    authority: str = ""


def default_domain(cluster_id: str) -> str:
    """The domain every cluster has, which only resolves where somebody made it ([M] DescribeClusterEndpoints)."""
    return f"{cluster_id}.ccs.tencent-cloud.com"


def access(path: Path | None) -> Access:
    """Server and authority of a kubeconfig's current context; empty without one.

    :raises ValueError: The file is no kubeconfig.
    """
    if path is None:
        return Access()
    cluster = _read(path)["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster.get("certificate-authority-data", "")).decode()
    return Access(cluster["server"], authority)


def render(path: Path | None, cluster_id: str, user_id: str, is_open: bool) -> str:
    """The kubeconfig as YAML.

    :param path: The real cluster's; without one there is no credential in it.
    :param is_open: Whether the endpoint is open; if not, the server is the default domain.
    :raises ValueError: The file is no kubeconfig.
    """
    content = _read(path) if path else _empty(cluster_id, user_id)
    if not is_open or not path:
        content["clusters"][0]["cluster"]["server"] = f"https://{default_domain(cluster_id)}"
    return yaml.safe_dump(content, sort_keys=False)


def _read(path: Path) -> Json:
    # Nothing of what went wrong is chained or repeated: it quotes the file, which holds keys.
    try:
        return _current(_load(path))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ValueError(f"{path} is no kubeconfig: it is not YAML") from None
    except (LookupError, StopIteration, TypeError, AttributeError):
        raise ValueError(
            f"{path} is no kubeconfig: its current context, or cluster or user of that, is not there"
        ) from None


def _load(path: Path) -> Json:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for group, key in (("clusters", "cluster"), ("users", "user")):
        for each in content[group]:
            _inline(each[key], path.parent)
    return cast("Json", content)


def _inline(entry: Json, folder: Path) -> None:
    for name, inlined in _INLINED.items():
        if name in entry:
            entry[inlined] = base64.b64encode((folder / entry.pop(name)).read_bytes()).decode()


def _current(content: Json) -> Json:
    """Only what the current context needs: a user may keep other clusters in the same file."""
    context = next(each for each in content["contexts"] if each["name"] == content["current-context"])
    kept = {key: content[key] for key in ("apiVersion", "kind", "current-context")}
    kept["clusters"] = [each for each in content["clusters"] if each["name"] == context["context"]["cluster"]]
    kept["contexts"] = [context]
    kept["users"] = [each for each in content["users"] if each["name"] == context["context"]["user"]]
    if not (kept["clusters"] and kept["users"]):
        raise LookupError(context["name"])
    return copy.deepcopy(kept)


def _empty(cluster_id: str, user_id: str) -> Json:
    # Names as seen in public repositories [O].
    context = f"{cluster_id}-{user_id}-context-default"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": cluster_id, "cluster": {"server": ""}}],
        "contexts": [{"name": context, "context": {"cluster": cluster_id, "user": user_id}}],
        "users": [{"name": user_id, "user": {}}],
    }
