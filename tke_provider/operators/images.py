"""Images: from a commit to a digest, and from there to production."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tke_provider.domain.choices import check_choice
from tke_provider.domain.images import Build, Image, ImageDict
from tke_provider.exceptions import DeadlineError, InputError
from tke_provider.hooks.builders import BUILDERS, DAEMONS, BuildKitBuilder, EngineBuilder, InCluster
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.hooks.registry import RegistryHook
from tke_provider.hooks.tcr import TcrHook
from tke_provider.links.commits import CommitLink
from tke_provider.links.console import ImageLink
from tke_provider.operators.base import TkeBaseOperator, operation_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context

    from tke_provider.hooks.builders import Builder

_SOUNDS_SECRET = re.compile(r"token|secret|passw|credential|private|api_?key", re.IGNORECASE)


class TkeImageOperator(TkeBaseOperator):
    """An operator that needs an image registry.

    A repository named without its host is in the registry of the login. Nobody logs in where neither argument is given
    and the host is not that of the ``tke`` connection's registry.

    :param registry_id: TCR registry (``tcr-xxxxxxxx``) to log in to, by a token that ends after an hour; default: that
        of the ``tke`` connection.
    :param docker_conn_id: connection of type ``docker`` with the login of any other registry.
    """

    template_fields: Collection[str] = ("docker_conn_id", "registry_id", "tke_conn_id")
    operator_extra_links: Collection[BaseOperatorLink] = (ImageLink(),)

    def __init__(self, *, registry_id: str | None = None, docker_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.registry_id = registry_id
        self.docker_conn_id = docker_conn_id
        self.repository = ""
        self.region: str | None = None

    def registry_hook(self) -> RegistryHook:
        """Return what logs in to the registry."""
        return RegistryHook(self.tke_conn_id, self.registry_id, self.docker_conn_id)

    def texts(self, argument: str) -> dict[str, str]:
        """Return an argument that maps names to values, all of them as text.

        :raises InputError: when it is something else.
        """
        given: object = getattr(self, argument) or {}
        if not isinstance(given, Mapping):
            raise InputError(
                f"{argument} of task {self.task_id} is a {type(given).__name__}",
                way_out="pass a dict of names and values",
            )
        return {str(name): str(value) for name, value in given.items()}

    async def locate(self, hook: RegistryHook, repository: str) -> None:
        """Write down where the image is, for the console link."""
        if hook.logged_in_to:
            self.registry_id, self.repository = hook.logged_in_to, repository
            self.region = (await TcrHook(self.tke_conn_id).connection()).region


class TkeBuildImageOperator(TkeImageOperator):
    """Builds an image from a commit, pushes it, and returns its digest.

    The same commit with the same inputs is built once: the registry is asked for it first. Everything afterwards
    is to use the digest; the tag ``<commit>-<hash of the inputs>`` is how people find it.

    Killed while it builds, it stops the build; nothing was pushed then, or all of it.

    :param repository: where to push: ``host/namespace/name``, or ``namespace/name`` in the registry of the login.
    :param git_url: repository to fetch the commit from. Give this or ``context_path``.
    :param commit: full SHA of the commit.
    :param context_path: a folder on the worker instead of a repository, for the engine. It is built every time, for no
        commit vouches for what is in it, and its tag starts with ``local``.
    :param subdirectory: folder within the repository that the build sees; for a service of several in one.
    :param dockerfile: path within ``subdirectory``.
    :param build_args: values of ``ARG`` lines. They stay readable in the image, so nothing secret.
    :param target: stage to build; default: the last.
    :param platform: such as ``linux/arm64``; default: the builder's own. BuildKit takes several, separated by commas,
        and the digest is then that of their index.
    :param git_conn_id: connection with the git host, login and password (or token) for a repository that is not
        public; ``docs/images.md`` tells more.
    :param timeout: seconds until the build is stopped.
    :param builder: what builds: ``engine`` is the Docker engine; ``buildkit`` is a pod that asks BuildKit's daemon,
        for workers without an engine.
    :param docker_url: the engine that builds; default: ``DOCKER_HOST``, else ``/var/run/docker.sock``.

    The rest is BuildKit's:

    :param secrets: for ``RUN --mount=type=secret,id=…`` lines: the id, and the connection whose password it is. They
        are in no layer, no argument and no log, and not among the inputs that are hashed.
    :param attestations: ``{"provenance": "mode=max"}``, ``{"sbom": "generator=<scanner image>"}``, or both: what
        BuildKit is to say about the image, beside it in the registry. The digest is then that of both together, and
        another one each time, for a provenance says when it was made.
    :param cache_tag: tag in ``repository`` that the cache of every stage is kept under, between daemons; default: none.
    :param buildkit_daemon: ``shared``, which ``buildkit_conn_id`` names, or one in the pod: ``rootless``, or
        ``privileged``, which is root on the node. ``docs/images.md`` says what each asks of the cluster.
    :param buildkit_conn_id: connection with the shared daemon's host, port and certificates.
    :param buildkit_image: image with ``buildctl`` and a shell, such as ``moby/buildkit`` in your registry; for a daemon
        in the pod also with ``buildkitd``, and for a rootless one with ``rootlesskit``, as ``moby/buildkit:rootless``.
    :param buildkit_config: ``buildkitd.toml`` of a daemon in the pod, which tells of mirrors; nothing secret.
    :param buildkit_resources: requests and limits of a daemon in the pod; default: none.
    :param pod_spec: more of the pod's specification: ``nodeSelector``, ``tolerations``, ``imagePullSecrets``.
    :param cluster_id: cluster that the pod runs in, ``cls-xxxxxxxx``; default: the connection's.
    :param region: of the cluster; default: the connection's.
    :param namespace: where in the cluster. Who may read Secrets there may read those of a build as long as it runs.

    :return: ``{"repository", "digest", "commit"}``.
    :raises NotFoundError: when repository, commit or Dockerfile does not exist. Nothing was built.
    :raises BuildError: when the commit does not build; the message has the failing step.
    :raises AccessError: when git host or registry refuses the login.
    :raises DeadlineError: when the build took longer than ``timeout``.
    :raises UnavailableError: when engine, daemon, cluster or registry does not answer; a retry goes on where it was.
    """

    template_fields = tuple(
        sorted(
            (
                *TkeImageOperator.template_fields,
                "attestations",
                "build_args",
                "buildkit_config",
                "buildkit_conn_id",
                "buildkit_image",
                "buildkit_resources",
                "cache_tag",
                "cluster_id",
                "commit",
                "context_path",
                "docker_url",
                "dockerfile",
                "git_conn_id",
                "git_url",
                "namespace",
                "platform",
                "pod_spec",
                "region",
                "repository",
                "secrets",
                "subdirectory",
                "target",
            )
        )
    )
    operator_extra_links = (*TkeImageOperator.operator_extra_links, CommitLink())

    def __init__(
        self,
        *,
        repository: str,
        git_url: str | None = None,
        commit: str | None = None,
        context_path: str | None = None,
        subdirectory: str = ".",
        dockerfile: str = "Dockerfile",
        build_args: Mapping[str, str] | None = None,
        target: str | None = None,
        platform: str | None = None,
        git_conn_id: str | None = None,
        timeout: float = 3600.0,
        builder: str = "engine",
        docker_url: str | None = None,
        secrets: Mapping[str, str] | None = None,
        attestations: Mapping[str, str] | None = None,
        cache_tag: str | None = None,
        buildkit_daemon: str = "shared",
        buildkit_conn_id: str = "buildkit_default",
        buildkit_image: str | None = None,
        buildkit_config: str | None = None,
        buildkit_resources: Mapping[str, Any] | None = None,
        pod_spec: Mapping[str, Any] | None = None,
        cluster_id: str | None = None,
        region: str | None = None,
        namespace: str = "default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("builder", builder, BUILDERS)
        check_choice("buildkit_daemon", buildkit_daemon, DAEMONS)
        self.repository = repository
        self.git_url = git_url
        self.commit = commit
        self.context_path = context_path
        self.subdirectory = subdirectory
        self.dockerfile = dockerfile
        self.build_args = build_args
        self.target = target
        self.platform = platform
        self.git_conn_id = git_conn_id
        self.timeout = timeout
        self.builder = builder
        self.docker_url = docker_url
        self.secrets = secrets
        self.attestations = attestations
        self.cache_tag = cache_tag
        self.buildkit_daemon = buildkit_daemon
        self.buildkit_conn_id = buildkit_conn_id
        self.buildkit_image = buildkit_image
        self.buildkit_config = buildkit_config
        self.buildkit_resources = buildkit_resources
        self.pod_spec = pod_spec
        self.cluster_id = cluster_id
        self.region = region
        self.namespace = namespace

    async def perform(self, context: Context) -> ImageDict:
        """Look for the image in the registry, else build and push it."""
        hook = self.registry_hook()
        build = self._build(await hook.repository(self.repository))
        builder = self._builder(hook, operation_of(context).id)
        builder.check(build)
        digest = await self._find(hook, build) if build.source else None
        if digest:
            self.log.info("%s:%s is there already: %s", build.repository, build.tag, digest)
        else:
            digest = await self._make(builder, build)
            self.log.info("Pushed %s:%s: %s", build.repository, build.tag, digest)
        await self.locate(hook, build.repository)
        return Image(build.repository, digest, build.commit).as_dict()

    async def _make(self, builder: Builder, build: Build) -> str:
        try:
            return await asyncio.wait_for(
                builder.build(build, lambda line: self.log.info("%s", line)), float(self.timeout)
            )
        except asyncio.TimeoutError as error:
            raise DeadlineError(
                f"Building {build.repository} was stopped after {self.timeout:g} s",
                way_out="make it quicker, or raise timeout; the task's log says how far it came",
            ) from error

    def _build(self, repository: str) -> Build:
        if bool(self.git_url) == bool(self.context_path):
            raise InputError(
                f"Task {self.task_id} has "
                + ("both git_url and context_path" if self.git_url else "neither git_url nor context_path"),
                way_out="pass git_url and commit, or context_path",
            )
        if self.git_url:
            from tke_provider.clients.git import check_source

            check_source(self.git_url)
        build_args = self.texts("build_args")
        for name in filter(_SOUNDS_SECRET.search, build_args):
            self.log.warning("Build argument %s stays readable in the image: pass nothing secret in it", name)
        return Build(
            repository=repository,
            commit=self.commit or "",
            source=self.git_url or "",
            subdirectory=self.subdirectory,
            dockerfile=self.dockerfile,
            build_args=build_args,
            target=self.target or "",
            platform=(self.platform or "").replace(" ", ""),
            attestations=self.texts("attestations"),
        )

    @staticmethod
    async def _find(hook: RegistryHook, build: Build) -> str | None:
        """Return the digest of an earlier build of the same inputs; a tag alone proves nothing, its labels do."""
        async with await hook.registry(build.repository.partition("/")[0]) as registry:
            path = build.repository.partition("/")[2]
            digest = await registry.digest(path, build.tag)
            if digest and build.is_origin_of(await registry.labels(path, digest)):
                return digest
        return None

    def _builder(self, hook: RegistryHook, operation: str) -> Builder:
        secrets = self.texts("secrets")
        if self.builder == "engine":
            if secrets or self.cache_tag:
                raise InputError(
                    f"The engine cannot build with {'secrets' if secrets else 'cache_tag'}",
                    way_out="use builder='buildkit', or leave it out",
                )
            return EngineBuilder(
                hook, docker_url=self.docker_url, git_conn_id=self.git_conn_id, context_path=self.context_path
            )
        place = InCluster(
            operation=operation,
            namespace=self.namespace,
            image=self.buildkit_image or "",
            timeout=float(self.timeout),
            secrets=secrets,
            cache_tag=self.cache_tag or "",
            daemon=self.buildkit_daemon,
            configuration=self.buildkit_config or "",
            resources=self.buildkit_resources or {},
            pod_spec=self.pod_spec or {},
        )
        cluster = TkeKubernetesHook(self.tke_conn_id, self.cluster_id, self.region)
        return BuildKitBuilder(
            hook, cluster, place, buildkit_conn_id=self.buildkit_conn_id, git_conn_id=self.git_conn_id
        )
