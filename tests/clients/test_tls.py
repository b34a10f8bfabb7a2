from __future__ import annotations

import ssl

from tke_provider.clients.tls import trusted


def test_who_is_trusted_is_read_once_and_certificates_are_checked():
    assert trusted() is trusted()
    assert trusted().verify_mode is ssl.CERT_REQUIRED
    assert trusted().check_hostname
