"""The cluster's authority: what is signed is trusted under its names, and under no others."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from local.kubernetes.certificates import Authority, Pair

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("a test's authority")


def test_a_certificate_names_its_user_and_groups(authority: Authority) -> None:
    pair = authority.issue("system:node:local", ["system:nodes"])
    subject = x509.load_pem_x509_certificate(pair.certificate.encode()).subject
    assert [name.value for name in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["system:node:local"]
    assert [name.value for name in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["system:nodes"]


@pytest.mark.parametrize("host", ["10.199.0.1", "localhost"])
def test_both_sides_of_a_connection_trust_each_other(authority: Authority, tmp_path: Path, host: str) -> None:
    server = authority.issue("server", addresses=["10.199.0.1", "localhost"])
    shake_hands(tmp_path, authority, server, authority.issue("client"), host)


def test_a_server_is_refused_under_an_address_that_is_not_its_own(authority: Authority, tmp_path: Path) -> None:
    server = authority.issue("server", addresses=["10.199.0.1"])
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        shake_hands(tmp_path, authority, server, authority.issue("client"), "10.199.0.2")


def test_a_client_of_another_authority_is_refused(authority: Authority, tmp_path: Path) -> None:
    server = authority.issue("server", addresses=["localhost"])
    stranger = Authority("a test's authority").issue("client")
    with pytest.raises(ssl.SSLError):
        shake_hands(tmp_path, authority, server, stranger, "localhost")


def shake_hands(folder: Path, authority: Authority, server: Pair, client: Pair, host: str) -> None:
    """A whole TLS handshake with certificates on both sides, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving, calling = context(folder, authority, server, True), context(folder, authority, client, False)
    sides = [
        calling.wrap_bio(to_client, to_server, server_hostname=host),
        serving.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(sides)
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    # TLS 1.3: a client learns only by its next read that its own certificate was not accepted.
    sides[1].write(b"welcome")
    assert sides[0].read() == b"welcome"


def context(folder: Path, authority: Authority, pair: Pair, serving: bool) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if serving else ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(cadata=authority.pair.certificate)
    file = folder / ("server.pem" if serving else "client.pem")
    file.write_text(pair.certificate + pair.key)
    made.load_cert_chain(file)
    return made
