"""Images: from a commit to a digest, and from there to production."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tke_provider.domain.images import Build, Image, ImageDict, check_repository, release_tag
from tke_provider.exceptions import InputError
from tke_provider.hooks.registry import RegistryHook
from tke_provider.hooks.tcr import TcrHook
from tke_provider.links.console import ImageLink
from tke_provider.operators.base import TkeBaseOperator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from airflow.providers.common.compat.sdk import Context

_SOUNDS_SECRET = re.compile(r"token|secret|passw|credential|private|api_?key", re.IGNORECASE)


class Builder(Protocol):
    """Whatever turns a folder into an image in a registry."""

    async def build(self, context: Path, build: Build, say: Callable[[str], None]) -> str:
        """Build, push under the build's tag with the build's labels, and return the digest.

        :param say: gets each line that the builder prints.
        """


class TkeImageOperator(TkeBaseOperator):
    """An operator that needs an image registry.

    A repository named without its host is in the registry of the login. Nobody logs in where neither argument is given
    and the host is not that of the ``tke`` connection's registry.

    :param registry_id: TCR registry (``tcr-xxxxxxxx``) to log in to, by a token that ends after an hour; default: that
        of the ``tke`` connection.
    :param docker_conn_id: connection of type ``docker`` with the login of any other registry.
    """

    template_fields: Collection[str] = ("docker_conn_id", "registry_id", "tke_conn_id")
    operator_extra_links = (ImageLink(),)

    def __init__(self, *, registry_id: str | None = None, docker_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.registry_id = registry_id
        self.docker_conn_id = docker_conn_id
        self.repository = ""
        self.region = ""

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
    :param context_path: a folder on the worker instead of a repository. It is built every time, for no commit vouches
        for what is in it, and its tag starts with ``local``.
    :param subdirectory: folder within the repository that the build sees; for a service of several in one.
    :param dockerfile: path within ``subdirectory``.
    :param build_args: values of ``ARG`` lines. They stay readable in the image, so nothing secret.
    :param target: stage to build; default: the last.
    :param platform: such as ``linux/arm64``; default: the builder's own.
    :param git_conn_id: connection with the git host, login and password (or token) for a repository that is not
        public; ``docs/images.md`` tells more.
    :param docker_url: the engine that builds; default: ``DOCKER_HOST``, else ``/var/run/docker.sock``.
    :param builder: what builds; ``engine`` is the Docker engine.

    :return: ``{"repository", "digest", "commit"}``.
    :raises NotFoundError: when repository, commit or Dockerfile does not exist. Nothing was built.
    :raises BuildError: when the commit does not build; the message has the failing step.
    :raises AccessError: when git host or registry refuses the login.
    """

    template_fields = tuple(
        sorted(
            (
                *TkeImageOperator.template_fields,
                "build_args",
                "commit",
                "context_path",
                "docker_url",
                "dockerfile",
                "git_conn_id",
                "git_url",
                "platform",
                "repository",
                "subdirectory",
                "target",
            )
        )
    )

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
        docker_url: str | None = None,
        builder: str = "engine",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
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
        self.docker_url = docker_url
        self.builder = builder

    async def perform(self, context: Context) -> ImageDict:  # noqa: ARG002  # the run says nothing that matters here
        """Look for the image in the registry, else build and push it."""
        hook = self.registry_hook()
        build = self._build(await hook.repository(self.repository))
        digest = await self._find(hook, build) if build.source else None
        if digest:
            self.log.info("%s:%s is there already: %s", build.repository, build.tag, digest)
        else:
            digest = await self._make(hook, build)
            self.log.info("Pushed %s:%s: %s", build.repository, build.tag, digest)
        await self.locate(hook, build.repository)
        return Image(build.repository, digest, build.commit).as_dict()

    async def _make(self, hook: RegistryHook, build: Build) -> str:
        async with self._source() as folder:
            context_folder = _within(folder, build.subdirectory, build.dockerfile)
            builder = await self._builder(hook, build)
            return await builder.build(context_folder, build, lambda line: self.log.info("%s", line))

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
            platform=self.platform or "",
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

    @contextlib.asynccontextmanager
    async def _source(self) -> AsyncIterator[Path]:
        if self.context_path:
            yield Path(self.context_path)
            return
        from tke_provider.clients.git import checkout
        from tke_provider.hooks.git import GitHook

        login = await GitHook(self.git_conn_id).login() if self.git_conn_id else None
        self.log.info("Fetching %s of %s", self.commit, self.git_url)
        async with checkout(str(self.git_url), str(self.commit), login) as folder:
            yield folder

    async def _builder(self, hook: RegistryHook, build: Build) -> Builder:
        if self.builder == "engine":
            from tke_provider.hooks.engine import EngineHook

            return await EngineHook(hook, build.repository.partition("/")[0], self.docker_url).engine()
        raise InputError(f"There is no builder {self.builder!r}", way_out="use engine")


