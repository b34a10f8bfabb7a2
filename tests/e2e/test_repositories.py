"""What the scanner says decides, and a clean-up leaves what is needed."""

from __future__ import annotations

import uuid

import httpx
import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture
def tested(live) -> str:
    """The image of one service, as the pipeline tested it."""
    image = live.result("shop.build")
    return f"{image['repository']}@{image['digest']}"


def tell(airflow, digest: str, **found: int) -> None:
    body = {"digest": digest, "found": found}
    httpx.post(f"{airflow.emulator_url}/_emulator/scan", json=body, timeout=60).raise_for_status()


def test_an_image_is_promoted_only_with_a_clean_scan(airflow, run_dag, tested):
    conf = {"image": tested, "to_repository": f"production/scanned-{uuid.uuid4().hex[:8]}"}
    tell(airflow, tested.partition("@")[2], High=1)
    refused = run_dag("scanned_promotion", conf)
    assert refused.states["scan_gate"] == "failed"
    assert "1 high where 0 are allowed" in refused.reason("scan_gate")
    assert refused.states["promote"] == "upstream_failed"

    tell(airflow, tested.partition("@")[2], Medium=4)
    promoted = run_dag("scanned_promotion", conf)
    assert promoted.state == "success"
    assert promoted.result("promote")["digest"] == tested.partition("@")[2]


def test_a_clean_up_says_what_it_would_delete_and_keeps_what_runs(run_dag, tested):
    run = run_dag("image_clean_up", {"keep_days": 0})
    assert run.state == "success"
    shown = run.result("test_shop")
    assert shown["dry_run"] is True
    assert tested.partition("@")[2] in shown["kept"]
