"""What goes wrong on request, and the rate limit that holds always.

Kinds of trouble:

=================  ===================================================================================
``throttle``       ``RequestLimitExceeded`` instead of an answer
``error``          the given ``code`` and ``message`` instead of an answer
``server_error``   an HTTP ``status`` (503) that is not the API's envelope instead of an answer
``expired_token``  ``AuthFailure.TokenFailure`` instead of an answer
``lost_answer``    the action is performed, then the connection is closed without a byte
``slow``           the action is performed, the answer comes ``seconds`` later
``fails``          the action is accepted, and what it begins fails with ``message``: a cluster, an endpoint
``sold_out``       scaling out buys only ``available`` machines; ``action`` is that which asks for them
=================  ===================================================================================
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

from tke_provider.emulator.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from tke_provider.emulator.models import Trouble

INSTEAD = ("throttle", "error", "server_error", "expired_token")
AFTERWARDS = ("lost_answer", "slow")
KINDS = (*INSTEAD, *AFTERWARDS, "fails", "sold_out")
RATE = 20
"""Calls per second of one action, region and caller: the documented limit of most TKE actions [D 457/103216]."""


class ServerError(Exception):
    """The answer is an HTTP error, not an envelope.

    :param status: The HTTP status.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


def take(troubles: list[Trouble], kinds: tuple[str, ...], action: str) -> Trouble | None:
    """The trouble that meets this call, if any. It is used up when its ``count`` is.

    :param troubles: Those in store, the first that fits is taken.
    :param kinds: The kinds that can happen here.
    :param action: The action that is called.
    """
    for trouble in list(troubles):
        if trouble.kind not in kinds or trouble.action not in {"*", action}:
            continue
        if trouble.skip > 0:
            trouble.skip -= 1
            continue
        if trouble.count is not None:
            trouble.count -= 1
            if trouble.count <= 0:
                troubles.remove(trouble)
        return trouble
    return None


def strike(trouble: Trouble) -> None:
    """Raise what a trouble of an ``INSTEAD`` kind answers.

    :raises CloudError: The error envelope.
    :raises ServerError: The HTTP error.
    """
    if trouble.kind == "server_error":
        raise ServerError(trouble.status)
    if trouble.kind == "throttle":
        raise throttled(RATE)
    if trouble.kind == "expired_token":
        raise CloudError("AuthFailure.TokenFailure", trouble.message or "The token has expired.")
    raise CloudError(trouble.code or "InternalError", trouble.message or "An internal error has occurred.")


def throttled(limit: int) -> CloudError:
    """Too many calls. Message: as seen in public reports [O]."""
    return CloudError(
        "RequestLimitExceeded",
        f"Your current request times equals to `{limit + 1}` in a second, which exceeds the frequency limit "
        f"`{limit}` for a second. Please reduce the frequency of calls.",
    )


class RateLimit:
    """Counts the calls of the last second.

    :param limit: Calls per second and key; 0 for no limit.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._calls: dict[Hashable, deque[float]] = defaultdict(deque)

    def check(self, key: Hashable, now: float) -> None:
        """Count a call.

        :raises CloudError: It is one too many.
        """
        if not self.limit:
            return
        calls = self._calls[key]
        while calls and now - calls[0] >= 1:
            calls.popleft()
        if len(calls) >= self.limit:
            raise throttled(self.limit)
        calls.append(now)
