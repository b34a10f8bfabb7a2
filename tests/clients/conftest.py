"""What the tests of several clients ask."""

from __future__ import annotations

import pytest

from tke_provider.clients.credentials import StaticKey
from tke_provider.clients.tencent_cloud import TencentCloudClient
from tke_provider.clients.tke import Tke


@pytest.fixture
async def tke(cloud):
    """TKE of the emulated cloud."""
    credentials = StaticKey(cloud.secret_id, cloud.secret_key)
    async with Tke(TencentCloudClient(credentials, cloud.region, endpoint=cloud.endpoint)) as tke:
        yield tke
