from __future__ import annotations

import pytest

from tke_provider.domain.hosts import is_loopback


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1", "127.8.9.1:80", "[::1]:5000"])
def test_this_machine_is_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["demo.tencentcloudcr.com", "10.0.0.1:5000", "localhost.evil.example", "127.0.0.1.nip.io", ""]
)
def test_no_other_machine_is(host):
    assert not is_loopback(host)
