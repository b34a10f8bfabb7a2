from __future__ import annotations

import time

import pytest

from tke_provider.clients.credentials import StaticKey
from tke_provider.clients.tcr import Tcr
from tke_provider.clients.tencent_cloud import TencentCloudClient
from tke_provider.exceptions import NotFoundError


@pytest.fixture
async def tcr(cloud):
    credentials = StaticKey(cloud.secret_id, cloud.secret_key)
    async with Tcr(TencentCloudClient(credentials, cloud.region, endpoint=cloud.endpoint)) as tcr:
        yield tcr


async def test_a_registry_is_described(tcr):
    registry = await tcr.instance("tcr-local000")
    assert (registry.id, registry.status) == ("tcr-local000", "Running")
    assert registry.domain


async def test_a_login_ends_within_an_hour_and_shows_no_password(tcr):
    login = await tcr.login("tcr-local000")
    assert login.host == (await tcr.instance("tcr-local000")).domain
    assert time.time() < login.expires <= time.time() + 3600
    assert login.username
    assert login.password not in repr(login)


async def test_an_unknown_registry_is_named_with_its_region(tcr):
    with pytest.raises(NotFoundError, match="no registry tcr-nowhere in ap-guangzhou"):
        await tcr.login("tcr-nowhere")
