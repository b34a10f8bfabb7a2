"""The scan gate on the stack's registry; what the scanner finds is told to the emulated cloud."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tke_provider.clients.registry import ImageRegistry
from tke_provider.domain.images import Image
from tke_provider.exceptions import InconclusiveError
from tke_provider.operators.scans import TcrScanGateOperator


def gate(image: Image, **more: Any) -> TcrScanGateOperator:
    given = {"timeout": 60, "poll_interval": 0.2, **more}
    return TcrScanGateOperator(task_id="gate", image=image.as_dict(), **given)


@pytest.fixture
def pushed(image, registry, tcr_cloud) -> Image:
    """An image in a namespace that TCR knows."""
    path = f"test/cloud-{uuid.uuid4().hex[:8]}"

    async def put() -> Image:
        async with ImageRegistry(registry.host, registry.login()) as there:
            await there.promote(image, there, path, "built")
        return Image(f"{registry.host}/{path}", image.digest)

    return asyncio.run(put())


@pytest.mark.stack
def test_an_image_without_findings_goes_on_and_one_with_them_does_not(tcr_cloud, pushed):
    tcr_cloud.tell("scan", digest=pushed.digest, found={"Medium": 3})
    check = gate(pushed).execute({})
    assert (check["verdict"], check["image"]) == ("passed", str(pushed))
    tcr_cloud.tell("scan", digest=pushed.digest, found={"High": 2})
    with pytest.raises(AirflowFailException, match="2 high where 0 are allowed"):
        gate(pushed).execute({})
    assert gate(pushed, limits={"high": "2"}).execute({})["verdict"] == "passed"


@pytest.mark.stack
def test_no_scan_is_never_a_pass(tcr_cloud, pushed):
    with pytest.raises(InconclusiveError, match="NOT_SCAN"):
        gate(pushed).execute({})
    tcr_cloud.tell("scan", digest=pushed.digest, status="SCAN_ERR", reason="ConnFailed")
    with pytest.raises(InconclusiveError, match="ConnFailed"):
        gate(pushed).execute({})
    unknown = Image(pushed.repository, f"sha256:{'0' * 64}")
    with pytest.raises(InconclusiveError, match="does not know"):
        gate(unknown).execute({})


@pytest.mark.stack
def test_a_scan_is_started_once_and_waited_for(tcr_cloud, pushed):
    import threading

    done: dict[str, Any] = {}
    tcr_cloud.tell("scan", digest=pushed.digest, status="SCAN_ERR")
    waiting = threading.Thread(target=lambda: done.update(gate(pushed, start_scan=True).execute({})))
    waiting.start()
    while waiting.is_alive() and not tcr_cloud.calls("CreateAssetImageRegistryScanTask"):
        waiting.join(0.1)
    # The call stands in the log before it has its effect; a look that follows has seen that.
    looks = len(tcr_cloud.calls("DescribeAssetImageRegistryList"))
    while waiting.is_alive() and len(tcr_cloud.calls("DescribeAssetImageRegistryList")) == looks:
        waiting.join(0.1)
    tcr_cloud.tell("scan", digest=pushed.digest)
    waiting.join(60)
    assert done["verdict"] == "passed"
    assert gate(pushed, start_scan=True).execute({})["verdict"] == "passed"
    assert len(tcr_cloud.calls("CreateAssetImageRegistryScanTask")) == 1


def test_limits_of_no_known_level_are_refused(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    image = Image("demo.example/test/web", f"sha256:{'0' * 64}")
    with pytest.raises(AirflowFailException, match="no level 'severe'"):
        gate(image, limits={"severe": 0}).execute({})
