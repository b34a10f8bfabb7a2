from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from local.load import Load


class Cluster:
    """Stands in for the API server: answers at once, or not at all."""

    def __init__(self, fails: bool = False) -> None:
        self.asked: list[tuple[str, float]] = []
        self.enough = threading.Event()
        self.fails = fails

    def connect_get_namespaced_pod_proxy(self, pod: str, *_: object, **__: object) -> SimpleNamespace:
        self.asked.append((pod, time.monotonic()))
        if len(self.asked) >= 20:
            self.enough.set()
        if self.fails:
            raise OSError("nobody answers")
        return SimpleNamespace(status=200)


@pytest.mark.parametrize("fails", [False, True])
def test_no_more_is_asked_than_the_rate_allows(fails):
    cluster = Cluster(fails)
    with Load(cluster, "elastic", 8080, rate=50) as load:
        load.pods = ["one", "two"]
        assert cluster.enough.wait(60)
    times = [at for _, at in cluster.asked[:20]]
    # Twenty requests at fifty a second, less what each thread makes up for once when the machine has held it up.
    assert times[-1] - times[0] >= 0.15
    assert {pod for pod, _ in cluster.asked} == {"one:8080", "two:8080"}
    assert (load.answered == 0) is fails


def test_nobody_is_asked_as_long_as_there_is_nobody():
    cluster = Cluster()
    with Load(cluster, "elastic", 8080, rate=200):
        assert not cluster.enough.wait(0.1)
    assert cluster.asked == []
