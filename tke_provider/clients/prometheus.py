"""Prometheus, and whatever speaks its HTTP API, such as Tencent Managed Service for Prometheus.

Its documentation: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import tenacity

from tke_provider.clients.tls import trusted
from tke_provider.exceptions import (
    CredentialError,
    ForbiddenError,
    InputError,
    NotFoundError,
    ThrottledError,
    TkeError,
    UnavailableError,
)

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Self

    from tke_provider.domain.metrics import Query

log = logging.getLogger(__name__)

PATIENCE = 15.0
"""Seconds in which a query is repeated that got no answer."""

_SHOWN_CHARACTERS = 300
_SHOWN_SERIES = 2
_REFUSALS: dict[int, tuple[type[TkeError], str]] = {
    400: (InputError, "correct the query"),
    401: (CredentialError, "correct the login or the token of its connection"),
    403: (ForbiddenError, "let its connection read metrics"),
    404: (NotFoundError, "correct the host of its connection: the path /api/v1/query is below it"),
    422: (InputError, "correct the query"),
    429: (ThrottledError, "ask less often; a retry helps"),
}


class Prometheus:
    """One server; use it as ``async with``.

    :param url: where ``/api/v1`` is below, without a login.
    :param login: user and password, as for Tencent's managed service: its AppID and the instance's token.
    :param token: sent as bearer token instead.
    :param timeout: seconds to wait for an answer.
    :param patience: seconds in which a query is repeated that got none; default: ``PATIENCE``.
    """

    def __init__(
        self,
        url: str,
        login: tuple[str, str] | None = None,
        token: str = "",
        *,
        timeout: float = 30.0,
        patience: float | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._login = login
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = timeout
        self._patience = PATIENCE if patience is None else patience
        self._http: httpx.AsyncClient

    async def __aenter__(self) -> Self:
        import httpx

        self._http = httpx.AsyncClient(timeout=self._timeout, auth=self._login, headers=self._headers, verify=trusted())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def value(self, query: Query, at: float) -> float | None:
        """Return the one value of a query at an instant, or None when there is none.

        :param query: PromQL that makes one number.
        :param at: seconds since the epoch.
        :raises InputError: when it is no PromQL, or makes more than one number; in Prometheus' own words.
        :raises AccessError: when the login is refused.
        :raises UnavailableError: when there is no answer in time.
        """
        data = await self._ask("query", {"query": _promql(query), "time": f"{at:.3f}"})
        if data["resultType"] == "scalar":
            return float(data["result"][1])
        if data["resultType"] != "vector":
            raise InputError(
                f"Query {query!r} makes a {data['resultType']}",
                way_out="make it a number, as with last_over_time(…) or sum(rate(…))",
            )
        series = _only([each["metric"] for each in data["result"]], query)
        return float(data["result"][0]["value"][1]) if series else None

    async def values(self, query: Query, start: float, end: float, step: float) -> list[tuple[float, float]]:
        """Return instant and value of a query every so many seconds, oldest first; instants without one are left out.

        Errors as :meth:`value`.
        """
        window = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        data = await self._ask("query_range", {"query": _promql(query), **window})
        if not _only([each["metric"] for each in data["result"]], query):
            return []
        return [(float(at), float(value)) for at, value in data["result"][0]["values"]]

    async def _ask(self, what: str, form: dict[str, str]) -> dict[str, Any]:
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(UnavailableError),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=5.0),
            stop=tenacity.stop_after_delay(self._patience),
            reraise=True,
        )
        return await retrying(self._once, what, form)

    async def _once(self, what: str, form: dict[str, str]) -> dict[str, Any]:
        import httpx

        try:
            answer = await self._http.post(f"{self.url}/api/v1/{what}", data=form)
        except httpx.TransportError as error:
            raise UnavailableError(
                f"Prometheus at {self.url} does not answer",
                cause=str(error) or type(error).__name__,
                way_out="check that it can be reached from here; a retry helps",
            ) from error
        try:
            body = answer.json()
            if answer.is_success and body["status"] == "success":
                for warning in body.get("warnings") or ():
                    log.warning("Prometheus warns of %s: %s", form["query"], warning)
                return dict(body["data"])
        except (ValueError, KeyError, TypeError):
            body = None
        raise self._refused(answer, body, form["query"])

    def _refused(self, answer: httpx.Response, body: object, query: str) -> TkeError:
        """Return the error for an answer without a result."""
        if isinstance(body, dict) and body.get("error"):
            cause = f"{body.get('errorType', answer.status_code)}: {body['error']}"
        else:
            cause = f"HTTP status {answer.status_code}: {answer.text[:_SHOWN_CHARACTERS]}"
        if answer.is_server_error:
            return UnavailableError(
                f"Prometheus at {self.url} fails at {query!r}", cause=cause, way_out="a retry helps; see its log"
            )
        # What has no status of theirs, such as a redirect to a login page, is no answer of Prometheus.
        kind, way_out = _REFUSALS.get(
            answer.status_code, (InputError, "correct the host of its connection: this is not Prometheus' API")
        )
        return kind(f"Prometheus at {self.url} refuses {query!r}", cause=cause, way_out=way_out)


def _promql(query: Query) -> str:
    if isinstance(query, str):
        return query
    raise InputError(f"Prometheus cannot be asked {dict(query)!r}", way_out="write the query as text, in PromQL")


def _only(series: list[dict[str, str]], query: Query) -> bool:
    """Return whether there is a series.

    :raises InputError: when there are several: which of them counts would be left to chance.
    """
    if len(series) > 1:
        shown = ", ".join("{" + ", ".join(f'{k}="{v}"' for k, v in s.items()) + "}" for s in series[:_SHOWN_SERIES])
        raise InputError(
            f"Query {query!r} makes {len(series)} numbers", cause=f"for {shown}", way_out="make it one, as with sum(…)"
        )
    return bool(series)
