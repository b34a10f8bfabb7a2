"""The figures of real releases, on the live cluster and a real repository."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import datetime, timedelta, timezone

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.live_cluster import deploy, image, refused, released, run_of
from tke_provider.operators.dora import TkeDoraOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]


@pytest.fixture
def repository(tmp_path) -> tuple[str, str]:
    """A repository, and its one commit, which was made an hour ago."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    made = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "a"], check=True, env={"GIT_COMMITTER_DATE": made})
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return str(tmp_path), head.stdout.strip()


def figures(place, **more) -> TkeDoraOperator:
    return TkeDoraOperator(task_id="figures", services=["web"], namespace=place.namespace, **more)


async def counted(operator: TkeDoraOperator) -> dict:
    return await asyncio.to_thread(operator.execute, run_of())


async def test_releases_are_counted_and_their_commits_asked_for(place, repository):
    url, commit = repository
    await released(deploy(place, images={"web": image("a", commit)}), run_of("run-1"))
    await released(deploy(place, images={"web": image("b")}), run_of("run-2"))
    await refused(deploy(place, "c", place.workload(kubelet=False), timeout=1), run_of("run-3"))
    seen = await counted(figures(place, git_url=url))
    assert (seen["releases"], seen["failures"]) == (3, 1)
    assert seen["lead_time"] == pytest.approx(3600, abs=120)
    assert seen["lead_times_unknown"] == 1
    assert 0 < seen["time_to_restore"] < 60
    assert seen["incomplete"] == []


async def test_without_a_repository_lead_times_are_unknown(place):
    await released(deploy(place))
    seen = await counted(figures(place))
    assert (seen["lead_time"], seen["lead_times_unknown"]) == (None, 1)


async def test_a_window_before_the_releases_has_none(place):
    await released(deploy(place))
    window = {"start": "2026-01-01T00:00:00+08:00", "end": "2026-01-02T00:00:00Z"}
    assert (await counted(figures(place, **window)))["releases"] == 0


@pytest.mark.parametrize(("end", "said"), [("yesterday", "'yesterday' is no instant"), ("2026-01-01", "no time zone")])
async def test_a_window_that_makes_no_sense_is_refused(place, end, said):
    with pytest.raises(AirflowFailException, match=said):
        await counted(figures(place, end=end))
