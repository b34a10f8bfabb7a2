"""Waits until a running service answers as it should."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tke_provider.domain.smoke_tests import SmokeTest
from tke_provider.domain.verdicts import Verdict, passed, pending
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.triggers.base import TkeBaseTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tke_provider.domain.smoke_tests import Answer


class SmokeTestTrigger(TkeBaseTrigger):
    """Asks a service until it has answered as expected several times in a row.

    :param test: a :class:`~tke_provider.domain.smoke_tests.SmokeTest`, as a dict.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    """

    arguments: ClassVar[tuple[str, ...]] = ("test", "cluster_id", "region")

    def __init__(
        self, *, test: Mapping[str, Any], cluster_id: str | None = None, region: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.test = {**test, "command": list(test["command"])}  # as JSON has it
        self.cluster_id = cluster_id
        self.region = region
        self._test = SmokeTest(**{**test, "command": tuple(test["command"])})
        self._good = self._asked = 0

    async def look(self) -> Verdict:
        """Ask once. Whatever is not the expected answer starts the count again."""
        before, self._good = self._good, 0
        where, wanted = self._test.where, self._test.in_a_row
        answer = await self._ask()
        self._asked += 1
        if answer is None:
            return pending(f"{where} has no endpoints")
        if answer.wrong:
            return pending(f"{where} {answer.wrong}")
        self._good = before + 1
        if self._good >= wanted:
            return passed(f"{where} {answer.seen} as expected, {self._good} times in a row")
        return pending(f"{where} {answer.seen} as expected, {self._good} of {wanted} times in a row")

    async def _ask(self) -> Answer | None:
        from tke_provider.clients.probes import ask_service, ask_url

        if self._test.url:
            return await ask_url(self._test)
        async with await TkeKubernetesHook(self.tke_conn_id, self.cluster_id, self.region).cluster() as cluster:
            return await ask_service(cluster, self._test, self._asked)
