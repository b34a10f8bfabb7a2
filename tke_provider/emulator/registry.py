"""What is in the real registry, over its HTTP API v2 (distribution specification)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from tke_provider.emulator.errors import CloudError

_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
)


@dataclass(frozen=True)
class Image:
    """One tag of a repository."""

    tag: str
    digest: str
    size: int
    kind: str
    updated: str


class RegistryReader:
    """Reads one registry, copies within it and deletes from it.

    :param url: ``http://host:port``.
    :param user: For HTTP basic authentication; ``""`` for none.
    :param password: Likewise.
    """

    def __init__(self, url: str, user: str = "", password: str = "") -> None:
        self.domain = urlsplit(url).netloc
        self._client = httpx.Client(base_url=url, auth=(user, password) if user else None, timeout=10, trust_env=False)

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()

    def repositories(self) -> list[str]:
        """All repositories, as ``namespace/name``."""
        found: list[str] = []
        while True:
            last = {"last": found[-1]} if found else {}
            batch = self._get("/v2/_catalog", params={"n": "100", **last}).json()["repositories"]
            found += batch
            if len(batch) < 100:  # noqa: PLR2004 - the page size asked for
                return found

    def tags(self, repository: str) -> list[str] | None:
        """The tags of a repository; None if the registry does not know it."""
        answer = self._get(f"/v2/{repository}/tags/list", absent_ok=True)
        return sorted(answer.json()["tags"] or []) if answer.is_success else None

    def image(self, repository: str, tag: str) -> Image | None:
        """What a tag stands for; None if there is no such tag."""
        answer = self._get(f"/v2/{repository}/manifests/{tag}", absent_ok=True)
        if not answer.is_success:
            return None
        manifest = answer.json()
        kind = answer.headers["content-type"]
        layers = [*manifest.get("layers", []), manifest.get("config", {})]
        size = sum(layer.get("size", 0) for layer in layers) or len(answer.content)
        digest = answer.headers["docker-content-digest"]
        return Image(tag, digest, size, kind, self._created(repository, manifest))

    def digest(self, repository: str, tag: str) -> str:
        """What a tag stands for, and no more; empty if there is no such tag."""
        answer = self._client.head(f"/v2/{repository}/manifests/{tag}", headers={"Accept": _MANIFESTS})
        return str(answer.headers["docker-content-digest"]) if answer.is_success else ""

    def delete(self, repository: str, digest: str) -> None:
        """Delete a manifest, with every tag that points to it."""
        answer = self._client.delete(f"/v2/{repository}/manifests/{digest}")
        if not answer.is_success:
            raise _failed(f"deleting {repository}@{digest}", answer)

    def copy(self, repository: str, reference: str, to: str, tag: str) -> None:
        """Give what a tag or digest stands for a tag in another repository; its content is mounted, not moved."""
        answer = self._get(f"/v2/{repository}/manifests/{reference}")
        manifest = answer.json()
        for child in manifest.get("manifests", []):
            self.copy(repository, child["digest"], to, child["digest"])
        for blob in [*manifest.get("layers", []), *([manifest["config"]] if "config" in manifest else [])]:
            mount = {"mount": blob["digest"], "from": repository}
            self._put("POST", f"/v2/{to}/blobs/uploads/", params=mount)
        kind = {"Content-Type": answer.headers["content-type"]}
        self._put("PUT", f"/v2/{to}/manifests/{tag}", headers=kind, content=answer.content)

    def _put(self, method: str, path: str, **more: Any) -> None:
        answer = self._client.request(method, path, **more)
        if answer.status_code != httpx.codes.CREATED:
            raise _failed(path, answer)

    def _created(self, repository: str, manifest: dict[str, Any]) -> str:
        if "config" not in manifest:
            return ""
        answer = self._get(f"/v2/{repository}/blobs/{manifest['config']['digest']}", absent_ok=True)
        try:
            return str(answer.json().get("created", "")) if answer.is_success else ""
        except ValueError:
            return ""

    def _get(self, path: str, *, params: dict[str, str] | None = None, absent_ok: bool = False) -> httpx.Response:
        try:
            answer = self._client.get(path, params=params, headers={"Accept": _MANIFESTS})
        except httpx.HTTPError as e:
            raise CloudError("InternalError", f"the registry at {self.domain} does not answer: {e}") from e
        if answer.is_success or (absent_ok and answer.status_code == httpx.codes.NOT_FOUND):
            return answer
        raise _failed(path, answer)


def _failed(what: str, answer: httpx.Response) -> CloudError:
    return CloudError("InternalError", f"the registry answers {answer.status_code} to {what}: {answer.text[:200]}")
