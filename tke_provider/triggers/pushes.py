"""Watching for pushes where nothing can call in: the git host or the registry is asked, not told.

A watcher's position lies in Airflow's asset state, and moves only after the event that tells of it is stored: a
triggerer that dies in between looks again from there, so that no head is lost. Asset state and this order of things
came with Airflow 3.3.
"""

from __future__ import annotations

import abc
import asyncio
import fnmatch
import weakref
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from tke_provider.clients.git import check_source, host_of
from tke_provider.domain.pushes import same_place
from tke_provider.exceptions import InputError, TkeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable, Sequence

    from airflow.triggers.shared_stream import SharedStreamProducer

    from tke_provider.domain.repositories import TaggedImage

LONGEST_LOOK = 30.0
"""Seconds after which a look at a host that hangs is given up."""


class Watchers(dict[str, "list[PushTrigger]"]):
    """Those in this process that share a stream, by the asset's name."""


_watchers: weakref.WeakValueDictionary[Hashable, Watchers] = weakref.WeakValueDictionary()
"""Each for as long as its stream, or somebody who listens to it, is there."""


def asset_name(git_url: str, branch: str) -> str:
    """Return the name of the asset that stands for a branch; scheme and login of the address do not matter."""
    return f"git:{same_place(git_url)}@{branch}"


def image_asset_name(repository: str, tag: str, registry: str) -> str:
    """Return the name of the asset that stands for the tags of a repository.

    :param registry: its id, or the id of the connection that names it.
    """
    return f"tcr:{registry}/{repository}:{tag}"


