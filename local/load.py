"""A bounded load: so many requests a second and no more, spread over some pods, through the cluster's API server."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_THREADS = 4
_PATIENCE_SECONDS = 10


class Load:
    """Asks while it is entered. Who is asked may change meanwhile.

    :param core: a ``kubernetes.client.CoreV1Api``.
    :param rate: requests a second, of all threads together.
    """

    def __init__(self, core: Any, namespace: str, port: int, rate: float) -> None:
        self.pods: list[str] = []
        self.answered = 0
        self._core, self._namespace, self._port = core, namespace, port
        self._pause = _THREADS / rate
        self._ended = threading.Event()
        self._counting = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(_THREADS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        due = time.monotonic() + self._pause * number / _THREADS
        turn = number
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            # A slow answer is not made up for: the rate is a bound.
            due = max(due, time.monotonic() - self._pause) + self._pause
            turn += 1
            pods = self.pods
            if pods and self._ask(pods[turn % len(pods)]):
                with self._counting:
                    self.answered += 1

    def _ask(self, pod: str) -> bool:
        # A pod may go while it is asked.
        with contextlib.suppress(Exception):
            answer = self._core.connect_get_namespaced_pod_proxy(
                f"{pod}:{self._port}", self._namespace, _preload_content=False, _request_timeout=_PATIENCE_SECONDS
            )
            return bool(answer.status == 200)  # noqa: PLR2004 - OK
        return False
