"""Docker Registry HTTP API v2, as TCR and every other registry speaks it.

Its documentation: https://distribution.github.io/distribution/spec/api/ and, for tokens, …/spec/auth/token/.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from tke_provider.clients.tls import trusted
from tke_provider.domain.hosts import is_loopback
from tke_provider.exceptions import (
    ConflictError,
    CredentialError,
    ForbiddenError,
    InputError,
    NotFoundError,
    ThrottledError,
    TkeError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    from typing_extensions import Self

    from tke_provider.clients.tcr import RegistryLogin
    from tke_provider.domain.images import Image

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT = {"Accept": ", ".join(_MANIFESTS + _INDEXES)}
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_SECONDS = 30.0

_OK, _CREATED, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY = 200, 201, 401, 403, 404, 429


class ImageRegistry:
    """One registry, for as long as the ``async with`` lasts.

    Spoken to by HTTPS; by plain HTTP where it is on this machine.

    :param host: host, with its port if it has one.
    :param login: sent to this registry, and to the token service that it names, only; None for public images.
    """

    def __init__(self, host: str, login: RegistryLogin | None = None) -> None:
        self.host = host
        self._login = login
        self._url = f"{'http' if is_loopback(host) else 'https'}://{host}"
        self._challenge: str | None = None
        self._http: httpx.AsyncClient

    async def __aenter__(self) -> Self:
        import httpx

        self._http = httpx.AsyncClient(timeout=_SECONDS, verify=trusted())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def digest(self, path: str, tag: str) -> str | None:
        """Return the digest that a tag stands for, or None when there is no such tag.

        :param path: the repository within the registry.
        """
        answer = await self._ask("HEAD", path, f"manifests/{tag}", headers=_ACCEPT, allowed=(_NOT_FOUND,))
        return None if answer.status_code == _NOT_FOUND else str(answer.headers["Docker-Content-Digest"])

    async def labels(self, path: str, digest: str) -> dict[str, str]:
        """Return the labels of an image; of a list of images for several platforms, those of its first.

        :raises NotFoundError: when the registry does not have it.
        """
        _, manifest = await self._manifest(path, digest)
        if "manifests" in manifest:
            _, manifest = await self._manifest(path, manifest["manifests"][0]["digest"])
        answer = await self._ask("GET", path, f"blobs/{manifest['config']['digest']}")
        return dict((answer.json().get("config") or {}).get("Labels") or {})

    async def promote(self, image: Image, to: ImageRegistry, path: str, tag: str) -> None:
        """Copy an image, digest and all, to another repository, and give it a tag there.

        Within one registry no content is moved. What is there already is left alone, so a repeated call is harmless.

        :param to: the registry to copy to; may be this one.
        :param path: the repository to copy to.
        :raises ConflictError: when the tag there already stands for another image. It is not moved: whoever runs
            what it stood for would lose it.
        :raises NotFoundError: when this registry does not have the image.
        """
        if not await to.has(path, tag, image.digest):
            await self._copy_manifest(image.path, image.digest, to, path, tag)

    async def has(self, path: str, tag: str, digest: str) -> bool:
        """Whether a tag stands for a digest already; it does not where there is no such tag.

        :raises ConflictError: when it stands for another one. Tags are not moved.
        """
        found = await self.digest(path, tag)
        if found in {None, digest}:
            return found == digest
        raise ConflictError(
            f"Tag {tag} of {self.host}/{path} stands for {found} and would have to move to {digest}",
            way_out="promote under another tag, or delete that one first",
        )

    async def platforms(self, path: str, digest: str) -> list[str]:
        """Return the digests that a list of images for several platforms leads to; none of a single image."""
        _, manifest = await self._manifest(path, digest)
        return [each["digest"] for each in manifest.get("manifests", ())]

    async def _copy_manifest(self, path: str, digest: str, to: ImageRegistry, to_path: str, name: str) -> None:
        raw, manifest = await self._manifest(path, digest)
        for child in manifest.get("manifests", ()):
            await self._copy_manifest(path, child["digest"], to, to_path, child["digest"])
        for blob in _blobs(manifest):
            await self._copy_blob(path, blob, to, to_path)
        kind = manifest.get("mediaType") or _MANIFESTS[0]
        await to._ask("PUT", to_path, f"manifests/{name}", headers={"Content-Type": kind}, content=raw)

    async def _copy_blob(self, path: str, blob: dict[str, Any], to: ImageRegistry, to_path: str) -> None:
        digest = blob["digest"]
        head = await to._ask("HEAD", to_path, f"blobs/{digest}", allowed=(_NOT_FOUND,))
        if head.status_code != _NOT_FOUND:
            return
        mount = {"mount": digest, "from": path} if to.host == self.host else {}
        answer = await to._ask("POST", to_path, "blobs/uploads/", params=mount, also_from=path if mount else "")
        if answer.status_code == _CREATED:
            return
        # The registry cannot, or would rather not, take it from the other repository: hand it over.
        upload = to._upload_url(answer)
        upload += f"{'&' if urlsplit(upload).query else '?'}digest={digest}"
        length = {"Content-Length": str(blob["size"]), "Content-Type": "application/octet-stream"}
        await to._ask("PUT", to_path, upload, headers=length, content=self._blob(path, digest))

    def _upload_url(self, answer: httpx.Response) -> str:
        """Return where the registry wants a blob sent to: itself, or another host, which our login is not sent to.

        :raises InputError: when that would be another machine, unencrypted.
        """
        url = str(urljoin(str(answer.request.url), answer.headers.get("Location", "")))
        there, here = urlsplit(url), urlsplit(self._url)
        if there.netloc == here.netloc:
            # Behind a proxy that ends TLS, registries name their own address without it.
            return there._replace(scheme=here.scheme).geturl()
        if there.scheme == "https" or (is_loopback(there.netloc) and is_loopback(self.host)):
            return url
        raise InputError(
            f"Registry {self.host} wants a layer sent to {there.scheme}://{there.netloc}, unencrypted",
            way_out="have the registry name an https URL: its external address is a setting of it",
        )

    async def _blob(self, path: str, digest: str) -> AsyncIterator[bytes]:
        import httpx

        url = f"{self._url}/v2/{path}/blobs/{digest}"
        # Registries hand out large blobs by a redirect to their storage; the login is not sent along.
        try:
            headers = await self._authorized(path, "pull")
            async with self._http.stream("GET", url, headers=headers, follow_redirects=True) as answer:
                if answer.status_code != _OK:
                    await answer.aread()
                    raise self._refused(answer, path)
                async for chunk in answer.aiter_bytes():
                    yield chunk
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    async def _manifest(self, path: str, digest: str) -> tuple[bytes, dict[str, Any]]:
        answer = await self._ask("GET", path, f"manifests/{digest}", headers=_ACCEPT)
        if "sha256:" + hashlib.sha256(answer.content).hexdigest() != digest:
            raise UnavailableError(
                f"Registry {self.host} answered the manifest {digest} of {path} with something else",
                way_out="retry; if it stays so, something between here and the registry changes its answers",
            )
        return answer.content, json.loads(answer.content)

    # --- requests -------------------------------------------------------------------------------------------------

    async def _ask(
        self,
        method: str,
        path: str,
        what: str,
        *,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        allowed: tuple[int, ...] = (),
        also_from: str = "",
    ) -> httpx.Response:
        """Send one request about a repository; an answer that is neither a success nor allowed is raised.

        :param what: of the repository; or a whole URL, which gets our login if it is of this very registry.
        """
        import httpx

        url = what if "://" in what else f"{self._url}/v2/{path}/{what}"
        rights = "pull" if method in {"GET", "HEAD"} else "pull,push"
        ours = url.startswith(f"{self._url}/")
        try:
            authorization = await self._authorized(path, rights, also_from) if ours else {}
            answer = await self._http.request(
                method,
                url,
                headers={**(headers or {}), **authorization},
                params=params or None,
                content=content,
                follow_redirects=method in {"GET", "HEAD"},
            )
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if not answer.is_success and answer.status_code not in allowed:
            raise self._refused(answer, path)
        return answer

    async def _authorized(self, path: str, rights: str, also_from: str = "") -> dict[str, str]:
        """Return the header that shows who asks, as the registry itself says that it wants it."""
        if self._challenge is None:
            hello = await self._http.get(f"{self._url}/v2/")
            if hello.is_server_error or hello.status_code == _TOO_MANY:
                # Taken for a registry without a login, it would refuse what comes next as if the login were wrong.
                raise self._refused(hello, path)
            self._challenge = hello.headers.get("WWW-Authenticate", "") if hello.status_code == _UNAUTHORIZED else ""
        kind = self._challenge.partition(" ")[0].lower()
        if kind == "bearer":
            # Not kept: such a token lives for minutes, and copying an image may take longer.
            scopes = [f"repository:{path}:{rights}"] + ([f"repository:{also_from}:pull"] if also_from else [])
            token = await self._token(dict(_CHALLENGE.findall(self._challenge)), scopes)
            return {"Authorization": f"Bearer {token}"}
        if kind == "basic" and self._login:
            import httpx

            request = next(self._basic(self._login).sync_auth_flow(httpx.Request("GET", self._url)))
            return {"Authorization": request.headers["Authorization"]}
        return {}

    async def _token(self, challenge: dict[str, str], scopes: list[str]) -> str:
        realm = urlsplit(challenge.get("realm", ""))
        if realm.scheme != "https" and not (realm.scheme == "http" and is_loopback(realm.netloc)):
            raise InputError(
                f"Registry {self.host} wants its login sent to {realm.geturl()!r}, unencrypted",
                way_out="have the registry name a token service with an https URL",
            )
        answer = await self._http.get(
            realm.geturl(),
            params={"service": challenge.get("service", ""), "scope": scopes},
            auth=self._basic(self._login) if self._login else None,
        )
        if not answer.is_success:
            raise self._refused(answer, " ".join(scopes))
        try:
            body = answer.json()
            return str(body.get("token") or body["access_token"])
        except (AttributeError, KeyError, ValueError) as error:  # its text is not quoted: it may be the token
            raise UnavailableError(
                f"The token service of registry {self.host} answers without a token",
                cause=f"{type(error).__name__}, HTTP {answer.status_code}",
                way_out="retry; if it stays so, look whether something between here and it answers in its place",
            ) from None

    @staticmethod
    def _basic(login: RegistryLogin) -> httpx.BasicAuth:
        import httpx

        return httpx.BasicAuth(login.username, login.password)

    # --- errors ---------------------------------------------------------------------------------------------------

    def _unreachable(self, error: Exception) -> UnavailableError:
        return UnavailableError(
            f"Registry {self.host} does not answer",
            cause=str(error) or type(error).__name__,
            way_out="check the host and that the worker reaches it; the task may be retried",
        )

    def _refused(self, answer: httpx.Response, path: str) -> TkeError:
        status, about = answer.status_code, f"Registry {self.host}"
        cause = _cause(answer)
        # A good token for too little is refused with the status of a missing one.
        too_little = "insufficient_scope" in answer.headers.get("WWW-Authenticate", "")
        if status == _UNAUTHORIZED and not too_little:
            return CredentialError(
                f"{about} refuses the login" if self._login else f"{about} wants a login for {path}",
                cause=cause,
                way_out="give registry_id, or a connection with its host, login and password (docker_conn_id)",
            )
        if status in {_UNAUTHORIZED, _FORBIDDEN}:
            return ForbiddenError(
                f"{about} does not let this login use {path}",
                cause=cause,
                way_out="grant it pull and push there",
            )
        if status == _NOT_FOUND:
            return NotFoundError(
                f"{about} does not have {answer.request.url.path.removeprefix('/v2/')}",
                cause=cause,
                way_out="check the repository and the digest",
            )
        kind = ThrottledError if status == _TOO_MANY else UnavailableError
        return kind(f"{about} refused {path}", cause=cause, way_out="retry later")


def _blobs(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    # Foreign layers are fetched from elsewhere by whoever runs the image; a registry does not hold them.
    layers = [layer for layer in manifest.get("layers", ()) if not layer.get("urls")]
    return ([manifest["config"]] if "config" in manifest else []) + layers


def _cause(answer: httpx.Response) -> str:
    """Return the registry's own words: the error envelope of the API, or the status."""
    try:
        first = answer.json()["errors"][0]
        return f"{first['code']}: {first.get('message', '')}"
    except (ValueError, KeyError, IndexError, TypeError):
        return f"HTTP {answer.status_code} {answer.reason_phrase}"
