"""What Prometheus is told of the requests, in its text format; small enough to need no library."""

from __future__ import annotations

import threading
from collections import Counter

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Counts requests by status, how long they take, and the bytes that are sent.

    Every series carries the version, so that two versions which serve side by side can be told apart.
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self._lock = threading.Lock()
        # The series of an error that has not happened yet is zero, not missing.
        self._requests = Counter({200: 0, 500: 0})
        self._buckets = Counter(dict.fromkeys(BUCKETS, 0))
        self._seconds = 0.0
        self._sent = 0

    def count(self, status: int, seconds: float, sent: int) -> None:
        """Count one answered request."""
        with self._lock:
            self._requests[status] += 1
            self._buckets.update(bound for bound in BUCKETS if seconds <= bound)
            self._seconds += seconds
            self._sent += sent

    def text(self) -> str:
        """Return everything counted so far."""
        version = f'version="{self._version}"'
        with self._lock:
            total = sum(self._requests.values())
            lines = ["# TYPE http_requests_total counter"]
            for status, count in sorted(self._requests.items()):
                lines.append(f'http_requests_total{{{version},status="{status}"}} {count}')
            lines.append("# TYPE http_request_duration_seconds histogram")
            for bound, count in [*sorted(self._buckets.items()), ("+Inf", total)]:
                lines.append(f'http_request_duration_seconds_bucket{{{version},le="{bound}"}} {count}')
            lines.append(f"http_request_duration_seconds_sum{{{version}}} {self._seconds:.6f}")
            lines.append(f"http_request_duration_seconds_count{{{version}}} {total}")
            lines.append("# TYPE http_response_bytes_total counter")
            lines.append(f"http_response_bytes_total{{{version}}} {self._sent}")
        return "\n".join([*lines, ""])
