"""Releasing a service: manifests applied with the tested image, watched until they serve, undone if they do not."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING, Any, Literal

from tke_provider.domain.images import Image, ImageDict
from tke_provider.domain.manifests import Manifest, ObjectRef, images_of, is_rolled_out, parse, pin, stamp, workloads
from tke_provider.domain.releases import Record, Stage, begin, lease_names
from tke_provider.domain.rollouts import MAX_CRASHES, Release, crashing, pods_of_newest, revision_of
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import ConflictError, InputError, ManifestError, NotFoundError, RolloutError, TkeError
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.links.console import ClusterLink, WorkloadLink
from tke_provider.operators.base import TkeWaitingOperator, check_choice, operation_of
from tke_provider.triggers.rollouts import RolloutTrigger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.kubernetes import Cluster

_LAST_LINES = 10


class TkeDeployServiceOperator(TkeWaitingOperator):
    """Releases a service by digest, waits until it is up, and puts back what was there before if it does not come up.

    All manifests are checked by the cluster before the first one is applied. What was live before is written down
    first, in the Secret ``tke-release.<service>``, so that a crash at any point leaves a way back. Deploying the same
    again changes nothing. One change of a workload goes on at a time: a Lease ``tke-<workload>`` is held meanwhile.

    :param images: the image of each container, as the build task returned it, by container name (or
        ``workload/container`` where two workloads use one name).
    :param manifests: YAML of any number of documents, the path of a ``.yaml`` or ``.yml`` file that Airflow finds
        and renders as a template, or a list of objects. Give this, or the next three.
    :param git_url: repository that holds the manifests.
    :param commit: full commit SHA to read them at.
    :param manifests_path: file, or folder of ``.yaml`` and ``.yml`` files, within the repository. Not a template.
    :param git_conn_id: connection with the login for the git host; none for public repositories.
    :param namespace: namespace to deploy to; manifests that name another one are refused.
    :param service: how the release is named; default: the one container that an image is given for.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    :param create_namespace: make the namespace where it does not exist.
    :param on_failure: ``rollback`` (default) puts back what was there before and waits until it serves again; ``keep``
        leaves everything for a person to look at, and the next release keeps the way back.
    :param rollback_timeout: seconds to wait for the old version to serve again.
    :param max_crashes: how often a new container may end before the release counts as failed.
    :param allow_tags: let a container keep a tag of a repository whose image is given for another container.
    :return: a :class:`~tke_provider.domain.rollouts.Release`.
    :raises InputError: when manifests, images or namespace cannot be used. Nothing was changed.
    :raises BusyError: when another operation is changing a workload; a retry helps.
    :raises RolloutError: when the new version does not come up; names the pod, the cause, and what serves now.
    :raises ConflictError: when somebody else deployed meanwhile. Their work is left alone.
    """

    template_fields = (
        "cluster_id",
        "commit",
        "git_conn_id",
        "git_url",
        "images",
        "manifests",
        "namespace",
        "region",
        "service",
        "tke_conn_id",
    )
    template_ext = (".yaml", ".yml")
    operator_extra_links = (ClusterLink(), WorkloadLink())
    _workloads: Sequence[ObjectRef] = ()
    template_fields_renderers = {"images": "json", "manifests": "yaml"}  # noqa: RUF012  # as Airflow declares it

    def __init__(
        self,
        *,
        images: Mapping[str, ImageDict | str],
        namespace: str,
        manifests: str | Sequence[Manifest] | None = None,
        git_url: str | None = None,
        commit: str | None = None,
        manifests_path: str | None = None,
        git_conn_id: str | None = None,
        service: str | None = None,
        cluster_id: str | None = None,
        region: str | None = None,
        create_namespace: bool = False,
        on_failure: Literal["rollback", "keep"] = "rollback",
        rollback_timeout: float = 300.0,
        max_crashes: int = MAX_CRASHES,
        allow_tags: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.images = images
        self.namespace = namespace
        self.manifests = manifests
        self.git_url = git_url
        self.commit = commit
        self.manifests_path = manifests_path
        self.git_conn_id = git_conn_id
        self.service = service
        self.cluster_id = cluster_id
        self.region = region
        self.create_namespace = create_namespace
        self.on_failure = on_failure
        self.rollback_timeout = rollback_timeout
        check_choice("on_failure", on_failure, ("rollback", "keep"))
        self.max_crashes = max_crashes
        self.allow_tags = allow_tags

    # --- change -----------------------------------------------------------------------------------------------------

    async def perform(self, context: Context) -> Any:
        """Release and wait; a task that is killed meanwhile puts back what was there before."""
        try:
            return await super().perform(context)
        except asyncio.CancelledError:
            from tke_provider.clients import releases

            self.log.warning("Killed: putting back what was there before")
            async with await self._cluster() as cluster:
                await releases.settle(cluster, self.namespace, self._service(), operation_of(context).id, "failed")
            raise

    async def change(self, context: Context) -> None:
        """Check everything, write down what is there, and apply."""
        operation, service = operation_of(context).id, self._service()
        manifests, images = await self._read(), self._images()
        manifests = sorted(pin(manifests, images, allow_tags=self.allow_tags), key=is_rolled_out)
        stamp(manifests, operation, _commit(images) or self.commit or "")
        self._workloads = [ObjectRef.of(each) for each in workloads(manifests)]
        names = lease_names(service, self._workloads)
        async with await self._cluster() as cluster:
            await self._ensure_namespace(cluster)
            async with _held(cluster, self.namespace, names, operation):
                await self._apply(cluster, manifests, images, operation)

    async def _apply(
        self, cluster: Cluster, manifests: list[Manifest], images: Mapping[str, Image], operation: str
    ) -> None:
        from tke_provider.clients import releases

        service = self._service()
        previous = await releases.read(cluster, self.namespace, service)
        if previous and previous.op == operation and previous.stage is Stage.UNDOING:
            raise await self._undone(cluster, previous, previous.reason)
        await releases.place(cluster, manifests, self.namespace)
        ready, live = await releases.prepare(cluster, manifests)
        pinned = {name: str(image) for name, image in images.items()}
        record = begin(previous, operation, _commit(images) or self.commit or "", pinned, live)
        await releases.write(cluster, self.namespace, service, record)
        try:
            for manifest in ready:
                await cluster.apply(manifest)
                self.log.info("Applied %s", ObjectRef.of(manifest))
        except TkeError as error:
            if error.retryable:
                raise
            raise await self._undone(cluster, record, str(error)) from error

    async def _ensure_namespace(self, cluster: Cluster) -> None:
        ref = ObjectRef("v1", "Namespace", "", self.namespace)
        if await cluster.get(ref):
            return
        if not self.create_namespace:
            raise NotFoundError(
                f"Cluster {cluster.name} has no namespace {self.namespace}",
                way_out="create it, correct its name, or pass create_namespace=True",
            )
        with contextlib.suppress(ConflictError):  # somebody else was quicker
            await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})

    # --- wait -------------------------------------------------------------------------------------------------------

    def trigger(self, context: Context, deadline: float) -> RolloutTrigger:
        """Return what waits until the workloads are up, holding their leases."""
        return self._watch(self._workloads, deadline, self._service(), operation_of(context).id)

    def _watch(
        self, refs: Sequence[ObjectRef], deadline: float, service: str = "", operation: str = ""
    ) -> RolloutTrigger:
        return RolloutTrigger(
            tke_conn_id=self.tke_conn_id,
            deadline=deadline,
            poll_interval=self.poll_interval,
            namespace=self.namespace,
            workloads=[f"{ref.kind}/{ref.name}" for ref in refs],
            cluster_id=self.cluster_id,
            region=self.region,
            service=service,
            operation=operation,
            max_crashes=self.max_crashes,
        )

    # --- conclude ---------------------------------------------------------------------------------------------------

    async def conclude(self, context: Context, verdict: Verdict) -> Release:
        """Settle the record either way, and give the leases back."""
        from tke_provider.clients import leases, releases

        operation, service = operation_of(context).id, self._service()
        async with await self._cluster() as cluster:
            record = await releases.read(cluster, self.namespace, service)
            if record is None or record.op != operation:
                raise ConflictError(
                    f"{service} in namespace {self.namespace} was released meanwhile by {record and record.op}",
                    way_out="see what that one did; this task left it alone",
                )
            try:
                return await self._settled(cluster, record, verdict)
            finally:
                for name in lease_names(service, record.workloads()):
                    await leases.release(cluster, self.namespace, name, operation)

    async def _settled(self, cluster: Cluster, record: Record, verdict: Verdict) -> Release:
        from tke_provider.clients import releases

        if verdict.state is State.PASSED and not (strays := await _strays(cluster, record)):
            await releases.write(
                cluster, self.namespace, self._service(), dataclasses.replace(record, stage=Stage.LIVE)
            )
            return await self._release(cluster, record)
        if verdict.state is State.PASSED:
            verdict = Verdict(State.FAILED, ", ".join(strays))
        late = f"not up within {self.timeout:g} seconds: " if verdict.state is State.EXPIRED else ""
        words = await _last_words(cluster, record.workloads())
        for line in words:
            self.log.error("  %s", line)
        said = f"; its last lines: {' | '.join(words)}" if words else ""
        reason = f"{late}{verdict.reason}{said}"
        taken = [ref for ref in record.workloads() if not record.undoes(await cluster.get(ref))]
        if taken:
            await releases.undo(cluster, self.namespace, self._service(), record, reason)
            raise ConflictError(
                f"Somebody else changed {', '.join(map(str, taken))} while it was released",
                cause=verdict.reason,
                way_out="agree with them who releases; what they changed was left alone, all else is as before",
            )
        if self.on_failure == "rollback":
            raise await self._undone(cluster, record, reason)
        raise RolloutError(
            f"{self._service()} in namespace {self.namespace} did not come up, and was left as it is",
            cause=reason,
            way_out="look at it, then deploy again: what was there before is still written down",
        )

    async def _undone(self, cluster: Cluster, record: Record, reason: str) -> RolloutError:
        """Put back what was there before, wait until it serves again, and return the error that says so."""
        from tke_provider.clients import releases

        for done in await releases.undo(cluster, self.namespace, self._service(), record, reason):
            self.log.warning("Undone: %s", done)
        problem, before = f"{self._service()} in namespace {self.namespace} did not come up", record.workloads_before()
        if not before:
            return RolloutError(
                f"{problem}; nothing served before, so what it created was deleted",
                cause=reason,
                way_out="correct the service and deploy again",
            )
        verdict = await self._watch(before, time.time() + self.rollback_timeout).wait()
        served = ", ".join(f"{name} {image}" for name, image in images_of(filter(None, record.before.values())).items())
        if verdict.state is State.PASSED:
            return RolloutError(
                f"{problem} and was rolled back: {served} serves again",
                cause=reason,
                way_out="correct the service and deploy again",
            )
        return RolloutError(
            f"{problem} and was rolled back to {served}, which does not serve either ({verdict.reason})",
            cause=reason,
            way_out="look at it now",
        )

    async def _release(self, cluster: Cluster, record: Record) -> Release:
        live = [each for ref in record.workloads() if (each := await cluster.get(ref))]
        return Release(
            service=self._service(),
            namespace=self.namespace,
            cluster=self.cluster_id or "",
            images=images_of(live),
            commit=record.commit,
            revision=", ".join(f"{each['metadata']['name']}={revision_of(each)}" for each in live),
            previous=images_of(filter(None, record.before.values())),
            op=record.op,
        )

    # --- inputs -----------------------------------------------------------------------------------------------------

    async def _cluster(self) -> Cluster:
        """Return the cluster, having written down what the console links and the result name."""
        self.service = self._service()
        hook = TkeKubernetesHook(self.tke_conn_id, self.cluster_id, self.region)
        connection = await hook.connection()
        self.cluster_id = self.cluster_id or connection.cluster_id
        self.region = self.region or connection.region
        self.service = self._service()
        return await hook.cluster()

    def _service(self) -> str:
        named = {name.partition("/")[0] for name in self.images}
        if not self.service and len(named) != 1:
            raise InputError(
                f"Task {self.task_id} gives images for {', '.join(sorted(named)) or 'no container'}, and no service",
                way_out="pass service, which names the release",
            )
        return self.service or named.pop()

    def _images(self) -> dict[str, Image]:
        return {name: Image.parse(image) for name, image in self.images.items()}

    async def _read(self) -> list[Manifest]:
        """Return the manifests as their author wrote them."""
        given = (self.manifests is not None, self.git_url is not None)
        if given.count(True) != 1 or (self.git_url and not (self.commit and self.manifests_path)):
            raise InputError(
                f"Task {self.task_id} does not say where its manifests are",
                way_out="pass manifests, or else git_url, commit and manifests_path",
            )
        if self.manifests is not None:
            return parse(self.manifests)
        from tke_provider.clients.git import checkout
        from tke_provider.hooks.git import GitHook

        login = await GitHook(self.git_conn_id).login() if self.git_conn_id else None
        async with checkout(str(self.git_url), str(self.commit), login) as folder:
            return _parse_files(folder, str(self.manifests_path))


def _parse_files(root: Path, path: str) -> list[Manifest]:
    """Read one file, or every YAML file of a folder, in the order of their names."""
    within, root = (root / path).resolve(), root.resolve()
    files = [within]
    if within.is_dir() and within.is_relative_to(root):
        files = sorted(each.resolve() for each in within.rglob("*") if each.suffix in {".yaml", ".yml"})
    # A link in the commit must not lead to the worker's own files.
    if not files or not all(each.is_file() and each.is_relative_to(root) for each in files):
        raise InputError(f"The commit has no manifests at {path!r}", way_out="correct manifests_path")
    try:
        return parse("\n---\n".join(each.read_text(encoding="utf-8") for each in files))
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"The manifests at {path!r} are not UTF-8", cause=str(error), way_out="save them as UTF-8"
        ) from error


def _commit(images: Mapping[str, Image]) -> str:
    return ",".join(sorted({image.commit for image in images.values() if image.commit}))


@contextlib.asynccontextmanager
async def _held(cluster: Cluster, namespace: str, names: list[str], operation: str) -> AsyncIterator[None]:
    """Hold the leases, also beyond the block; an error inside gives them back."""
    from tke_provider.clients import leases

    taken: list[str] = []
    try:
        for name in names:
            await leases.acquire(cluster, namespace, name, operation)
            taken.append(name)
        yield
    except BaseException:
        for name in taken:
            await leases.release(cluster, namespace, name, operation)
        raise


async def _strays(cluster: Cluster, record: Record) -> list[str]:
    """Return what runs instead of what was released."""
    live = [await cluster.get(ref) for ref in record.workloads()]
    return [stray for each in live if each for stray in record.strays(each)]


async def _last_words(cluster: Cluster, refs: list[ObjectRef]) -> list[str]:
    """Return the last lines of the first container that crashed; none where nothing crashed or nothing was said."""
    for ref in refs:
        workload = await cluster.get(ref)
        if workload is None:
            continue
        pods = await cluster.list("v1", "Pod", ref.namespace)
        replica_sets = await cluster.list("apps/v1", "ReplicaSet", ref.namespace) if ref.kind == "Deployment" else []
        if crashed := crashing(pods_of_newest(workload, pods, replica_sets)):
            pod, container, previous = crashed
            with contextlib.suppress(TkeError):  # the pod may be gone, and its log with it
                said = await cluster.logs(ref.namespace, pod, container, _LAST_LINES, previous)
                return [line.strip() for line in said.splitlines() if line.strip()]
    return []
