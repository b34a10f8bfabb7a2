from __future__ import annotations

import pytest

from tke_provider.domain.hosts import is_loopback, split_url
from tke_provider.exceptions import InputError


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1", "127.8.9.1:80", "[::1]:5000"])
def test_this_machine_is_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["demo.tencentcloudcr.com", "10.0.0.1:5000", "localhost.evil.example", "127.0.0.1.nip.io", ""]
)
def test_no_other_machine_is(host):
    assert not is_loopback(host)


@pytest.mark.parametrize("url", ["http://h", "https://h:8443/a@b?c=d@e", "http://[::1]:80/", "http://shop.example"])
def test_a_url_names_a_host_by_http(url):
    assert split_url("url", url).geturl() == url


@pytest.mark.parametrize("url", ["http://[::1", "http://h:abc", "http://h:99999", "h:80", "ftp://h", "http://"])
def test_what_is_no_url_is_quoted(url):
    with pytest.raises(InputError) as caught:
        split_url("url", url)
    assert repr(url) in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://u:hunter2@h", "http://u:x@hunter2@h", "http://u:hunter2/x@h", "u:hunter2@h", "http:/u:hunter2@h"]
)
def test_no_login_is_taken_or_quoted(url):
    with pytest.raises(InputError) as caught:
        split_url("url", url)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(caught.value.__cause__)