class TcrPromoteImageOperator(TkeImageOperator):
    """Copies an image, digest and all, from registry to registry: what was tested is what goes to production.

    A repeated promotion changes nothing. Within one registry no content is moved.

    :param image: what the build task returned.
    :param to_repository: where to: ``host/namespace/name``, or ``namespace/name`` in the registry of the login there.
    :param tag: tag there; default: ``<commit>-<digest>``, both shortened, which no other image ever wants.
    :param to_registry_id: TCR registry to log in to there; default: the same login as for the image.
    :param to_docker_conn_id: connection of type ``docker`` with the login of any other registry there.

    :return: ``{"repository", "digest", "commit"}``, the digest unchanged.
    :raises NotFoundError: when the registry no longer has the image.
    :raises ConflictError: when the tag there stands for another image; it is not moved.
    :raises AccessError: when a registry refuses the login.
    """

    template_fields = tuple(
        sorted(
            (
                *TkeImageOperator.template_fields,
                "image",
                "tag",
                "to_docker_conn_id",
                "to_registry_id",
                "to_repository",
            )
        )
    )

    def __init__(
        self,
        *,
        image: ImageDict | str,
        to_repository: str,
        tag: str | None = None,
        to_registry_id: str | None = None,
        to_docker_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image = image
        self.to_repository = to_repository
        self.tag = tag
        self.to_registry_id = to_registry_id
        self.to_docker_conn_id = to_docker_conn_id

    async def perform(self, context: Context) -> ImageDict:  # noqa: ARG002  # the run says nothing that matters here
        """Copy what is missing there, and set the tag last."""
        image = Image.parse(self.image)
        there = self._hook_there()
        repository = await there.repository(self.to_repository)
        check_repository(repository)
        promoted = Image(repository, image.digest, image.commit)
        tag = self.tag or release_tag(image)
        async with (
            await self.registry_hook().registry(image.host) as source,
            await there.registry(promoted.host) as target,
        ):
            await source.promote(image, target, promoted.path, tag)
        self.log.info("%s is %s:%s", image, repository, tag)
        await self.locate(there, repository)
        return promoted.as_dict()

    def _hook_there(self) -> RegistryHook:
        if self.to_registry_id or self.to_docker_conn_id:
            return RegistryHook(self.tke_conn_id, self.to_registry_id, self.to_docker_conn_id)
        return self.registry_hook()


def _within(root: Path, subdirectory: str, dockerfile: str) -> Path:
    """Return the folder to build, having made sure that neither it nor the Dockerfile lies outside of the source."""
    folder = (root / subdirectory).resolve()
    if not folder.is_relative_to(root.resolve()) or not folder.is_dir():
        raise InputError(f"The source has no folder {subdirectory!r}", way_out="correct subdirectory or context_path")
    file = (folder / dockerfile).resolve()
    if not file.is_relative_to(folder) or not file.is_file():
        raise InputError(f"Folder {subdirectory!r} of the source has no {dockerfile!r}", way_out="correct dockerfile")
    return folder
