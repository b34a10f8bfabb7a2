"""Waits until a running service answers as it should."""

from __future__ import annotations

from typing import Any

from tke_provider.domain.checks import compare
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.verdicts import Verdict, passed, pending
from tke_provider.exceptions import NotFoundError, UnavailableError
from tke_provider.triggers.base import TkeBaseTrigger

_ANSWER_SECONDS = 10.0
_ANSWER_LIMIT = 2**20


class SmokeTestTrigger(TkeBaseTrigger):
    """Asks a service until it has answered as expected several times in a row.

    Its parameters are those of :class:`~tke_provider.operators.checks.TkeSmokeTestOperator`.
    """

    arguments = (
        "cluster_id",
        "contains",
        "expect_json",
        "expected_status",
        "in_a_row",
        "namespace",
        "path",
        "port",
        "region",
        "service",
        "url",
    )

    def __init__(
        self,
        *,
        service: str,
        namespace: str,
        port: int | str,
        path: str,
        url: str | None,
        expected_status: int,
        contains: str | None,
        expect_json: dict[str, Any] | None,
        in_a_row: int,
        cluster_id: str | None,
        region: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.namespace = namespace
        self.port = port
        self.path = path
        self.url = url
        self.expected_status = expected_status
        self.contains = contains
        self.expect_json = expect_json
        self.in_a_row = in_a_row
        self.cluster_id = cluster_id
        self.region = region
        self._good = 0

    async def look(self) -> Verdict:
        """Ask once. Whatever is not the expected answer starts the count again."""
        before, self._good = self._good, 0
        where = self.url or f"{self.namespace}/{self.service}:{self.port}{self.path}"
        answer = await (self._ask_url(self.url) if self.url else self._ask_service())
        if not answer:
            return pending(f"{where} has no endpoints")
        status, body = answer
        if wrong := compare(status, body, self.expected_status, self.contains, self.expect_json):
            return pending(f"{where} answered {wrong}")
        self._good = before + 1
        if self._good >= self.in_a_row:
            return passed(f"{where} answered {status} as expected, {self._good} times in a row")
        return pending(f"{where} answered {status} as expected, {self._good} of {self.in_a_row} times in a row")

    async def _ask_service(self) -> tuple[int, str] | None:
        """Return status and body, or None when the service is there and nothing stands behind it."""
        from tke_provider.hooks.kubernetes import TkeKubernetesHook

        hook = TkeKubernetesHook(self.tke_conn_id, self.cluster_id, self.region)
        async with await hook.cluster() as cluster:
            try:
                return await cluster.proxy(self.namespace, self.service, self.port, self.path, _ANSWER_SECONDS)
            except NotFoundError:
                # The proxy says the same of a new service, whose endpoints a controller is about to add.
                name = self.service.rpartition(":")[2]  # "https:web" has the proxy speak TLS to web
                if await cluster.get(ObjectRef("v1", "Service", self.namespace, name)):
                    return None
                raise

    @staticmethod
    async def _ask_url(url: str) -> tuple[int, str]:
        import httpx

        try:
            async with httpx.AsyncClient(timeout=_ANSWER_SECONDS) as http, http.stream("GET", url) as answer:
                body = b""
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > _ANSWER_LIMIT:
                        break
                return answer.status_code, body.decode(errors="replace")
        except httpx.TransportError as error:
            raise UnavailableError(
                f"{url} does not answer", cause=str(error) or type(error).__name__, way_out="look at the service's logs"
            ) from error
