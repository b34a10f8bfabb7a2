"""From a build's arguments, and the connections they name, to the builder that does it."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from airflow.providers.common.compat.sdk import BaseHook

from tke_provider.domain.build_failures import no_dockerfile, no_folder
from tke_provider.domain.buildkit import BuildJob, Secrets, check_pod_spec, git_context
from tke_provider.domain.buildkit_daemons import PodDaemon
from tke_provider.exceptions import InputError
from tke_provider.hooks.buildkit import BuildKitHook
from tke_provider.hooks.engine import EngineHook
from tke_provider.hooks.git import GitHook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from typing import Any

    from tke_provider.clients.git import GitLogin
    from tke_provider.domain.buildkit_daemons import Daemon
    from tke_provider.domain.images import Build
    from tke_provider.hooks.kubernetes import TkeKubernetesHook
    from tke_provider.hooks.registry import RegistryHook

    Say = Callable[[str], None]

BUILDERS = ("engine", "buildkit")
DAEMONS = ("shared", "rootless", "privileged")


class Builder(Protocol):
    """Whatever turns a commit into an image in a registry."""

    def check(self, build: Build) -> None:
        """Refuse what it cannot build, before anything is asked.

        :raises InputError: with what it cannot do.
        """

    async def build(self, build: Build, say: Say) -> str:
        """Build, push under the build's tag with the build's labels, and return the digest.

        :param say: gets each line that the builder prints.
        """


class EngineBuilder(BaseHook):
    """Builds in a Docker engine what the worker has fetched.

    :param registry: logs in to where the image goes.
    :param docker_url: of the engine; see :class:`EngineHook`.
    :param git_conn_id: logs in to where the commit is; None where it is public.
    :param context_path: a folder on the worker instead of a commit.
    """

    def __init__(
        self,
        registry: RegistryHook,
        *,
        docker_url: str | None = None,
        git_conn_id: str | None = None,
        context_path: str | None = None,
    ) -> None:
        super().__init__()
        self.registry = registry
        self.docker_url = docker_url
        self.git_conn_id = git_conn_id
        self.context_path = context_path

    def check(self, build: Build) -> None:
        """Refuse what only BuildKit has."""
        if build.attestations or "," in build.platform:
            asked = "attestations" if build.attestations else f"platform {build.platform}"
            raise InputError(f"The engine cannot build with {asked}", way_out="use builder='buildkit', or leave it out")

    async def build(self, build: Build, say: Say) -> str:
        """Fetch the commit, send it to the engine, and have it build and push."""
        async with self._source(build, say) as (folder, created):
            context = _within(folder, build)
            engine = await EngineHook(self.registry, build.repository.partition("/")[0], self.docker_url).engine()
            return await engine.build(context, build, say, created)

    @contextlib.asynccontextmanager
    async def _source(self, build: Build, say: Say) -> AsyncIterator[tuple[Path, int]]:
        """Yield the folder and the time of what is in it."""
        if self.context_path:
            yield Path(self.context_path), int(time.time())
            return
        from tke_provider.clients.git import checkout

        login = await _git_login(self.git_conn_id)
        say(f"Fetching {build.commit} of {build.source}")
        async with checkout(build.source, build.commit, login) as folder:
            yield folder, int(folder.stat().st_mtime)


@dataclasses.dataclass(frozen=True, slots=True)
class InCluster:
    """Where the pod runs that asks BuildKit, and what it may know.

    :param operation: id of the operation that builds.
    :param image: with ``buildctl`` and a shell.
    :param secrets: id of a secret mount to the connection whose password it is.
    :param cache_tag: tag in the image's repository under which the cache is kept; empty for none.
    :param timeout: seconds that are waited for the build.
    :param daemon: in the pod, ``rootless`` or ``privileged``, or the ``shared`` one that ``buildkit_conn_id`` names.
    :param configuration: ``buildkitd.toml`` of a daemon in the pod.
    :param resources: of a daemon in the pod.
    :param pod_spec: more of the pod's specification.
    """

    operation: str
    namespace: str
    image: str
    timeout: float
    secrets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cache_tag: str = ""
    daemon: str = "shared"
    configuration: str = ""
    resources: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pod_spec: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class BuildKitBuilder(BaseHook):
    """Has a pod ask BuildKit's daemon, beside it or elsewhere, which fetches the commit itself.

    :param registry: logs in to where the image goes.
    :param cluster: where the pod runs.
    :param place: how it runs there.
    :param buildkit_conn_id: of a shared daemon.
    :param git_conn_id: logs in to where the commit is; None where it is public.
    """

    def __init__(
        self,
        registry: RegistryHook,
        cluster: TkeKubernetesHook,
        place: InCluster,
        *,
        buildkit_conn_id: str = BuildKitHook.default_conn_name,
        git_conn_id: str | None = None,
    ) -> None:
        super().__init__()
        self.registry = registry
        self.cluster = cluster
        self.place = place
        self.buildkit = BuildKitHook(buildkit_conn_id)
        self.git_conn_id = git_conn_id

    def check(self, build: Build) -> None:
        """Refuse a source that BuildKit cannot fetch, and a pod without an image."""
        if not build.source:
            raise InputError("BuildKit builds commits, not folders on the worker", way_out="pass git_url and commit")
        git_context(build)
        check_pod_spec(self.place.pod_spec)
        if self.place.daemon == "shared" and (self.place.configuration or self.place.resources):
            raise InputError(
                "A shared daemon has its configuration and resources already",
                way_out="leave out buildkit_config and buildkit_resources, or choose another buildkit_daemon",
            )
        if not self.place.image:
            raise InputError(
                "There is no image for the pod that asks BuildKit",
                way_out="pass buildkit_image, such as moby/buildkit in a registry that the cluster pulls from",
            )

    async def build(self, build: Build, say: Say) -> str:
        """Ask the git host for the commit's time, then a pod for the image."""
        from tke_provider.clients import buildkit
        from tke_provider.clients.git import commit_time

        git = await _git_login(self.git_conn_id)
        committed = await commit_time(build.source, build.commit, git)
        job = BuildJob(
            build=build,
            operation=self.place.operation,
            committed=committed,
            namespace=self.place.namespace,
            image=self.place.image,
            daemon=await self._daemon(),
            secrets=await self._secrets(build, git),
            timeout=self.place.timeout,
            cache_tag=self.place.cache_tag,
            pod_spec=self.place.pod_spec,
        )
        async with await self.cluster.cluster() as cluster:
            say(f"Job {job.namespace}/{job.name} asks {job.daemon.address} for the image")
            return await buildkit.build(cluster, job, say)

    async def _daemon(self) -> Daemon:
        if self.place.daemon == "shared":
            return await self.buildkit.daemon()
        return PodDaemon(self.place.daemon == "rootless", self.place.configuration, self.place.resources)

    async def _secrets(self, build: Build, git: GitLogin | None) -> Secrets:
        login = await self.registry.login(build.repository.partition("/")[0])
        return Secrets(
            mounts={name: await self.buildkit.secret(conn_id) for name, conn_id in self.place.secrets.items()},
            registries={login.host: (login.username, login.password)} if login else {},
            git=(git.username, git.password) if git and git.password else None,
        )


async def _git_login(git_conn_id: str | None) -> GitLogin | None:
    return await GitHook(git_conn_id).login() if git_conn_id else None


def _within(root: Path, build: Build) -> Path:
    """Return the folder to build, having made sure that neither it nor the Dockerfile lies outside of the source."""
    folder = (root / build.subdirectory).resolve()
    if not folder.is_relative_to(root.resolve()) or not folder.is_dir():
        raise no_folder(build)
    file = (folder / build.dockerfile).resolve()
    if not file.is_relative_to(folder) or not file.is_file():
        raise no_dockerfile(build)
    return folder
