"""A Kubernetes cluster, spoken to as its API is documented: https://kubernetes.io/docs/reference/using-api/.

Objects are plain dicts, of whatever kind the cluster serves, so that a custom resource needs no code of ours.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import quote

from tke_provider.clients.kubernetes_connection import TIMEOUT, ClusterConnection, Request, decode
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.operations import FIELD_MANAGER
from tke_provider.exceptions import InputError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    import httpx

    from tke_provider.domain.manifests import Manifest

Objects: TypeAlias = "list[dict[str, Any]]"
Names: TypeAlias = "list[str]"

_PAGE = 500
# https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


class _Resource(NamedTuple):
    plural: str
    namespaced: bool


class Cluster(ClusterConnection):
    """One cluster. Use as ``async with``; every method raises the errors below.

    Reads and repeatable writes are tried again for a few seconds when the cluster is busy or out of reach.

    :param kubeconfig: its text; kept in memory only.
    :param name: how errors name the cluster; default: the address of its API server.
    :param renew: called once when the cluster no longer knows the credentials; returns a new kubeconfig.
    :raises CredentialError: the cluster does not know who is asking.
    :raises ForbiddenError: the credentials lack a verb on a resource; both are named.
    :raises InputError: the cluster refuses the object; in the cluster's own words.
    :raises ConflictError: somebody else changed or created the object in between.
    :raises UnavailableError: the cluster does not answer, or asks for fewer calls; a retry helps.
    """

    def __init__(self, kubeconfig: str, *, name: str = "", renew: Callable[[], Awaitable[str]] | None = None) -> None:
        super().__init__(kubeconfig, name=name, renew=renew)
        self._resources: dict[tuple[str, str], _Resource] = {}
        self._asking: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def namespaced(self, api_version: str, kind: str) -> bool:
        """Return whether objects of this kind belong to a namespace.

        :raises NotFoundError: when the cluster serves no such kind.
        """
        return (await self._resource(api_version, kind)).namespaced

    async def get(self, ref: ObjectRef) -> dict[str, Any] | None:
        """Return the live object, or ``None`` where there is none.

        :raises NotFoundError: when the cluster serves no such kind.
        """
        request = await self._on(ref, "get")
        try:
            return await self._json(request)
        except NotFoundError:
            return None

    async def list(
        self,
        api_version: str,
        kind: str,
        namespace: str = "",
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> Objects:
        """Return every object that matches, page by page; in all namespaces where none is given."""
        query = {"limit": str(_PAGE), **_selectors(label_selector, field_selector)}
        items = await self._items(await self._of_kind("list", api_version, kind, namespace, query))
        # Items of a list carry neither; readers of a single object expect both.
        return [{"apiVersion": api_version, "kind": kind, **item} for item in items]

    async def names(self, api_version: str, kind: str, namespace: str, label_selector: str) -> Names:
        """Return the names of every object that matches; what the objects hold is not even sent."""
        query = {"limit": str(_PAGE), **_selectors(label_selector, None)}
        request = await self._of_kind("list", api_version, kind, namespace, query)
        return [item["metadata"]["name"] for item in await self._items(request._replace(headers={"Accept": _METADATA}))]

    async def _items(self, request: Request) -> Objects:
        found: Objects = []
        query = dict(request.query)
        while True:
            page = await self._json(request)
            found += page.get("items") or ()
            token = page["metadata"].get("continue")
            if not token:
                return found
            request = request._replace(query={**query, "continue": token})

    async def create(self, manifest: Manifest) -> dict[str, Any]:
        """Create the object.

        :raises ConflictError: when it exists already.
        """
        ref = ObjectRef.of(manifest)
        request = await self._of_kind(
            "create", ref.api_version, ref.kind, ref.namespace, {"fieldManager": FIELD_MANAGER}
        )
        return await self._json(request._replace(name=ref.name, body=manifest))

    async def apply(self, manifest: Manifest, dry_run: bool = False, force: bool = True) -> dict[str, Any]:
        """Apply server-side, as the one field manager of this provider, and return the object as it is then.

        Fields that we wrote before and that the manifest no longer has are removed. Unknown fields are refused rather
        than dropped.

        :param dry_run: let the cluster check everything, admission included, and change nothing.
        :param force: take over fields that another manager wrote, rather than refuse.
        :raises OwnedError: without ``force``, when another manager owns a field; names manager and field.
        """
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        request = await self._on(ObjectRef.of(manifest), "patch", query=query)
        return await self._json(request._replace(body=manifest, content=_APPLY))

    async def patch(self, ref: ObjectRef, body: Mapping[str, object]) -> dict[str, Any]:
        """Merge ``body`` into the object; a ``null`` removes, ``metadata.resourceVersion`` makes it conditional."""
        request = await self._on(ref, "patch", query={"fieldManager": FIELD_MANAGER})
        return await self._json(request._replace(body=body, content=_MERGE))

    async def get_scale(self, ref: ObjectRef) -> dict[str, Any]:
        """Return the ``Scale`` of whatever has that subresource.

        :raises NotFoundError: when there is no such object, or its kind cannot be scaled.
        """
        return await self._json(await self._on(ref, "get", subresource="scale"))

    async def scale(self, ref: ObjectRef, replicas: int) -> dict[str, Any]:
        """Set the number of replicas through the scale subresource, and return its ``Scale``."""
        request = await self._on(ref, "patch", subresource="scale", query={"fieldManager": FIELD_MANAGER})
        return await self._json(request._replace(body={"spec": {"replicas": replicas}}, content=_MERGE))

    async def delete(self, ref: ObjectRef, uid: str | None = None) -> bool:
        """Delete the object and, in the background, what it owns. Return whether there was one.

        :param uid: delete only this very object, not a namesake created since.
        :raises ConflictError: when the object has another uid.
        """
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        body = {**options, "preconditions": {"uid": uid}} if uid else options
        try:
            await self._json((await self._on(ref, "delete"))._replace(body=body))
        except NotFoundError:
            return False
        return True

    async def evict(self, pod: ObjectRef, uid: str) -> None:
        """Ask this very pod to go, as far as its disruption budgets let it; returns before it is gone.

        :raises BusyError: when a disruption budget keeps it for now.
        :raises NotFoundError: when it is gone.
        """
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        }
        await self._json((await self._on(pod, "create", subresource="eviction"))._replace(body=body))

    async def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str = "",
        label_selector: str | None = None,
        field_selector: str | None = None,
        seconds: int = 300,
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield ``(ADDED|MODIFIED|DELETED, object)``, first for everything there is, then for every change.

        Ends after ``seconds``, as the cluster closes watches anyway; begin again then.

        :raises UnavailableError: when the stream breaks or has become too old; begin again.
        """
        query = {"watch": "1", "timeoutSeconds": str(seconds), **_selectors(label_selector, field_selector)}
        request = await self._of_kind("watch", api_version, kind, namespace, query)
        async with aclosing(await self._send(request._replace(timeout=seconds + TIMEOUT))) as response:
            async for line in self._lines(response):
                event = decode(line)
                if not isinstance(event, dict):
                    raise UnavailableError(
                        f"Cluster {self.name} broke off within a line of {request}", way_out="begin again"
                    )
                if event["type"] == "ERROR":
                    raise self._refused(request, event["object"].get("code", 500), event["object"])
                yield event["type"], event["object"]

    async def logs(self, namespace: str, pod: str, container: str, tail_lines: int = 20, previous: bool = False) -> str:
        """Return the last lines a container wrote; ``previous``: those of its last run that ended."""
        query = {"container": container, "tailLines": str(tail_lines), "previous": str(previous).lower()}
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/log"
        return await self._text(Request("get", "pods/log", namespace, pod, path, query))

    async def proxy(
        self, namespace: str, service: str, port: int | str, path: str = "/", timeout: float = 10.0, limit: int = 2**20
    ) -> tuple[int, str]:
        """Ask a service through the API server, which needs no route to pods; return its status and body.

        :param path: path and query, as the service sees them.
        :param timeout: seconds between two parts of the answer.
        :param limit: bytes of the body that are read, or a few more.
        :raises NotFoundError: when there is no such service.
        :raises UnavailableError: when no pod of it is ready, or it does not answer.
        """
        base = f"/api/v1/namespaces/{quote(namespace)}/services/{quote(service)}:{port}/proxy"
        request = Request("get", "services/proxy", namespace, service, f"{base}/{path.lstrip('/')}", timeout=timeout)
        async with aclosing(await self._send(request, check=False)) as response:
            body = await self._read(response, limit)
            if response.is_error and _is_status(status := decode(body)):
                raise self._refused(request, response.status_code, status)
            return response.status_code, body

    async def open(
        self, pod: str, namespace: str, what: str, query: str, headers: Mapping[str, str], timeout: float = TIMEOUT
    ) -> httpx.Response:
        """Begin to read what a pod streams (``log``, ``exec``, ``portforward``); the caller closes it.

        :param query: as the API documents it for that subresource.
        :param timeout: seconds between two parts of the stream.
        """
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/{what}?{query}"
        return await self._send(Request("get", f"pods/{what}", namespace, pod, path, timeout=timeout, headers=headers))

    async def _on(
        self, ref: ObjectRef, verb: str, *, subresource: str = "", query: Mapping[str, str] | None = None
    ) -> Request:
        request = await self._of_kind(verb, ref.api_version, ref.kind, ref.namespace, query or {})
        if not ref.namespace and await self.namespaced(ref.api_version, ref.kind):
            raise InputError(f"{ref} has no namespace", way_out="name the namespace it belongs to")
        suffix = f"/{subresource}" if subresource else ""
        return request._replace(
            name=ref.name, path=f"{request.path}/{quote(ref.name)}{suffix}", resource=request.resource + suffix
        )

    async def _of_kind(
        self, verb: str, api_version: str, kind: str, namespace: str, query: Mapping[str, str]
    ) -> Request:
        resource = await self._resource(api_version, kind)
        root = _root(api_version)
        within = namespace if resource.namespaced else ""
        path = f"{root}/namespaces/{quote(within)}/{resource.plural}" if within else f"{root}/{resource.plural}"
        return Request(verb, resource.plural, within, "", path, query)

    async def _resource(self, api_version: str, kind: str) -> _Resource:
        """Ask the cluster how it serves a kind, once: no plural is ever guessed."""
        if (api_version, kind) not in self._resources:
            async with self._asking[api_version]:  # of many at once, one asks
                if (api_version, kind) not in self._resources:
                    await self._ask(api_version)
        if (api_version, kind) in self._resources:
            return self._resources[api_version, kind]
        raise NotFoundError(
            f"Cluster {self.name} serves no kind {kind} of {api_version}",
            way_out="correct kind and apiVersion, or install the custom resource first",
        )

    async def _ask(self, api_version: str) -> None:
        try:
            served = await self._json(Request("get", "the API group", "", api_version, _root(api_version)))
        except NotFoundError:
            served = {"resources": []}
        for entry in served["resources"]:
            if "/" not in entry["name"]:
                self._resources[api_version, entry["kind"]] = _Resource(entry["name"], entry["namespaced"])


def _root(api_version: str) -> str:
    """Return the path below which a version of an API group is served."""
    return quote(f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}")


def _selectors(labels: str | None, fields: str | None) -> dict[str, str]:
    return {name: value for name, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}


def _is_status(answer: object) -> bool:
    """Whether the API server itself speaks, rather than the service behind its proxy."""
    return isinstance(answer, dict) and answer.get("kind") == "Status" and answer.get("apiVersion") == "v1"
