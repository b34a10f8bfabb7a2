"""Watching for pushes where nothing can call in: the git host is asked, not told.

A watcher's position lies in Airflow's asset state, and moves only after the event that tells of it is stored: a
triggerer that dies in between looks again from there, so that no head is lost. Asset state and this order of things
came with Airflow 3.3.
"""

from __future__ import annotations

import abc
import asyncio
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from tke_provider.domain.pushes import same_place
from tke_provider.exceptions import InputError, TkeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable, Sequence

    from airflow.triggers.shared_stream import SharedStreamProducer

_AT_ONCE = asyncio.Semaphore(8)
"""How many hosts are asked in the same moment: a host that hangs delays its own repository only."""


def asset_name(git_url: str, branch: str) -> str:
    """Return the name of the asset that stands for a branch; scheme and login of the address do not matter."""
    return f"git:{same_place(git_url)}@{branch}"


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

    def shared_stream_key(self) -> Hashable:
        """Return a key, which is what lets the position follow the stored event."""
        return (type(self).__name__, self.asset)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return what looks and keeps the position.

        :raises InputError: before Airflow 3.3, which has no place for the position.
        """
        try:
            from airflow.triggers.shared_stream import SharedStreamProducer as _  # noqa: F401
        except ImportError as error:
            raise InputError(
                f"{cls.__name__} needs Airflow 3.3", cause=str(error), way_out="upgrade, or let the host call a webhook"
            ) from error
        from tke_provider.triggers.push_streams import PushStream

        return PushStream(cls(**kwargs))

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Tell of every news that has something to tell."""
        async for told in shared_stream:
            if told is not None:
                yield TriggerEvent(told)

    async def look(self, position: str | None) -> Sequence[tuple[str, dict[str, str] | None]]:
        """Ask once; a host that does not answer is asked again later, and its reason is logged."""
        try:
            async with _AT_ONCE:
                return await self.news(position)
        except TkeError as error:
            self.log.warning("Cannot look at %s, trying again in %g seconds: %s", self.asset, self.every, error)
            return ()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Say what is missing, where Airflow does not share streams."""
        self.create_shared_stream_producer({})
        yield TriggerEvent(None)  # pragma: no cover  # never reached; makes this a generator


class GitHeadTrigger(PushTrigger):
    """Watches the head of a branch. The first look only remembers it; each later head that differs is an event.

    The event's payload is ``{"git_url", "branch", "commit", "before"}``. Of several commits pushed together, and of
    several pushes between two looks, the last is told.

    :param git_url: as :class:`~tke_provider.operators.images.TkeBuildImageOperator` takes it.
    :param branch: its name, without ``refs/heads/``.
    :param git_conn_id: connection with the login for the git host; none for public repositories.
    """

    def __init__(
        self, *, git_url: str, branch: str = "main", git_conn_id: str | None = None, every: float = 10.0
    ) -> None:
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

    async def news(self, position: str | None) -> Sequence[tuple[str, dict[str, str] | None]]:
        """Return the branch's head, where it is another one than before."""
        from tke_provider.clients.git import head
        from tke_provider.hooks.git import GitHook

        login = await GitHook(self.git_conn_id).login() if self.git_conn_id else None
        commit = await head(self.git_url, self.branch, login)
        if commit is None or commit == position:
            return ()
        told = {"git_url": self.git_url, "branch": self.branch, "commit": commit, "before": position or ""}
        return [(commit, told if position else None)]