class PushTrigger(BaseEventTrigger, abc.ABC):
    """Asks at an interval what is new, and tells of each news once. Never ends by itself.

    :param asset: name of the asset that it watches, whose state keeps the position.
    :param every: seconds between two looks.
    """

    def __init__(self, *, asset: str, every: float = 10.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.asset = asset
        self.every = every

    @abc.abstractmethod
    async def news(self, position: str | None) -> Sequence[tuple[str, dict[str, str] | None]]:
        """Return what came after a position, in its order: the next position, and what to tell, if anything."""

    @abc.abstractmethod
    def shared_stream_key(self) -> Hashable:
        """Return what is the same for all that are looked at in one loop: those of one host and login."""

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return what looks and keeps the positions.

        :raises InputError: before Airflow 3.3, which has no place for a position.
        """
        try:
            from airflow.triggers.shared_stream import SharedStreamProducer as _  # noqa: F401
        except ImportError as error:
            raise InputError(
                f"{cls.__name__} needs Airflow 3.3", cause=str(error), way_out="upgrade, or let the host call a webhook"
            ) from error
        from tke_provider.triggers.push_streams import PushStream

        return PushStream(_watchers.setdefault(cls(**kwargs).shared_stream_key(), Watchers()))

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Join those that are looked at, and tell of every news of this one."""
        watchers = _watchers.setdefault(self.shared_stream_key(), Watchers())
        watchers.setdefault(self.asset, []).append(self)
        try:
            async for asset, told in shared_stream:
                if asset == self.asset:
                    yield TriggerEvent(told)
        finally:
            watchers[self.asset].remove(self)
            if not watchers[self.asset]:
                del watchers[self.asset]

    async def look(self, position: str | None) -> Sequence[tuple[str, dict[str, str] | None]]:
        """Ask once; a host that does not answer is asked again later, and its reason is logged."""
        try:
            return await asyncio.wait_for(self.news(position), LONGEST_LOOK)
        except asyncio.TimeoutError:
            why = f"no answer within {LONGEST_LOOK:g} seconds"
        except TkeError as error:
            why = str(error)
        self.log.warning("Cannot look at %s, trying again in %g seconds: %s", self.asset, self.every, why)
        return ()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Say what is missing, where Airflow does not share streams."""
        self.create_shared_stream_producer(self.serialize()[1])
        yield TriggerEvent(None)  # pragma: no cover  # never reached; makes this a generator


class GitHeadTrigger(PushTrigger):
    """Watches the head of a branch. The first look only remembers it; each later head that differs is an event.

    The event's payload is ``{"git_url", "branch", "commit", "before", "number"}``, where ``number`` counts the events:
    with the commit it names an event, also where one is told again because a triggerer died while it was stored. Of
    several commits pushed together, and of several pushes between two looks, the last is told.

    :param git_url: as :class:`~tke_provider.operators.images.TkeBuildImageOperator` takes it.
    :param branch: its name, without ``refs/heads/``.
    :param git_conn_id: connection with the login for the git host; none for public repositories.
    :raises InputError: when the URL carries a login, which would be stored with the watcher, or cannot be fetched from.
    """

    def __init__(
        self, *, git_url: str, branch: str = "main", git_conn_id: str | None = None, every: float = 10.0
    ) -> None:
        check_source(git_url)
        super().__init__(asset=asset_name(git_url, branch), every=every)
        self.git_url = git_url
        self.branch = branch
        self.git_conn_id = git_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return ids and addresses; the login is looked up anew each time."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"git_url": self.git_url, "branch": self.branch, "git_conn_id": self.git_conn_id, "every": self.every},
        )

    def shared_stream_key(self) -> Hashable:
        """Return the host and the login there."""
        return (type(self).__name__, host_of(self.git_url), self.git_conn_id)

    async def news(self, position: str | None) -> Sequence[tuple[str, dict[str, str] | None]]:
        """Return the branch's head, where it is another one than before."""
        from tke_provider.clients.git import head
        from tke_provider.hooks.git import GitHook

        login = await GitHook(self.git_conn_id).login() if self.git_conn_id else None
        commit = await head(self.git_url, self.branch, login)
        number, _, before = (position or "0 ").partition(" ")
        if commit is None or commit == before:
            return ()
        if not position:
            return [(f"0 {commit}", None)]
        told = {"git_url": self.git_url, "branch": self.branch, "commit": commit, "before": before}
        count = str(int(number) + 1)
        return [(f"{count} {commit}", {**told, "number": count})]


class TcrImageTrigger(PushTrigger):
    """Watches a repository of a registry. The first look only remembers; each tag that is pushed later is an event.

    The event's payload is ``{"image", "repository", "tag", "digest", "pushed"}``: ``image`` is the reference by digest,
    ``pushed`` the registry's time. A tag that is pushed again is told again when it stands for another image.

    :param repository: ``namespace/name``.
    :param tag: pattern of the tags that are told, such as ``v*``.
    :param registry_id: ``tcr-xxxxxxxx``; default: the connection's.
    """

    def __init__(
        self,
        *,
        repository: str,
        tag: str = "*",
        registry_id: str | None = None,
        region: str | None = None,
        tke_conn_id: str = "tke_default",
        every: float = 30.0,
    ) -> None:
        super().__init__(asset=image_asset_name(repository, tag, registry_id or tke_conn_id), every=every)
        self.repository = repository
        self.tag = tag
        self.registry_id = registry_id
        self.region = region
        self.tke_conn_id = tke_conn_id
        self._host = ""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return ids; the login is looked up anew each time."""
        names = ("repository", "tag", "registry_id", "region", "tke_conn_id", "every")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    def shared_stream_key(self) -> Hashable:
        """Return the registry."""
        return (type(self).__name__, self.tke_conn_id, self.region, self.registry_id)

    async def news(self, position: str | None) -> Sequence[tuple[str, dict[str, str] | None]]:
        """Return what was pushed since."""
        from tke_provider.domain.tag_positions import TagPosition, first, news

        listed = [each for each in await self._listed() if fnmatch.fnmatchcase(each.tag, self.tag)]
        if position is None:
            return [(str(first(listed)), None)]
        return [(str(behind), self._told(image)) for behind, image in news(listed, TagPosition.parse(position))]

    async def _listed(self) -> Sequence[TaggedImage]:
        from tke_provider.hooks.tcr import TcrHook

        hook = TcrHook(self.tke_conn_id, self.region)
        registry_id = self.registry_id or await hook.default_registry()
        async with await hook.tcr() as tcr:
            if not self._host:
                self._host = (await tcr.instance(registry_id)).domain
            return await tcr.images(registry_id, self.repository)

    def _told(self, image: TaggedImage) -> dict[str, str]:
        repository = f"{self._host}/{self.repository}"
        return {
            "image": f"{repository}@{image.digest}",
            "repository": repository,
            "tag": image.tag,
            "digest": image.digest,
            "pushed": image.pushed.isoformat() if image.pushed else "",
        }
