from __future__ import annotations

import pytest

from tke_provider.clients.metrics import ask
from tke_provider.clients.prometheus import Prometheus
from tke_provider.domain.metrics import Gate
from tke_provider.domain.verdicts import State
from tke_provider.exceptions import InputError

OF = 'service="{service}",version="{version}"'
ERROR_RATE = f'sum(rate(requests_total{{{OF},status=~"5.."}}[5m])) / sum(rate(requests_total{{{OF}}}[5m]))'
REQUESTS = f"sum(increase(requests_total{{{OF}}}[5m]))"
COMPARED = Gate("error rate", ERROR_RATE, at_most_times_baseline=1.5, slack=0.02, samples=REQUESTS, min_samples=50)


async def verdict(prometheus, gate: Gate, version: str, before: str = "", **more: object):
    async with Prometheus(prometheus.url, prometheus.login) as source:
        words = {"service": "shop", "version": version}
        return await ask(source, gate, new=words, old={"version": before} if before else None, **more)


@pytest.mark.stack
@pytest.mark.parametrize(
    ("version", "before", "state"),
    [
        ("good", "clean", State.PASSED),
        ("clean", "good", State.PASSED),
        ("good", "bad", State.PASSED),
        ("bad", "good", State.FAILED),
        ("quiet", "good", State.INCONCLUSIVE),
        ("good", "quiet", State.INCONCLUSIVE),
        ("unknown", "good", State.INCONCLUSIVE),
        ("good", "unknown", State.INCONCLUSIVE),
    ],
)
async def test_two_versions_are_compared_in_the_same_window(prometheus, version, before, state):
    assert (await verdict(prometheus, COMPARED, version, before)).state is state


@pytest.mark.stack
async def test_no_requests_are_no_good_error_rate(prometheus):
    fixed = Gate("error rate", f"({ERROR_RATE}) or vector(0) / 0", at_most=0.05)
    said = await verdict(prometheus, fixed, "unknown")
    assert said.state is State.INCONCLUSIVE
    assert said.reason == "error rate is nan, which is no number"


@pytest.mark.stack
async def test_another_instant_may_have_another_answer(prometheus):
    fixed = Gate("error rate", ERROR_RATE, at_most=0.05)
    assert (await verdict(prometheus, fixed, "bad")).state is State.FAILED
    assert (await verdict(prometheus, fixed, "bad", at=86400.0)).state is State.INCONCLUSIVE


@pytest.mark.stack
async def test_a_version_is_not_compared_with_itself(prometheus):
    with pytest.raises(InputError, match="compares the new version with itself"):
        await verdict(prometheus, COMPARED, "good", "good")


@pytest.mark.stack
async def test_another_query_may_be_the_baseline(prometheus):
    gate = Gate("queue", "queue_length", at_most_times_baseline=1, baseline="vector(100)")
    assert (await verdict(prometheus, gate, "good")).state is State.FAILED
